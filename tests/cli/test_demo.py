"""`demo` and `simulate`, which start the simulator."""

from __future__ import annotations

import signal
from pathlib import Path

from cio_replicate.source import catalog
from tests.cli.running import run, spawn, start, sync
from tests.duckdb_files import duckdb_file


def test_the_demo_proves_its_copy(folder: Path) -> None:
    """It needs no token, every table is equal, the query that it shows can be run, and a second demo starts anew."""
    ended = spawn(folder, "demo", token=None)
    assert ended.code == 0, ended.err
    proofs = {line.split()[0]: line.split() for line in ended.out.splitlines() if line.endswith("equal")}
    assert list(proofs) == list(catalog.names())
    with duckdb_file(folder / "demo.duckdb", read_only=True) as copy:
        for name, cells in proofs.items():
            counted = copy.execute(f"SELECT count(*) FROM customerio.{name} WHERE _cio_deleted_at IS NULL").fetchone()
            assert counted == (int(cells[5].replace(",", "")),)
        query = ended.out.partition("6. Ask it")[2].partition("LIMIT 8")[0] + "LIMIT 8"
        assert len(copy.execute(query).fetchall()) == 8
    assert ended.err == ""
    assert {path.name for path in folder.iterdir()} == {"demo.duckdb"}


def test_the_demo_leaves_other_files_alone(folder: Path) -> None:
    """A file that no demo has made is not touched."""
    (folder / "mine.duckdb").write_text("precious")
    ended = run(folder, "demo", "--to=mine.duckdb")
    assert ended.code == 2
    assert "was not made by a demo" in ended.err
    assert (folder / "mine.duckdb").read_text() == "precious"


def test_simulate_prints_its_address_first_and_can_be_read(folder: Path) -> None:
    """The first line is the address alone; a sync reads what was asked for; Ctrl-C ends it with 0."""
    process = start(folder, "simulate", "--messages=70", "--people=20", "--activities=30", "--rps=0", "--token=own")
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url.startswith("http://127.0.0.1:")
    ended = run(folder, *sync(url, "--tables=customers,messages", "--start-date=2024-01-01"), token="own")
    assert "Complete: 2 tables, 90 rows read" in ended.out
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "cio-replicate sync" in err
    assert "Traceback" not in err


def test_a_port_in_use_is_refused(folder: Path) -> None:
    """A port that somebody else has is named, with the way out."""
    process = start(folder, "simulate", "--messages=1")
    assert process.stdout is not None
    port = process.stdout.readline().strip().rpartition(":")[2]
    ended = run(folder, "simulate", f"--port={port}")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert ended.code == 2
    assert "Choose another --port" in ended.err
