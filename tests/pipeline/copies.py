"""The copy against the truth: records read back from a DuckDB file, compared with those of the simulated workspace."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from cio_replicate.schema.table import Column, ColumnType
from cio_replicate.source.catalog import table as declared
from customerio_simulator import Simulator
from tests.duckdb_files import duckdb_file
from tests.source.rebuild import EPOCH, overruled, without_nothing

MASKED = {"reporting_webhooks"}


_EXACT = json.JSONDecoder(parse_float=Decimal)


def exact(text: str) -> Any:
    """JSON with every number exactly as written."""
    return _EXACT.decode(text)


def truth(simulator: Simulator, table: str) -> Counter[str]:
    """The records that a correct copy holds, each as canonical text, as often as they occur."""
    objects = declared(table).objects
    found: Counter[str] = Counter()
    for raw in simulator.workspace.truth(table):
        record = exact(bytes(raw).decode())
        if table == "ip_addresses":
            record = {"id": record}
        if table == "customers":
            record.pop("identifiers", None)
        if table in MASKED and isinstance(record.get("endpoint"), str):
            record["endpoint"] = "masked" if "@" in record["endpoint"] else record["endpoint"]
        found[_canonical(without_nothing(record, objects))] += 1
    return found


def copy(file: Path, table: str, *, deleted: bool = False, dataset: str = "customerio") -> Counter[str]:
    """The records that the copy holds (or has marked as deleted), rebuilt from their rows."""
    with duckdb_file(file, read_only=True) as connection:
        return _held(connection, table, deleted=deleted, dataset=dataset)


def copies(file: Path, tables: Iterable[str], *, deleted: bool = False) -> dict[str, Counter[str]]:
    """The same of several tables; the file is opened once, which costs as much as most tables."""
    with duckdb_file(file, read_only=True) as connection:
        return {name: _held(connection, name, deleted=deleted) for name in tables}


def _held(
    connection: duckdb.DuckDBPyConnection, table: str, *, deleted: bool, dataset: str = "customerio"
) -> Counter[str]:
    condition = "IS NOT NULL" if deleted else "IS NULL"
    target = f'"{dataset}"."{table}"'
    times = [name for name, kind, *_ in connection.sql(f"DESCRIBE {target}").fetchall() if kind.startswith("TIMESTAMP")]
    plain = ", ".join(f'timezone(\'UTC\', "{name}") AS "{name}"' for name in times)  # with a zone it is slow to fetch
    found = connection.execute(f"SELECT * REPLACE ({plain}) FROM {target} WHERE _cio_deleted_at {condition}")
    names = [part[0] for part in found.description or ()]
    return records((dict(zip(names, row, strict=True)) for row in found.fetchall()), table)


def records(rows: Iterable[dict[str, Any]], table: str) -> Counter[str]:
    """The records that rows were made of, each as canonical text, as often as they occur."""
    known = {column.name: column for column in declared(table).columns}
    objects = declared(table).objects
    columns: dict[str, Column] = {}
    rebuilt: Counter[str] = Counter()
    for row in rows:
        for name in row.keys() - columns.keys():
            columns[name] = known.get(name) or Column(name, ColumnType.STRING, "", _path(name, table))
        record = _record(row, columns, known.keys())
        if table == "eps_suppression":
            record.pop("id")
        if table == "customers":  # filled from the list of people where the answer lacks them
            record.pop("identifiers", None)
        if table in MASKED and isinstance(record.get("endpoint"), str):
            record["endpoint"] = "masked" if "***@" in record["endpoint"] else record["endpoint"]
        rebuilt[_canonical(without_nothing(record, objects))] += 1
    return rebuilt


def _record(row: dict[str, Any], columns: Mapping[str, Column], known: Collection[str]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for name, value in row.items():
        if value is None or name.startswith("_cio_"):
            continue
        column = columns[name]
        at = record
        for step in column.path[:-1]:
            at = at.setdefault(step, {})
        at[column.path[-1]] = _sent(value, column, declared_=name in known)
    extra = row["_cio_extra"]
    return record if extra is None else dict(overruled(record, exact(extra)))


def _sent(value: Any, column: Column, *, declared_: bool) -> Any:
    """A column's value as the API sent it."""
    if column.type is ColumnType.JSON or (not declared_ and _looks_like_json(value)):
        return exact(value)
    if column.type is ColumnType.TIMESTAMP:
        passed = value - (EPOCH if value.tzinfo else EPOCH.replace(tzinfo=None))
        seconds = passed.days * 86_400 + passed.seconds
        return Decimal(str(passed.total_seconds())) if passed.microseconds else seconds
    return Decimal(repr(value)) if isinstance(value, float) else value


def _path(name: str, table: str) -> tuple[str, ...]:
    for path in declared(table).objects:
        prefix = "__".join(path) + "__"
        if name.startswith(prefix):
            return (*path, name.removeprefix(prefix))
    return (name,)


def _looks_like_json(value: Any) -> bool:
    return isinstance(value, str) and value[:1] in ("{", "[")


_CANONICAL = json.JSONEncoder(sort_keys=True, default=lambda number: f"decimal {number.normalize()}")


def _canonical(record: Any) -> str:
    return _CANONICAL.encode(record)


def differences(simulator: Simulator, file: Path, tables: tuple[str, ...]) -> dict[str, str]:
    """Per table what is missing from the copy and what it has too much; empty when the copy is true."""
    found = {}
    for name, got in copies(file, tables).items():
        expected = truth(simulator, name)
        if expected != got:
            missing, extra = expected - got, got - expected
            found[name] = (
                f"{missing.total()} missing, {extra.total()} too many of {expected.total()}; "
                f"missing e.g. {next(iter(missing), None)}; too many e.g. {next(iter(extra), None)}"
            )
    return found
