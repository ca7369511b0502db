"""Measure a first and a second sync against the simulator, each in a process of its own."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import cio_replicate
from cio_replicate.replication.report import read_report

ROOT = Path(__file__).parents[1]
COMMAND = Path(sys.executable).parent / "cio-replicate"
TOKEN = "bench"  # noqa: S105 (the simulator's made-up one)
KIBIBYTES_PER_MEBIBYTE = 1024


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What one sync cost, measured from outside its process, but for the requests, which it counts itself."""

    run: str
    requests: int
    throttled: int
    rows: int
    seconds: float
    rows_per_second: float
    peak_mib: float


def main() -> None:
    """Start the simulator, sync twice into an empty folder, print the figures and keep them."""
    options = _options()
    workspace = [f"--{name}={getattr(options, name)}" for name in ("messages", "people", "activities", "seed")]
    limits = [f"--rps={options.rps}", f"--latency={options.latency}"]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, _simulator([*workspace, *limits]) as url:
        results = [_sync(run, url, Path(folder), options.max_rps or options.rps) for run in ("first", "second")]
    _print(results)
    print(f"\nkept in {_keep(vars(options), results)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--people", type=int, default=5_000)
    parser.add_argument("--activities", type=int, default=20_000)
    parser.add_argument("--rps", type=int, default=10, help="what the simulator allows per second")
    parser.add_argument(
        "--max-rps", type=int, default=None, help="what the client allows itself; as --rps if not given"
    )
    parser.add_argument("--latency", type=float, default=0.05, help="seconds until the simulator answers")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


@contextlib.contextmanager
def _simulator(arguments: list[str]) -> Iterator[str]:
    """A simulator that runs until the block ends; gives its address."""
    command = [str(COMMAND), "simulate", "--port=0", f"--token={TOKEN}", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or not (url := process.stdout.readline().strip()):
                sys.exit("the simulator did not start")
            # whatever it goes on to say is read, so that it never waits for a reader
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield url
        finally:
            process.terminate()


def _sync(run: str, url: str, folder: Path, max_rps: int) -> Figures:
    """Run one sync to its end; a sync that fails ends the benchmark, since its figures would mean nothing."""
    command = [
        str(COMMAND),
        "sync",
        "--start-date=2024-01-31",
        f"--to=duckdb:///{folder / 'bench.duckdb'}",
        f"--api-url={url}",
        f"--state-dir={folder / 'state'}",
        f"--max-rps={max_rps}",
        "--json",
    ]
    output = folder / f"{run}.json"
    started = time.perf_counter()
    progress = folder / f"{run}.txt"
    with output.open("w", encoding="utf-8") as stdout, progress.open("w", encoding="utf-8") as stderr:
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env={**os.environ, "CIO_ACCESS_TOKEN": TOKEN})
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    told = output.read_text(encoding="utf-8")
    if process.returncode != 0:
        sys.exit(f"the {run} sync ended with {process.returncode}\n{told}\n{progress.read_text(encoding='utf-8')}")
    report = read_report(told)
    rows = sum(table.read for table in report.tables)
    peak_kib = usage.ru_maxrss / (KIBIBYTES_PER_MEBIBYTE if sys.platform == "darwin" else 1)
    return Figures(
        run=run,
        requests=report.requests,
        throttled=report.throttled,
        rows=rows,
        seconds=round(seconds, 2),
        rows_per_second=round(rows / seconds, 1),
        peak_mib=round(peak_kib / KIBIBYTES_PER_MEBIBYTE, 1),
    )


def _print(results: list[Figures]) -> None:
    lines = [list(asdict(results[0])), *(list(map(str, asdict(figures).values())) for figures in results)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


def _keep(options: dict[str, object], results: list[Figures]) -> Path:
    now = datetime.now(UTC)
    path = ROOT / "bench-results" / f"{now:%Y%m%dT%H%M%SZ}.json"
    kept = {
        "at": now.isoformat(timespec="seconds"),
        "version": cio_replicate.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "options": options,
        "runs": [asdict(figures) for figures in results],
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    return path.relative_to(ROOT)


if __name__ == "__main__":
    main()
