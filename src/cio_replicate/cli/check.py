"""`check`: can the key read each table, and can the copy be written."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.table import Table as Grid
from rich.text import Text

from cio_replicate.app.probe import AccessCheck, check
from cio_replicate.app.settings import IMPATIENT, addresses_of, connected, connection_of, names_of, tables_of
from cio_replicate.base.errors import LoadError, SettingsError
from cio_replicate.base.runtime import Clock, SystemClock
from cio_replicate.base.text import counted
from cio_replicate.cli.failure import COMPLETE, REFUSED
from cio_replicate.cli.options import AsJson
from cio_replicate.cli.terminal import product, say, write_json
from cio_replicate.config import connection_options as settings
from cio_replicate.config.connection_options import Connection
from cio_replicate.config.destination_kind import Address
from cio_replicate.config.options import OptionalDestinationOptions, SourceOptions
from cio_replicate.schema.table import Table
from cio_replicate.sinks.kinds import destination_at
from cio_replicate.source.client import HOSTS


class Checked(msgspec.Struct, kw_only=True):
    """What was found, as `--json` writes it. `destination` is null when none was asked about."""

    status: str
    api: str
    region: str | None
    requests: int
    tables: list[AccessCheck]
    destination: str | None = None
    destination_error: str | None = None


def check_access(source: SourceOptions, copy: OptionalDestinationOptions, output: AsJson) -> int:
    """Check and print; the exit code. Raises SettingsError and AccessError."""
    clock = SystemClock()
    connection, tables = connection_of(source, clock), tables_of(names_of(source))
    addresses, dataset = addresses_of(copy.to or []), settings.dataset(copy.dataset)
    found = asyncio.run(_check(connection, tables, clock))
    if addresses:
        found.destination = " and ".join(one.shown for one in addresses)
        problems = [_problem(one, dataset) for one in addresses]
        found.destination_error = " ".join(one for one in problems if one is not None) or None
    readable = all(one.readable for one in found.tables)
    found.status = "ready" if readable and found.destination_error is None else "refused"
    if output.json:
        write_json(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        _print(found)
    return COMPLETE if found.status == "ready" else REFUSED


async def _check(connection: Connection, tables: Sequence[Table], clock: Clock) -> Checked:
    async with connected(connection, clock, IMPATIENT) as client:
        findings = await check(client, tables, int(clock.now()))
        region = next((name for name, url in HOSTS.items() if url == client.url), None)
        return Checked(status="", api=client.url, region=region, requests=client.totals.requests, tables=findings)


def _problem(address: Address, dataset: str) -> str | None:
    """What is wrong with a destination; its files of the task's own folder are thrown away again."""
    with tempfile.TemporaryDirectory() as folder:
        destination = destination_at(address, dataset, Path(folder))
        try:
            destination.probe()
        except (SettingsError, LoadError) as error:
            return str(error)
        finally:
            destination.close()
    return None


def _print(found: Checked) -> None:
    console = product()
    grid = Grid(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column("table", no_wrap=True)
    grid.add_column("readable", no_wrap=True)
    refused = [one for one in found.tables if not one.readable]
    if refused:
        grid.add_column("cause and fix", overflow="fold")
    for one in found.tables:
        mark = Text("yes", "green") if one.readable else Text("no", "red")
        grid.add_row(one.table, mark, *([Text(f"{one.cause} {one.fix}".strip())] if refused else []))
    console.print(grid)
    console.print()
    where = f"{found.api} ({found.region})" if found.region else found.api
    every = counted(len(found.tables), "table")
    if refused:
        say(console, f"{len(refused)} of {every} cannot be read from {where}.", "bold")
    else:
        say(console, f"{every} can be read from {where}.", "bold")
    if found.destination_error is not None:
        say(console, found.destination_error, "red")
    elif found.destination is not None:
        say(console, f"{found.destination} can be written.")
