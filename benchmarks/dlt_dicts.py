"""The second baseline: a dlt pipeline of dicts, fed by the same pages as the first, into DuckDB."""

from __future__ import annotations

import sys
from pathlib import Path

import dlt

from benchmarks.pages import Api, all_tables


def main(url: str, token: str, start: str, now: str, file: str) -> None:
    """Copy the workspace at `url` into a new DuckDB file; `start` and `now` in unix seconds."""
    pipeline = dlt.pipeline(
        "baseline",
        destination=dlt.destinations.duckdb(file),
        dataset_name="customerio",
        pipelines_dir=str(Path(file).with_suffix(".dlt")),
    )
    tables = all_tables(Api(url, token), int(start), int(now))
    pipeline.run([dlt.resource(pages, name=name, write_disposition="replace") for name, pages in tables])


if __name__ == "__main__":
    main(*sys.argv[1:])
