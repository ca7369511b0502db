"""The first baseline: what a user would write with requests, pyarrow and DuckDB, right and nothing more.

Reads one page after another, keeps a table's rows until it has them all, makes an Arrow table of them with
`from_pylist`, and a DuckDB table of that. Objects and arrays become JSON text.
"""

from __future__ import annotations

import json
import sys

import duckdb
import pyarrow as pa

from benchmarks.pages import Api, Row, all_tables


def main(url: str, token: str, start: str, now: str, file: str) -> None:
    """Copy the workspace at `url` into a new DuckDB file; `start` and `now` in unix seconds."""
    with duckdb.connect(file) as connection:
        connection.execute("CREATE SCHEMA customerio")
        for name, pages in all_tables(Api(url, token), int(start), int(now)):
            rows = [_flat(row) for page in pages for row in page]
            if rows:
                connection.register("arrived", _as_arrow(rows))
                connection.execute(f"CREATE TABLE customerio.{name} AS SELECT * FROM arrived")
                connection.unregister("arrived")


def _flat(row: Row) -> Row:
    return {name: json.dumps(value) if isinstance(value, dict | list) else value for name, value in row.items()}


def _as_arrow(rows: list[Row]) -> pa.Table:
    # from_pylist takes its columns from the first row
    rows[0] = dict.fromkeys(name for row in rows for name in row) | rows[0]
    return pa.Table.from_pylist(rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
