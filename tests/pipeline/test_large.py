"""Large workspaces arrive whole, in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from customerio_simulator import Simulator, WorkspaceSpec
from customerio_simulator.spec import DAY, NOW
from tests.duckdb_files import duckdb_file
from tests.pipeline.copies import differences

MEASURE = (
    "import resource, sys; from cio_replicate.cli.app import main; sys.argv[0] = 'cio-replicate'\n"
    "try: main()\n"
    "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=open(PEAK, 'w'))\n"
)


@pytest.mark.slow
def test_two_hundred_thousand_deliveries_over_thirty_months(tmp_path: Path) -> None:
    """Every delivery of thirty months is in the copy, none twice, and the process stays below 500 MB."""
    spec = WorkspaceSpec(seed=12, messages=200_000, start=NOW - 913 * DAY)
    peak = tmp_path / "peak"
    with Simulator(spec) as simulator:
        done = subprocess.run(
            [
                *(sys.executable, "-c", MEASURE.replace("PEAK", repr(str(peak))), "sync"),
                *("--start-date", "2024-04-01", "--to", f"duckdb:///{tmp_path / 'copy.duckdb'}", "--quiet"),
                *("--state-dir", str(tmp_path / "state"), "--api-url", simulator.url, "--max-rps", "1000"),
            ],
            env={**os.environ, "CIO_ACCESS_TOKEN": "simulator-token"},
            capture_output=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert differences(simulator, tmp_path / "copy.duckdb", ("messages",)) == {}
    with duckdb_file(tmp_path / "copy.duckdb", read_only=True) as connection:
        counts = connection.execute("SELECT count(*), count(DISTINCT id) FROM customerio.messages").fetchone()
    assert counts == (200_000, 200_000)
    assert int(peak.read_text()) * 1024 < 500_000_000
