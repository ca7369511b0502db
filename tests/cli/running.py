"""The command as a user starts it: in a process of its own, in a folder of its own, with a marked token."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

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
    said: str | None = None,
) -> Ended:
    """Run a command in `folder` to its end; `said` comes to it by standard input."""
    home = folder.parent / f"{folder.name}-home"
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment(home, token, **(variables or {})),
        input=said,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def run_here(
    patch: pytest.MonkeyPatch, written: pytest.CaptureFixture[str], folder: Path, *arguments: str, token: str | None
) -> Ended:
    """Run a command in this process, which is quicker; for those that end before they do anything."""
    patch.chdir(folder)
    for name in os.environ.keys() - environment(folder).keys():
        patch.delenv(name)
    for name, value in environment(folder.parent / f"{folder.name}-home", token).items():
        patch.setenv(name, value)
    if token is None:
        patch.delenv("CIO_ACCESS_TOKEN", raising=False)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
    finally:
        signal.signal(signal.SIGTERM, before)
    out, err = written.readouterr()
    return Ended(int(ended.value.code or 0), out, err)


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a command in `folder` and let it run."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment(folder.parent / f"{folder.name}-home", PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def sync(url: str, *more: str) -> tuple[str, ...]:
    """The arguments of a sync from a simulator into `copy.duckdb`."""
    return ("sync", f"--start-date={START}", "--to=duckdb:///copy.duckdb", f"--api-url={url}", "--max-rps=500", *more)
