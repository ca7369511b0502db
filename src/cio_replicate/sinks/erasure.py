"""Blanks what may be personal in a store's rows: they are read whole, blanked beside the ledger, and put back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import pyarrow as pa

from cio_replicate.config.table_options import RESERVED
from cio_replicate.schema.system_tables import DIGEST
from cio_replicate.schema.table import Column, Table
from cio_replicate.sinks import erase
from cio_replicate.sinks.backend import ChangeSet, Condition, Operator, StoredTable, TableBackend
from cio_replicate.sinks.merge import statements as sql
from cio_replicate.sinks.merge.change_sets import changes_shape, left_in, main_shape
from cio_replicate.sinks.merge.digest_index import DigestIndex
from cio_replicate.sinks.merge.statements import KEY, ErasedColumns
from cio_replicate.sinks.port import CopyFacts, ErasureHits, found_columns

FOUND = "about_them"  # a temporary table, as `blanked_now` and those of `erase`
PEOPLE_AT_ONCE = 1_000


class TableErasure:
    """The blanking of one table of a copy, within a transaction of the ledger."""

    def __init__(
        self, store: TableBackend, ledger: DigestIndex, table: Table, facts: CopyFacts, rows_at_once: int
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._table = table
        self._rows_at_once = rows_at_once
        columns = (*table.columns, *found_columns(table, facts.found))
        columns = (*columns, *left_in(store, table, columns, facts))
        main = main_shape(table, columns, versions=table.name in facts.versions)
        self._shapes = (changes_shape(table, columns), main)  # the rows themselves last: they tell what is to be done

    def blank(self, people: Mapping[str, Sequence[str]], keys: str | None) -> dict[str, ErasureHits]:
        """Blank, and note what the rows are like now in `keys` of the ledger, if it knows them; as a destination does.

        `people` are given as to a destination.
        """
        run = self._ledger.run
        run(f"CREATE OR REPLACE TEMP TABLE blanked_now ({KEY} VARCHAR, digest BLOB)")
        found = {}
        for shape in self._shapes:
            if there := self._store.columns(shape.name):
                columns = tuple(column for column in shape.columns if column.name in there)
                found[shape.name] = self._blank_in(replace(shape, columns=columns), people)
        if keys is not None:
            run(f"UPDATE {keys} AS k SET digest = b.digest FROM blanked_now AS b WHERE k.{KEY} = b.{KEY} AND k.live")
        return found

    def _blank_in(self, shape: StoredTable, people: Mapping[str, Sequence[str]]) -> ErasureHits:
        found = ErasureHits()
        there = [column.name for column in shape.columns]
        for some in _pieces(people):
            self._find(shape, some, there)
            now = erase.about(self._ledger.run, FOUND)
            found.rows.update(now.rows)
            found.otherwise.update(now.otherwise)
            self._blank(shape, there)
            for edit in self._edits(shape):
                self._store.write(edit)
        return found

    def _find(self, shape: StoredTable, people: Mapping[str, Sequence[str]], there: Sequence[str]) -> None:
        """Bring in the rows about these people, each once."""
        run = self._ledger.run
        run(sql.create(FOUND, shape.columns, temporary=True)[0])
        others = sorted({name for names in people.values() for name in names})
        for column, otherwise in erase.named_by(self._table, there):
            values = others if otherwise else [name for one in people for name in (one, erase.PREFIX + one)]
            if values:
                rows = self._store.read(shape, there, [Condition(column, Operator.IN, values)])
                own = sql.quoted(shape.key)
                self._ledger.take(
                    FOUND, rows, f"SELECT * FROM taken ANTI JOIN (SELECT {own} FROM {FOUND}) USING ({own})"
                )
        erase.note_people(run, people)
        run(erase.note_rows(FOUND, self._table, there))

    def _blank(self, shape: StoredTable, there: Collection[str]) -> None:
        """Blank them, and give them the digest of what they hold now: so a row that comes blanked is no change."""
        run = self._ledger.run
        run(f"DELETE FROM {FOUND} WHERE rowid NOT IN (SELECT place FROM about)")
        run(erase.blank(FOUND, self._table, there))
        if shape.name != self._table.target or DIGEST.name not in there:
            return
        columns = [one for one in shape.columns if not one.name.startswith(RESERVED)]
        run(f"UPDATE {FOUND} SET {DIGEST.name} = {sql.digest(columns)}")
        current = "WHERE _cio_is_current" if "_cio_is_current" in there else ""
        run(f"INSERT INTO blanked_now SELECT {KEY}, unhex({DIGEST.name}) FROM {FOUND} {current}")

    def _edits(self, shape: StoredTable) -> Iterator[ChangeSet]:
        """What puts them back, no more at a time than the store takes."""
        first, last = self._ledger.run(f"SELECT min(rowid), max(rowid) FROM {FOUND}").fetchall()[0]
        gone = pa.array([], pa.int64() if shape.key == "_cio_sequence" else pa.string())
        for begin in range(first, last + 1, self._rows_at_once) if first is not None else ():
            piece = f"(SELECT * FROM {FOUND} WHERE rowid >= {begin} AND rowid < {begin + self._rows_at_once})"
            yield self._ledger.edit(piece, shape, gone)


def stays_blank(
    ledger: DigestIndex, erased: Sequence[Mapping[str, object]], table: Table, columns: Sequence[Column]
) -> ErasedColumns | None:
    """What is blank in rows that come, since people were erased; these are rows of the record of it."""
    if not erased:
        return None
    names = ("cio_id", "named_otherwise", "returned_at")
    columns_of_it = ", ".join(f"unnest(?::VARCHAR[]) AS {name}" for name in names)
    ledger.run(
        f"CREATE OR REPLACE TEMP TABLE erased AS SELECT {columns_of_it}",
        [[row[name] for row in erased] for name in names],
    )
    return erase.stays_blank(table, columns, "erased")


def _pieces(people: Mapping[str, Sequence[str]]) -> Iterator[dict[str, Sequence[str]]]:
    left = iter(people.items())
    while some := dict(islice(left, PEOPLE_AT_ONCE)):
        yield some
