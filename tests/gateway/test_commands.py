"""The commands about gateways: what they print, how they refuse, and the files that keep a gateway running."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cio_replicate.base.runtime import SystemClock
from cio_replicate.cli.app import program
from cio_replicate.gateway import agent
from cio_replicate.gateway.agent import AWAY, FRESH, GatewayHealth, trouble_of
from cio_replicate.gateway.identity import Enrolment, GatewayFolder
from tests.cli.running import Ended, run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder to run commands in."""
    path = tmp_path / "here"
    path.mkdir()
    return path


def _gateway(folder: Path, *arguments: str) -> Ended:
    return run(folder, "gateway", *arguments, variables={"CIO_REPLICATE_STORE": f"sqlite:///{folder}/console.db"})


def test_a_gateway_is_made_listed_shut_out_and_removed(folder: Path) -> None:
    """Each command says what it did; the code is shown once and is nowhere else."""
    made = _gateway(folder, "create", "vienna")
    (code,) = re.findall(r"^  ([0-9A-Z]{5}(?:-[0-9A-Z]{5}){4})$", made.out, re.MULTILINE)
    assert (made.code, f"--code {code}" in made.out) == (0, True)
    more = json.loads(_gateway(folder, "code", "vienna", "--json").out)
    assert (more["gateway"], more["status"]) == ("vienna", "waiting")
    (listed,) = json.loads(_gateway(folder, "list", "--json").out)["gateways"]
    assert (listed["name"], listed["members"], listed["codes"]) == ("vienna", [], 2)
    shown = _gateway(folder, "list").out
    assert "vienna" in shown
    assert code not in shown
    refused = _gateway(folder, "revoke", "vienna")
    assert (refused.code, "Say --yes" in refused.err) == (2, True)
    assert "Shut out 0 machines" in _gateway(folder, "revoke", "vienna", "--yes").out
    assert _gateway(folder, "remove", "vienna", "--yes").code == 0
    assert "There is no gateway yet" in _gateway(folder, "list").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("code", "graz"), "There is no gateway 'graz'."),
        (("revoke", "graz", "--yes"), "There is no gateway and no single machine 'graz'."),
        (("create", "Big City"), "A gateway cannot be called 'Big City'."),
        (("start", "--console", "http://console.example"), "is not protected"),
        (("start",), "This machine is not enrolled as a gateway."),
        (("start", "--console", "https://console.example"), "This machine is not enrolled as a gateway."),
        (("start", "--console", "https://console.example", "--code", "env:NOT_SET"), "NOT_SET, which --code names"),
        (("status",), "This machine is not enrolled as a gateway."),
        (("unit", "--console", "http://console.example"), "is not protected"),
    ],
)
def test_what_cannot_be_done_is_said_in_two_sentences(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    """With exit code 2, without a traceback."""
    store = () if arguments[0] in ("start", "status", "unit") else ("--store", f"sqlite:///{folder}/console.db")
    ended = run(folder, "gateway", *arguments, *store, token=None)
    assert (ended.code, said in ended.err, "Traceback" in ended.err) == (2, True, False)


def test_a_console_that_is_not_there_is_said(folder: Path) -> None:
    """To enrol is tried a few times, and then ends with a sentence."""
    ended = _gateway(folder, "start", "--console", "http://127.0.0.1:1", "--code", "AAAAA-AAAAA")
    assert (ended.code, "Nobody answers at http://127.0.0.1:1" in ended.err) == (2, True)


def test_a_signal_is_heard_whatever_the_program_does_just_then(folder: Path) -> None:
    """Also in the middle of a wait, of which there are many."""
    program = (
        "import os, signal, threading\n"
        "from cio_replicate.cli.terminal import StopSignal\n"
        "stop, pause = StopSignal(), threading.Event()\n"
        "threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()\n"
        "while not stop(): pause.wait(0.00001)\n"
    )
    started = [subprocess.Popen([sys.executable, "-c", program], cwd=folder) for _ in range(4)]
    assert [one.wait(30) for one in started] == [0] * 4


def test_a_gateway_needs_nothing_of_what_a_console_needs(folder: Path) -> None:
    """It starts where only the extra for gateways is installed."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    names = {kind: {re.split(r"[\[<>=]", one)[0] for one in extras[kind]} for kind in ("console", "gateway")}
    lacking = sorted({"psycopg", "dlt"} | names["console"] - names["gateway"])
    program = (
        "import sys\n"
        f"for name in {lacking}: sys.modules[name] = None\n"
        "from cio_replicate.cli.app import main\n"
        "main(['gateway', 'start', '--state-dir', 'state'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, "This machine is not enrolled as a gateway." in done.stderr) == (2, True)


def _noted(**changes: object) -> GatewayHealth:
    known: dict[str, object] = {
        "at": 1_000,
        "pid": 1,
        "version": "1",
        "console": "https://c",
        "gateway": "vienna",
        "member": "m",
        "started_at": 0,
        "heard_at": 999,
    }
    return GatewayHealth(**{**known, **changes})  # type: ignore[arg-type] # fields of any kind


def test_a_gateway_is_healthy_while_the_console_answers() -> None:
    """It says what is wrong when it does not run, is stuck, or is not answered."""
    assert trouble_of(_noted(), 1_000, running=True) is None
    assert trouble_of(_noted(), 1_000, running=False) == "The gateway is not running."
    assert trouble_of(None, 1_000, running=True) == "The gateway is not running."
    assert "has not noted anything" in str(trouble_of(_noted(), 1_001 + FRESH, running=True))
    assert "has not answered yet" in str(trouble_of(_noted(heard_at=None), 1_000, running=True))
    assert "has not answered for" in str(trouble_of(_noted(heard_at=999 - AWAY), 1_000, running=True))


def test_the_status_of_a_machine_is_what_its_gateway_noted(folder: Path) -> None:
    """In words or as JSON, with exit code 0 when it is healthy and 1 when not."""
    state, now = folder / "state", int(SystemClock().now())
    with GatewayFolder(state) as held:
        held.remember(Enrolment(console="https://c.example", gateway="vienna", member="m" * 32))
        agent.note(state, _noted(at=now, heard_at=now, running=1))
        good = _gateway(folder, "status", "--state-dir", str(state))
    assert (good.code, "It runs, and the console answers." in good.out) == (0, True)
    bad = _gateway(folder, "status", "--state-dir", str(state), "--json")
    assert (bad.code, json.loads(bad.out)["trouble"]) == (1, "The gateway is not running.")


def test_the_unit_is_one_that_systemd_takes(folder: Path) -> None:
    """By systemd's own check, where it is installed; and the command in it is one of ours."""
    text = _gateway(folder, "unit", "--console", "https://console.example.com/100%").out
    file = folder / "cio-replicate-gateway.service"
    file.write_text(text)
    analyze = shutil.which("systemd-analyze")
    if analyze is not None:
        done = subprocess.run([analyze, "verify", str(file)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
    (command,) = re.findall(r"^ExecStart=\S+ (.*)$", text, re.MULTILINE)
    assert "https://console.example.com/100%%" in command
    _require_known(command.split())


def test_the_container_file_names_commands_that_there_are(folder: Path) -> None:
    """Each instruction is one that container files have, and each command with its options is one of ours."""
    text = _gateway(folder, "unit", "--kind", "container", "--console", "https://console.example.com").out
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    told = [line.split(" ", 1) for line in lines if line and not line.startswith("#")]
    assert {name for name, _ in told} <= {
        "FROM",
        "RUN",
        "USER",
        "VOLUME",
        "HEALTHCHECK",
        "STOPSIGNAL",
        "ENTRYPOINT",
        "CMD",
    }
    known = dict(told)
    started = json.loads(known["ENTRYPOINT"]) + json.loads(known["CMD"])
    checked = json.loads(known["HEALTHCHECK"].partition("CMD ")[2])
    for command in (started, checked):
        assert command[0] == "cio-replicate"
        _require_known(command[1:])
    assert known["STOPSIGNAL"] == "SIGTERM"


def test_the_page_about_gateways_names_commands_that_there_are() -> None:
    """Each command in it is one of ours, with options that it has."""
    text = (ROOT / "docs" / "gateway.md").read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line.partition("  #")[0].partition(" > ")[0] for line in text.splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("cio-replicate ")]
    assert len(commands) > 10
    for words in commands:
        _require_known(words)


def _require_known(words: list[str]) -> None:
    """The words are a command of ours with options that it has."""
    command: Any = program()
    at = 0
    while hasattr(command, "commands"):
        command, at = command.commands[words[at]], at + 1
    options = {option for one in command.loaded.params for option in one.opts}
    assert {one.partition("=")[0] for one in words[at:] if one.startswith("--")} <= options
