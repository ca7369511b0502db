"""`connection`: create, list, show, test, edit and delete connections, and open their metadata."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec
from rich.text import Text

from cio_replicate.app.plan import span
from cio_replicate.base.errors import NotFound, Unavailable
from cio_replicate.base.text import counted, number
from cio_replicate.cli.editing import acting, change_lines, edited, settings_shown
from cio_replicate.cli.failure import COMPLETE, REFUSED
from cio_replicate.cli.listings import table_lines
from cio_replicate.cli.options import Edits, StoreOutputOptions, Yes, argument, command, flag
from cio_replicate.cli.terminal import Line, answer, grid_of, require_meant, secret_from_input
from cio_replicate.config.documents import ConnectionSettings, plain
from cio_replicate.console import gateways
from cio_replicate.console.installation import ControlServices, opened
from cio_replicate.console.metadata import Metadata, TableMetadata
from cio_replicate.database.rows import StoredConnection
from cio_replicate.jobs.ports import ProbeRequest, ProbeResult
from cio_replicate.pipeline.report import iso

TOKEN = "The access token"  # noqa: S105 - what is asked for
Name = Annotated[str, argument("NAME", "The connection, by its name.")]
TokenGiven = Annotated[
    bool,
    flag(
        "--access-token-stdin",
        "Take the access token from standard input, or ask for it, and store it encrypted.",
        "Where the data comes from",
    ),
]


@command(
    "connection create",
    "cio-replicate connection create main --start-date 2024-01-31 --access-token-stdin < token.txt",
    "cio-replicate connection create main --start-date 2024-01-31 --access-token-from env:CIO_ACCESS_TOKEN",
)
def create_connection(
    name: Name, *, settings: ConnectionSettings, token_given: TokenGiven = False, shown: StoreOutputOptions
) -> int:
    """Keep a connection under a name, so that tasks can use it.

    The access token is stored encrypted, or stays where it is and a reference says where. It is never shown again.
    """
    with opened(shown.store) as store:
        token = secret_from_input(TOKEN) if token_given else None
        stored = store.connections.create(name, settings, acting(), token)
    said = f"Made the connection {name}. `cio-replicate connection test {name}` asks the API with it."
    return answer(shown, _document(stored), said)


@command("connection list", "cio-replicate connection list")
def list_connections(*, shown: StoreOutputOptions) -> int:
    """List the connections."""
    with opened(shown.store) as store:
        found, tasks = store.connections.all(), store.tasks.all()
    rows = []
    for one in found:
        mine = sum(task.connection_id == one.id for task in tasks)
        where = one.settings.api_url or one.settings.region
        rows.append((one.name, where, one.settings.start_date, one.settings.gateway or "", number(mine)))
    document = {"connections": [_document(one) for one in found]}
    nothing = "There is no connection yet: `cio-replicate connection create` makes one."
    return answer(
        shown, document, grid_of(("connection", "region", "start date", "gateway", "tasks"), rows) if rows else nothing
    )


@command("connection show", "cio-replicate connection show main")
def show_connection(name: Name, *, shown: StoreOutputOptions) -> int:
    """Show a connection's settings and tasks."""
    with opened(shown.store) as store:
        stored = store.connections.named(name)
        tasks = [one.name for one in store.tasks.all() if one.connection_id == stored.id]
        last = store.connections.last_metadata(name)
    facts = {"tasks": ", ".join(tasks) or "none", "changed": iso(stored.changed_at)}
    facts["metadata"] = f"opened {iso(last.at)}" if last.at is not None else "not opened yet"
    return answer(shown, {**_document(stored), "tasks": tasks}, *settings_shown(name, stored.settings, facts))


@command("connection test", "cio-replicate connection test main")
def test_connection(name: Name, *, shown: StoreOutputOptions) -> int:
    """Find out whether a connection works, and which tables its key may read: one small request per table.

    Says the cause and what to do for each that cannot be read. Ends with 0 when all can, else with 2.
    """
    with opened(shown.store) as store:
        found = _found(store, store.connections.named(name), ProbeRequest.ACCESS)
    refused = [one for one in found.tables if not one.readable]
    ready = found.works and not refused
    lines: list[Line] = [(f"{one.name}: {one.cause} {one.fix}".rstrip(), "red") for one in refused]
    where = f"{found.api} ({found.region})" if found.region else found.api
    every = counted(len(found.tables), "table")
    what = f"{len(refused)} of {every} cannot be read" if refused else f"{every} can be read"
    lines.append((f"{name} works: {what} from {where}.", "bold"))
    if not found.works:
        lines = [(f"{name} does not work. {found.cause} {found.fix}".rstrip(), "red")]
    answer(shown, {"status": "ready" if ready else "refused", **msgspec.to_builtins(found)}, *lines)
    return COMPLETE if ready else REFUSED


