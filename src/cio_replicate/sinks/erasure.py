"""Erase people: which rows are about them, what is blanked in them, and what stays blank later.

All of it is DuckDB's SQL. In a DuckDB file it runs on the tables themselves. The rows of any other store are read
whole, blanked beside the digest index, and put back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import pyarrow as pa

from cio_replicate.config.table_options import RESERVED
from cio_replicate.schema.system_tables import DIGEST, EXTRA
from cio_replicate.schema.table import Column, Table
from cio_replicate.sinks.backend import ChangeSet, Condition, Operator, StoredTable, TableBackend
from cio_replicate.sinks.copy import People, changes_shape, left_in, main_shape
from cio_replicate.sinks.merge.table_merge import (
    KEY,
    ErasedColumns,
    Execute,
    Scratch,
    create,
    digest,
    json_name,
    literal,
    quoted,
)
from cio_replicate.sinks.port import CopyFacts, ErasureHits, found_columns

FOUND = "about_them"  # a temporary table, as `blanked_now`, `erasing` and `about`
PEOPLE_AT_ONCE = 1_000
#: Goes before a `cio_id` in some places of the API.
PREFIX = "cio_"


def note_people(run: Execute, people: People) -> None:
    """Set down, as `erasing`, the people by `cio_id`, and by what else names them in rows that lack it."""
    rows = [(person, name, False) for person in people for name in (person, PREFIX + person)]
    rows += [(person, name, True) for person, names in people.items() for name in names]
    run("CREATE OR REPLACE TEMP TABLE erasing (person VARCHAR, named VARCHAR, otherwise BOOLEAN)")
    if rows:
        values = [list(column) for column in zip(*rows, strict=True)]
        run("INSERT INTO erasing SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), unnest(?::BOOLEAN[])", values)


def note_rows(target: str, table: Table, there: Collection[str]) -> str:
    """Set down, as `about`, where rows of `target` stand that are about the people in `erasing`, and about whom."""
    found = [
        f"SELECT t.rowid AS place, e.person, e.otherwise FROM {target} AS t JOIN erasing AS e "
        f"ON t.{quoted(name)} = e.named AND {'' if otherwise else 'NOT '}e.otherwise"
        for name, otherwise in named_by(table, there)
    ]
    return f"CREATE OR REPLACE TEMP TABLE about AS {' UNION '.join(found)}"


def named_by(table: Table, there: Collection[str]) -> list[tuple[str, bool]]:
    """The columns by which rows name a person, and whether they do so otherwise than by `cio_id`."""
    if table.person is None or table.person not in there:
        return []
    others = [(column.name, True) for column in table.columns if column.identifies and column.name in there]
    return [(table.person, False), *(() if table.person == KEY else others)]


def erasure_hits(run: Execute, target: str) -> ErasureHits:
    """What is in `about`, once it was made of rows of `target`."""
    found = run("SELECT person, count(DISTINCT place) FROM about GROUP BY person").fetchall()
    keys = run(
        f"SELECT DISTINCT a.person, t.{KEY} FROM about AS a JOIN {target} AS t ON t.rowid = a.place WHERE a.otherwise "
        "AND a.place NOT IN (SELECT place FROM about WHERE NOT otherwise) ORDER BY ALL"
    ).fetchall()
    otherwise: dict[str, list[str]] = {}
    for person, key in keys:
        otherwise.setdefault(person, []).append(key)
    return ErasureHits(dict(found), otherwise)


def blank_rows(target: str, table: Table, there: Collection[str]) -> str:
    """Blank what may be personal in the rows that stand in `about`."""
    sets = ", ".join(f"{quoted(name)} = NULL" for name in there if table.is_blanked(name))
    return f"UPDATE {target} SET {sets} WHERE rowid IN (SELECT place FROM about)"


def stays_blank(table: Table, columns: Sequence[Column], erased: str) -> ErasedColumns | None:
    """What is blank in rows that come; `erased` is a table with the columns of the record of erasures.

    In the table of people nothing is: a person who is listed is there again.
    """
    if table.person is None or table.person == KEY or table.person not in {one.name for one in columns}:
        return None
    people = f"SELECT unnest(['', '{PREFIX}']) || cio_id FROM {erased} WHERE returned_at IS NULL"
    path = literal(f"$.{json_name(table.target)}")
    keys = f"SELECT unnest(json_extract(named_otherwise, {path})::VARCHAR[]) FROM {erased} WHERE returned_at IS NULL"
    return ErasedColumns(
        f"({quoted(table.person)} IN ({people}) OR {KEY} IN ({keys}))",
        frozenset(one.name for one in (*columns, EXTRA) if table.is_blanked(one.name)),
    )


class TableErasure:
    """The blanking of one table of a copy, within a transaction of the digest index."""

    def __init__(self, store: TableBackend, scratch: Scratch, table: Table, facts: CopyFacts) -> None:
        self._store = store
        self._scratch = scratch
        self._table = table
        columns = (*table.columns, *found_columns(table, facts.found))
        columns = (*columns, *left_in(store, table, columns, facts))
        main = main_shape(table, columns, versions=table.name in facts.versions)
        self._shapes = (changes_shape(table, columns), main)  # the rows themselves last: they tell what is to be done

    def blank(self, people: People, keys: str | None) -> dict[str, ErasureHits]:
        """Blank, and note what the rows are like now in `keys` of the index, if it knows them; as a destination does.

        `people` are given as to a destination.
        """
        run = self._scratch.run
        run(f"CREATE OR REPLACE TEMP TABLE blanked_now ({KEY} VARCHAR, digest BLOB)")
        found = {}
        for shape in self._shapes:
            if there := self._store.columns(shape.name):
                columns = tuple(column for column in shape.columns if column.name in there)
                found[shape.name] = self._blank_in(replace(shape, columns=columns), people)
        if keys is not None:
            run(f"UPDATE {keys} AS k SET digest = b.digest FROM blanked_now AS b WHERE k.{KEY} = b.{KEY} AND k.live")
        return found

    def _blank_in(self, shape: StoredTable, people: People) -> ErasureHits:
        found = ErasureHits()
        there = [column.name for column in shape.columns]
        for some in _pieces(people):
            self._find(shape, some, there)
            now = erasure_hits(self._scratch.run, FOUND)
            found.rows.update(now.rows)
            found.otherwise.update(now.otherwise)
            self._blank(shape, there)
            for edit in self._edits(shape):
                self._store.write(edit)
        return found

    def _find(self, shape: StoredTable, people: People, there: Sequence[str]) -> None:
        """Bring in the rows about these people, each once."""
        run = self._scratch.run
        run(create(FOUND, shape.columns, temporary=True))
        others = sorted({name for names in people.values() for name in names})
        for column, otherwise in named_by(self._table, there):
            values = others if otherwise else [name for one in people for name in (one, PREFIX + one)]
            if values:
                rows = self._store.read(shape, there, [Condition(column, Operator.IN, values)])
                own = quoted(shape.key)
                self._scratch.take(
                    FOUND, rows, f"SELECT * FROM taken ANTI JOIN (SELECT {own} FROM {FOUND}) USING ({own})"
                )
        note_people(run, people)
        run(note_rows(FOUND, self._table, there))

    def _blank(self, shape: StoredTable, there: Collection[str]) -> None:
        """Blank them, and give them the digest of what they hold now: so a row that comes blanked is no change."""
        run = self._scratch.run
        run(f"DELETE FROM {FOUND} WHERE rowid NOT IN (SELECT place FROM about)")
        run(blank_rows(FOUND, self._table, there))
        if shape.name != self._table.target or DIGEST.name not in there:
            return
        columns = [one for one in shape.columns if not one.name.startswith(RESERVED)]
        run(f"UPDATE {FOUND} SET {DIGEST.name} = {digest(columns)}")
        current = "WHERE _cio_is_current" if "_cio_is_current" in there else ""
        run(f"INSERT INTO blanked_now SELECT {KEY}, unhex({DIGEST.name}) FROM {FOUND} {current}")

    def _edits(self, shape: StoredTable) -> Iterator[ChangeSet]:
        """What puts them back, no more at a time than the store takes."""
        first, last = self._scratch.run(f"SELECT min(rowid), max(rowid) FROM {FOUND}").fetchall()[0]
        gone = pa.array([], pa.int64() if shape.key == "_cio_sequence" else pa.string())
        step = self._store.rows_at_once
        for begin in range(first, last + 1, step) if first is not None else ():
            piece = f"(SELECT * FROM {FOUND} WHERE rowid >= {begin} AND rowid < {begin + step})"
            yield self._scratch.edit(piece, shape, gone)


def _pieces(people: People) -> Iterator[dict[str, Sequence[str]]]:
    left = iter(people.items())
    while some := dict(islice(left, PEOPLE_AT_ONCE)):
        yield some
