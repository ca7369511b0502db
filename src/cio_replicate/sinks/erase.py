"""What erasing people is in DuckDB's SQL: which rows are about them, what is blanked, and what stays blank later."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from cio_replicate.schema.system_tables import EXTRA
from cio_replicate.schema.table import Column, Table
from cio_replicate.sinks.merge.statements import KEY, ErasedColumns, Run, json_name, literal, quoted
from cio_replicate.sinks.port import ErasureHits

#: Goes before a `cio_id` in some places of the API.
PREFIX = "cio_"


def note_people(run: Run, people: Mapping[str, Sequence[str]]) -> None:
    """Set down, as `erasing`, the people by `cio_id`, and by what else names them in rows that lack it."""
    rows = [(person, name, False) for person in people for name in (person, PREFIX + person)]
    rows += [(person, name, True) for person, names in people.items() for name in names]
    run("CREATE OR REPLACE TEMP TABLE erasing (person VARCHAR, named VARCHAR, otherwise BOOLEAN)", [])
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


def about(run: Run, target: str) -> ErasureHits:
    """What is in `about`, once it was made of rows of `target`."""
    found = run("SELECT person, count(DISTINCT place) FROM about GROUP BY person", []).fetchall()
    keys = run(
        f"SELECT DISTINCT a.person, t.{KEY} FROM about AS a JOIN {target} AS t ON t.rowid = a.place WHERE a.otherwise "
        "AND a.place NOT IN (SELECT place FROM about WHERE NOT otherwise) ORDER BY ALL",
        [],
    ).fetchall()
    otherwise: dict[str, list[str]] = {}
    for person, key in keys:
        otherwise.setdefault(person, []).append(key)
    return ErasureHits(dict(found), otherwise)


def blank(target: str, table: Table, there: Collection[str]) -> str:
    """Blank what may be personal in the rows that stand in `about`."""
    sets = ", ".join(f"{quoted(name)} = NULL" for name in there if table.is_blanked(name))
    return f"UPDATE {target} SET {sets} WHERE rowid IN (SELECT place FROM about)"


def stays_blank(table: Table, columns: Sequence[Column], erased: str) -> ErasedColumns | None:
    """What is blank in rows that come; `erased` is a table with the columns of the record of erasures.

    In the table of people nothing is: whoever is listed is there again.
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
