"""Writes into a SQL database again and again until it is killed: what a test runs in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from cio_replicate.base.text import Secret
from cio_replicate.config.destination_kind import Address
from cio_replicate.sinks.backend import ChangeSet
from cio_replicate.sinks.kinds import schemes
from cio_replicate.sinks.warehouse.warehouse_kinds import package_store, warehouse_store
from tests.sinks import servers
from tests.sinks.places import edit, row, shape

ROWS = 2000
STEP = 100


def step(number: int) -> ChangeSet:
    """The edit that makes a table as the one before left it into one whose rows all bear this number."""
    first = number * STEP
    gone = [str(key) for key in range(first - STEP, first)]
    return edit(shape(), [row(str(key), name=str(number)) for key in range(first, first + ROWS)], gone, batch=300)


def main() -> None:
    """Say the number of each write before it begins."""
    kind, through_dlt, dataset, path, port, folder = sys.argv[1:]
    server = {"host": "127.0.0.1", "port": int(port), "user": servers.USER} if int(port) else {}
    secrets = {"password": Secret(servers.PASSWORD)}
    address = Address(kind=schemes()[kind], path=path, secrets=secrets, **server)  # type: ignore[arg-type] # as named
    make = package_store if through_dlt == "True" else warehouse_store
    store = make(address, dataset, Path(folder) / "killed")
    store.open()
    for number in range(1, 10_000):
        print(number, flush=True)  # noqa: T201 - how the test knows
        store.write(step(number))


if __name__ == "__main__":
    main()
