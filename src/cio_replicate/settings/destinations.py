"""The table of destinations: one row per kind of place a copy can be in, from which parser, help, docs and tests derive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from cio_replicate.base.secret import Secret


class Engine(StrEnum):
    """What writes to a kind of destination."""

    DUCKDB = "duckdb"  # one transaction of our own
    WAREHOUSE = "warehouse"  # SQL, through dlt
    PARQUET = "parquet"  # plain files, one or a few per table
    DELTA = "delta"  # Delta tables
    ICEBERG = "iceberg"  # Iceberg tables


@dataclass(frozen=True, slots=True)
class Kind:
    """One row: what `--to` looks like, what it needs, and what is known of it."""

    scheme: str  # what `--to` begins with, before `://`
    title: str
    engine: Engine
    form: str  # the whole form of `--to`
    extra: str | None = None  # `pip install cio-replicate[extra]`; None: nothing more is needed
    proved: bool = False  # whether our own tests write to a real one; else it is configured as dlt documents it


@dataclass(frozen=True, slots=True)
class Address:
    """A destination as `--to` names it. `str()` gives it back without any secret."""

    kind: Kind
    path: str  # what stands behind the host: a database, or a folder or bucket and prefix for files
    host: str = ""
    port: int | None = None
    user: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
