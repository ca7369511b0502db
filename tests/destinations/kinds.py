"""The destinations that are tested for real, each by the `--to` that a user would write and what its servers need."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.sinks import s3, servers


@dataclass(frozen=True)
class Where:
    """A fresh place: `to` and the dataset name it, `variables` hold the credentials that it refers to."""

    to: str
    variables: Mapping[str, str] = field(default_factory=dict)
    dataset: str = "customerio"


def _postgresql(_folder: Path) -> Where:
    server = servers.postgres()
    database = servers.postgres_database(server)
    return Where(
        f"postgresql://{server.user}@127.0.0.1:{server.port}/{database}?password=env:COPY_PASSWORD",
        {"COPY_PASSWORD": server.password},
    )


def _mysql(_folder: Path) -> Where:
    if why := servers.missing_mariadb():
        pytest.skip(why)
    server = servers.mariadb()
    return Where(
        f"mysql://{server.user}@127.0.0.1:{server.port}/beginning?password=env:COPY_PASSWORD",
        {"COPY_PASSWORD": server.password},
        servers.fresh(),  # a dataset is a database of the server there
    )


@cache
def _s3() -> str:
    """The address of a server that runs until this process ends."""
    running = ExitStack()
    atexit.register(running.close)
    return running.enter_context(s3.serving())


def _in_folder(scheme: str) -> Callable[[Path], Where]:
    return lambda folder: Where(f"{scheme}:///{folder / 'lake'}")


def _on_s3(scheme: str) -> Callable[[Path], Where]:
    def where(_folder: Path) -> Where:
        endpoint = quote(_s3(), safe=":/")
        return Where(
            f"{scheme}+s3://{s3.BUCKET}/{servers.fresh('some/prefix')}?endpoint={endpoint}&region=us-east-1",
            {"AWS_ACCESS_KEY_ID": s3.KEY, "AWS_SECRET_ACCESS_KEY": s3.SECRET_KEY},
        )

    return where


KINDS: dict[str, Callable[[Path], Where]] = {
    "duckdb": lambda folder: Where(f"duckdb:///{folder / 'copy.duckdb'}"),
    "postgresql": _postgresql,
    "parquet": _in_folder("parquet"),
    "sqlite": lambda folder: Where(f"sqlite:///{folder / 'copy.db'}"),
    "mysql": _mysql,
    "delta": _in_folder("delta"),
    "iceberg": _in_folder("iceberg"),
    "parquet-s3": _on_s3("parquet"),
    "delta-s3": _on_s3("delta"),
    "iceberg-s3": _on_s3("iceberg"),
}
#: Tested in every run of the tests. DuckDB has tests of its own there; the others need something installed, or time.
ALWAYS = ("postgresql", "parquet")

EVERY_KIND = [pytest.param(kind, marks=() if kind in ALWAYS else pytest.mark.destinations, id=kind) for kind in KINDS]
