"""A fresh place of each kind of destination that runs on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from tests.sinks import servers

IN_A_FOLDER = {"duckdb": "copy.duckdb", "sqlite": "copy.db", "parquet": "lake", "delta": "lake", "iceberg": "lake"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a copy goes: `to` as a user writes it, and what an engine's own load needs to reach the same place."""

    folder: Path
    to: str
    variables: Mapping[str, str] = field(default_factory=dict)
    uri: str = ""
    port: int = 0
    user: str = ""
    password: str = ""
    database: str = ""


def missing(kind: str) -> str:
    """Why there can be no such place here; empty when there can."""
    return servers.missing_mariadb() if kind == "mysql" else ""


def fresh(kind: str, folder: Path) -> Place:
    """A place in which nothing is yet."""
    if kind in IN_A_FOLDER:
        return Place(folder, f"{kind}:///{folder / IN_A_FOLDER[kind]}")
    if kind == "mysql":
        server, database = servers.mariadb(), "beginning"
    else:
        server = servers.postgres()
        database = servers.postgres_database(server)
    login = f"{server.user}@127.0.0.1:{server.port}/{database}"
    secret = quote(server.password, safe="")
    return Place(
        folder,
        f"{kind}://{login}?password=env:COPY_PASSWORD",
        {**os.environ, "COPY_PASSWORD": server.password},
        uri=f"postgresql://{server.user}:{secret}@127.0.0.1:{server.port}/{database}",
        port=server.port,
        user=server.user,
        password=server.password,
        database=database,
    )
