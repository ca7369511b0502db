"""The command as a user runs it, in this process or in one of its own: in its own folder, with a marked token."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cio_replicate.cli.app import main

COMMAND = (sys.executable, "-m", "cio_replicate")
TOKEN = "marked-7f3a9c51-token"
START = "2025-08-27"


@dataclass(frozen=True)
class Ended:
    """How a command ended, and every byte that it wrote."""

    code: int
    out: str
    err: str


def environment(home: Path, token: str | None = TOKEN, **more: str) -> dict[str, str]:
    """An environment whose home, and so whose state folder, is the test's own."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "LC_ALL", "TMPDIR"}}
    own = {"HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "COLUMNS": "120", "PYTHONWARNINGS": "error"}
    return {**kept, **own, **({"CIO_ACCESS_TOKEN": token} if token is not None else {}), **more}


def run(
    folder: Path,
    *arguments: str,
    token: str | None = TOKEN,
    variables: Mapping[str, str] | None = None,
    said: str = "",
) -> Ended:
    """Run a command in this process, in `folder`, with its own environment and streams; `said` is its standard input.

    It costs a tenth of a process of its own. `spawn` is for tests whose subject is the process: signals, pipes, and
    files that another program holds.
    """
    out, err, code = _written(), _written(), 0
    before, streams, handler = dict(os.environ), (sys.stdin, sys.stdout, sys.stderr), signal.getsignal(signal.SIGTERM)
    sys.stdin, sys.stdout, sys.stderr = io.TextIOWrapper(io.BytesIO(said.encode()), encoding="utf-8"), out, err
    try:
        os.environ.clear()
        os.environ.update(environment(_home(folder), token, **(variables or {})))
        with contextlib.chdir(folder):
            main(arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os.environ.clear()
        os.environ.update(before)
        sys.stdin, sys.stdout, sys.stderr = streams
        signal.signal(signal.SIGTERM, handler)
    return Ended(code, _text(out), _text(err))


def spawn(folder: Path, *arguments: str, token: str | None = TOKEN, said: str = "") -> Ended:
    """Run the command in a process of its own, as a user does, to its end; `said` is its standard input."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment(_home(folder), token),
        input=said,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def _home(folder: Path) -> Path:
    return folder.parent / f"{folder.name}-home"


def _written() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a command in `folder` and let it run."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment(_home(folder), PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def sync(url: str, *more: str) -> tuple[str, ...]:
    """The arguments of a sync from a simulator into `copy.duckdb`."""
    return ("sync", f"--start-date={START}", "--to=duckdb:///copy.duckdb", f"--api-url={url}", "--max-rps=500", *more)
