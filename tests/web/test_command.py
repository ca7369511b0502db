"""The command that serves the console: its first lines, its ends, and what it refuses to do."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from cio_replicate.base.runtime import SystemClock
from cio_replicate.console.installation import opened
from cio_replicate.console.users import Users
from cio_replicate.database.actor import LOCAL, Role
from tests.cli.running import run
from tests.gateway.certificates import Authority

COMMAND = [str(Path(sys.executable).parent / "cio-replicate"), "console"]


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, **_own(folder)}


def _own(folder: Path) -> dict[str, str]:
    return {
        "CIO_REPLICATE_KEY": f"file:{folder / 'key'}",
        "CIO_REPLICATE_STORE": f"sqlite:///{folder / 'console.db'}",
    }


@contextmanager
def _started(folder: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The command, and the first line that it prints."""
    arguments = [*COMMAND, "--port", "0", "--state-dir", str(folder / "state"), *options]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment(folder)
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process
        finally:
            process.kill()


def _refused(folder: Path, *options: str) -> str:
    ended = run(folder, "console", *options, variables=_own(folder))
    assert (ended.code, ended.out) == (2, "")
    return ended.err


def test_the_first_line_is_the_link_while_there_is_no_user(tmp_path: Path) -> None:
    """Each start prints a new link until somebody has used one; from then on it prints the address alone."""
    with _started(tmp_path) as (first, _):
        assert "/welcome/" in first
        assert httpx.get(first).status_code == 200
    with _started(tmp_path) as (second, _):
        assert "/welcome/" in second
        assert second.rpartition("/")[2] != first.rpartition("/")[2]
    with opened(_environment(tmp_path)["CIO_REPLICATE_STORE"], _environment(tmp_path)) as store:
        Users(store.database, SystemClock()).invite("ada", Role.ADMIN, LOCAL)
    with _started(tmp_path) as (third, _):
        assert third.count("/") == 3
        assert httpx.get(f"{third}healthz").text == "ok\n"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(tmp_path: Path, sent: signal.Signals) -> None:
    """Ctrl-C is how a console is ended, so it is no failure; the store is left for its user alone."""
    with _started(tmp_path) as (_, process):
        process.send_signal(sent)
        _, told = process.communicate(timeout=30)
        assert process.returncode == 0
        assert told.splitlines()[-1].startswith("Ended; ")
    assert (tmp_path / "console.db").stat().st_mode & 0o777 == 0o600


def test_a_port_that_is_taken_is_said_so(tmp_path: Path) -> None:
    """One sentence with the cause and the fix, and no trace of the program."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"cannot listen on 127.0.0.1, port {port}" in _refused(tmp_path, "--port", str(port))
    assert not (tmp_path / "console.db").exists()


def test_it_does_not_listen_for_others_without_tls(tmp_path: Path) -> None:
    """What would let others read passwords along is refused before anything is opened."""
    assert "without encryption" in _refused(tmp_path, "--host", "0.0.0.0")
    assert "belong together" in _refused(tmp_path, "--tls-cert", "cert.pem")
    assert "There is no file" in _refused(tmp_path, "--tls-cert", "cert.pem", "--tls-key", "key.pem")
    assert not (tmp_path / "console.db").exists()


def test_it_speaks_tls_by_itself(tmp_path: Path) -> None:
    """With a certificate browsers reach it by https, and are told to stay with it."""
    authority = Authority(tmp_path)
    authority.server("127.0.0.1")  # which leaves the certificate with its key in a file
    both, trusted = str(tmp_path / "127.0.0.1.pem"), ssl.create_default_context(cafile=authority.file)
    with _started(tmp_path, "--tls-cert", both, "--tls-key", both) as (link, _):
        assert link.startswith("https://127.0.0.1:")
        answer = httpx.get(link, verify=trusted)
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
