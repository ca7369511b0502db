"""The places into which the contract is tried: a destination joins by a class and a line in `COPIES`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import duckdb
import pytest
from _pytest.mark import ParameterSet

from cio_replicate.sinks.backend import TableBackend
from cio_replicate.sinks.copy import CopySink
from cio_replicate.sinks.duckdb.duckdb_backend import DuckDBSink
from cio_replicate.sinks.merge.index_merger import IndexMerger
from cio_replicate.sinks.port import Batch, Changes, Sink
from tests.destinations.kinds import ALWAYS
from tests.destinations.kinds import KINDS as REAL
from tests.sinks.copying import alone, by_key, query, write
from tests.sinks.real import RealCopy
from tests.sinks.twin import TwinStore


class Copy(Protocol):
    """One copy, opened for each step, so that what is asserted is what lasts."""

    def open(self) -> Sink:
        """A destination that has not looked yet."""
        ...

    def write(self, *batches: Batch) -> Changes:
        """Write in one session; what the last batch changed."""
        ...

    def rows(self, table: str) -> dict[str, dict[str, Any]]:
        """Every row of a table by its `_cio_key`, read by a program of the user's own. JSON is text."""
        ...

    def every(self, table: str) -> list[dict[str, Any]]:
        """Every row of a table, of which a key may have several; none when the table is not there."""
        ...

    def tamper(self, table: str, key: str) -> None:
        """Remove the rows of a key, as somebody else would."""
        ...


class StoreCopy(Copy, Protocol):
    """A copy in a store, which can be opened with something around the store."""

    transactional: bool  # whether a batch is one commit of the store

    def open(self, around: Callable[[TableBackend], TableBackend] = ...) -> Sink:
        """A destination that has not looked yet."""
        ...

    def forget(self) -> None:
        """Lose the ledger, as on another machine."""
        ...


class DuckDBCopy:
    """A DuckDB file."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "copy.duckdb"

    def open(self) -> Sink:
        """A destination that has not looked yet."""
        return DuckDBSink(self.file, "customerio")

    def write(self, *batches: Batch) -> Changes:
        """Write in one session; what the last batch changed."""
        return write(self.open(), *batches)

    def rows(self, table: str) -> dict[str, dict[str, Any]]:
        """Every row of a table by its `_cio_key`."""
        return by_key(self.query(f'SELECT * FROM "copy".customerio."{table}"'))

    def every(self, table: str) -> list[dict[str, Any]]:
        """Every row of a table; none when it is not there."""
        try:
            return self.query(f'SELECT * FROM "copy".customerio."{table}"')
        except duckdb.CatalogException:
            return []

    def tamper(self, table: str, key: str) -> None:
        """Remove the rows of a key."""
        self.query(f'DELETE FROM "copy".customerio."{table}" WHERE _cio_key = \'{key}\'')

    def query(self, statement: str) -> list[dict[str, Any]]:
        """The rows of a query."""
        return query(self.file, statement)


class TwinCopy:
    """A store in a DuckDB file, with a ledger beside it; `fresh` forgets the ledger each time it is opened."""

    transactional = False

    def __init__(self, folder: Path, *, nul_allowed: bool = True, fresh: bool = False) -> None:
        self.file = folder / "store.duckdb"
        self._ledger = folder / "ledger.duckdb"
        self._nul_allowed = nul_allowed
        self._fresh = fresh

    def open(self, around: Callable[[TableBackend], TableBackend] = alone) -> Sink:
        """A destination that has not looked yet."""
        if self._fresh:
            self.forget()
        store = around(TwinStore(self.file))
        return CopySink(store, IndexMerger(store, self._ledger, nul_allowed=self._nul_allowed), "customerio", "a twin")

    def write(self, *batches: Batch) -> Changes:
        """Write in one session; what the last batch changed."""
        return write(self.open(), *batches)

    def rows(self, table: str) -> dict[str, dict[str, Any]]:
        """Every row of a table by its `_cio_key`."""
        return by_key(query(self.file, f'SELECT * FROM "{table}"'))

    def every(self, table: str) -> list[dict[str, Any]]:
        """Every row of a table; none when it is not there."""
        try:
            return query(self.file, f'SELECT * FROM "{table}"')
        except duckdb.CatalogException:
            return []

    def forget(self) -> None:
        """Lose the ledger."""
        self._ledger.unlink(missing_ok=True)

    def tamper(self, table: str, key: str) -> None:
        """Remove a row."""
        query(self.file, f"DELETE FROM \"{table}\" WHERE _cio_key = '{key}'")


REAL_STORES = tuple(kind for kind in REAL if kind != "duckdb")
STORES: dict[str, Callable[[Path], StoreCopy]] = {
    "twin": TwinCopy,
    "twin-fresh": partial(TwinCopy, fresh=True),
    **{kind: partial(RealCopy, kind) for kind in REAL_STORES},
}
COPIES: dict[str, Callable[[Path], Copy]] = {"duckdb": DuckDBCopy, **STORES}


def tried(kinds: Iterable[str], *always: str) -> list[ParameterSet]:
    """Kinds as parameters: those named are tried in every run, real ones else with the destinations, others if slow."""
    return [pytest.param(kind, id=kind, marks=() if kind in always else _marks(kind)) for kind in kinds]


def _marks(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.destinations if kind in REAL_STORES else pytest.mark.slow


#: What every run of the tests tries in places of each kind.
USUALLY = ("duckdb", "twin", *ALWAYS)