@command(
    "connection metadata", "cio-replicate connection metadata main", "cio-replicate connection metadata main messages"
)
def open_metadata(
    name: Name,
    table: Annotated[str | None, argument("[TABLE]", "One table: shows its columns and how it is read.")] = None,
    *,
    last: Annotated[bool, flag("--last", "Show what was found out last, and ask nothing.")] = False,
    shown: StoreOutputOptions,
) -> int:
    """Open a connection's metadata: what its tables hold, which of them its key may read, and what a read costs.

    Asks the API with few requests and keeps what it finds.
    """
    with opened(shown.store) as store:
        stored = store.connections.named(name)
        if last:
            found = store.connections.last_metadata(name)
        elif stored.settings.gateway is None:
            found = store.connections.open_metadata(name, acting())
        else:
            found = store.connections.keep_metadata(stored.id, _found(store, stored, ProbeRequest.TABLES))
    one = found.table(table) if table is not None else None
    if table is not None and one is None:
        raise NotFound(f"There is no table {table!r}.", "See what there is: cio-replicate tables.")
    if one is not None:
        answer(shown, one, *_table_lines(one))
    else:
        answer(shown, found, *_tables_lines(found))
    return REFUSED if found.cause else COMPLETE


@command(
    "connection edit",
    "cio-replicate connection edit main --max-rps 5",
    "cio-replicate connection edit main --access-token-stdin < token.txt",
)
def edit_connection(
    name: Name,
    *,
    given: Annotated[Mapping[str, Any], Edits(ConnectionSettings)],
    token_given: TokenGiven = False,
    shown: StoreOutputOptions,
) -> int:
    """Change settings of a connection: those that are given; an empty text takes one away."""
    with opened(shown.store) as store:
        token = secret_from_input(TOKEN) if token_given else None
        settings = edited(store.connections.named(name).settings, given)
        changes = store.connections.edit(name, settings, acting(), token)
        stored = store.connections.named(name)
    besides = "Replaced its access token." if token_given else ""
    return answer(shown, _document(stored), *change_lines(f"connection {name}", changes, besides))


@command("connection delete", "cio-replicate connection delete main")
def delete_connection(name: Name, *, yes: Yes = False, shown: StoreOutputOptions) -> int:
    """Delete a connection that no task uses, with the access token that was stored for it."""
    with opened(shown.store) as store:
        store.connections.named(name)
        require_meant(f"Delete the connection {name}? What was copied stays.", "Nothing was deleted.", yes=yes)
        store.connections.delete(name, acting())
    return answer(shown, {"status": "deleted", "connection": name}, f"Deleted the connection {name}.")


def _document(stored: StoredConnection) -> dict[str, Any]:
    """A connection as JSON: its settings name places of secrets, and hold none."""
    return {
        "name": stored.name,
        "settings": plain(stored.settings),
        "workspace": stored.workspace,
        "created": iso(stored.created_at),
        "changed": iso(stored.changed_at),
    }


def _found(store: ControlServices, stored: StoredConnection, about: ProbeRequest) -> ProbeResult:
    """What is found out of a connection, here or by its gateway."""
    if stored.settings.gateway is None:
        return store.connections.inquire(stored.settings, about, acting())
    asked = gateways.ask(store.database, stored.settings, about, int(time.time()))
    while True:
        reply = gateways.reply(store.database, asked, int(time.time()))
        if reply.found is not None:
            return reply.found
        if not reply.waiting:
            raise Unavailable(
                f"No machine of the gateway {stored.settings.gateway} has answered.",
                "See whether one is running: cio-replicate gateway list.",
            )
        time.sleep(1.0)


def _tables_lines(found: Metadata) -> Iterator[Line]:
    if found.cause:
        yield f"Nothing could be found out. {found.cause} {found.fix}".rstrip(), "red"
    readable = {None: Text("?"), True: Text("yes", "green"), False: Text("no", "red")}
    rows = []
    for one in found.tables:
        about = (one.name, one.method, ", ".join(one.key), one.replication_key or "", readable[one.readable])
        rows.append((*about, number(one.rows) if one.rows is not None else "", _requests(one)))
    names = ("table", "method", "key", "replication key", "readable", "rows", "requests")
    yield grid_of(names, rows, numbers=("rows", "requests"))
    yield ""
    for one in found.tables:
        if one.readable is False:
            yield f"{one.name}: {one.cause} {one.fix}".rstrip(), "red"
    when = f"Opened {iso(found.at)} with {counted(found.requests, 'request')}" if found.at is not None else "Not opened"
    yield f"{when}; rows and requests of a whole read are approximate."


def _requests(one: TableMetadata) -> str:
    return span(number(one.least), one.most and number(one.most)) if one.least is not None else ""


def _table_lines(one: TableMetadata) -> Iterator[Line]:
    facts = {
        "reads": one.reads,
        "method": one.method,
        "key": ", ".join(one.key),
        "replication key": one.replication_key or "none",
        "API page": one.reference,
        "readable": {None: "not asked yet", True: "yes", False: f"no: {one.cause} {one.fix}".rstrip()}[one.readable],
        "rows": "about " + number(one.rows) if one.rows is not None else "not known",
        "requests of a whole read": _requests(one) or "not known",
    }
    rows = [(column.name, f"{column.type}{', key' * column.key}", column.about) for column in one.columns]
    return table_lines(one.name, one.about, facts, one.notes, grid_of(("column", "type", "holds"), rows))
