"""The commands about connections, tasks, channels, secrets and files, as a user calls them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Protocol

import pytest

from cio_replicate.cli.app import program
from cio_replicate.console import gateways
from cio_replicate.database.connection import Database
from cio_replicate.jobs.ports import ProbeResult, TableProbe
from cio_replicate.source.catalog import TABLES
from tests.cli.running import TOKEN, Ended, run, spawn

GROUPS = ("connection", "task", "channel", "secret")
KEEP = ("--start-date=2025-08-27", "--max-rps=500")
TO = "--to=duckdb:////data/copy.duckdb"


class Do(Protocol):
    """Runs a command, `said` coming to it by standard input."""

    def __call__(self, *arguments: str, said: str = "", token: str | None = TOKEN) -> Ended:
        """How it ended."""


@pytest.fixture
def do(folder: Path) -> Do:
    """Runs a command in the folder of the test."""

    def called(*arguments: str, said: str = "", token: str | None = TOKEN) -> Ended:
        return run(folder, *arguments, token=token, said=said)

    return called


def done(ended: Ended) -> str:
    """What a command wrote that ended well."""
    assert ended.code == 0, ended
    assert ended.err == ""
    return ended.out


def told(ended: Ended) -> Any:
    """The JSON document of a command that ended well."""
    return json.loads(done(ended))


def kept(folder: Path) -> bytes:
    """All that stands in the files of the user who runs the commands in that folder."""
    home = folder.parent / f"{folder.name}-home"
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


# --- connections -----------------------------------------------------------------------------------------------------


def test_a_connection_from_its_token_to_its_metadata(folder: Path, url: str) -> None:
    """Made with a token from standard input, tested, opened, edited and deleted; the token is seen nowhere."""
    at = f"--api-url={url}"
    ended = [
        run(folder, "connection", "create", "main", *KEEP, at, "--access-token-stdin", token=None, said=f"{TOKEN}\n")
    ]
    assert "connection test main" in done(ended[0])
    ended.append(run(folder, "connection", "list", token=None))
    assert "main" in done(ended[-1])
    ended.append(run(folder, "connection", "show", "main", "--json", token=None))
    shown = told(ended[-1])
    assert (shown["settings"]["access_token_from"], shown["tasks"]) == ("stored:connection/main", [])
    ended.append(run(folder, "connection", "test", "main", token=None))
    assert f"main works: {len(TABLES)} tables can be read" in done(ended[-1])
    ended.append(run(folder, "connection", "metadata", "main", "--json", token=None))
    opened = told(ended[-1])
    assert len(opened["tables"]) == len(TABLES)
    ended.append(run(folder, "connection", "metadata", "main", "messages", "--last", token=None))
    assert "docs.customer.io" in done(ended[-1])
    ended.append(run(folder, "connection", "edit", "main", "--max-rps=250", "--api-url=", token=None))
    assert "max_rps: 500 → 250" in done(ended[-1])
    assert f"api_url: {url} → none" in ended[-1].out
    ended.append(run(folder, "connection", "delete", "main", "--yes", "--json", token=None))
    assert told(ended[-1]) == {"status": "deleted", "connection": "main"}
    assert TOKEN not in "".join(one.out + one.err for one in ended)
    assert TOKEN.encode() not in kept(folder)


def test_a_connection_whose_key_may_not_read_a_table(do: Do, closed_url: str) -> None:
    """The table is named with the cause and the fix, and the exit code is that of `check`."""
    done(do("connection", "create", "main", *KEEP, f"--api-url={closed_url}"))
    ended = do("connection", "test", "main")
    assert ended.code == 2
    assert "segments:" in ended.out
    assert f"1 of {len(TABLES)} tables cannot be read" in ended.out
    wrong = do("connection", "test", "main", "--json", token="another-secret-key")
    assert (wrong.code, json.loads(wrong.out)["status"]) == (2, "refused")
    assert "another-secret-key" not in wrong.out + wrong.err
    assert do("connection", "metadata", "main", token="another-secret-key").code == 2


def test_a_connection_with_a_gateway_is_asked_about_there(do: Do, folder: Path) -> None:
    """A machine of the gateway answers; what it found of the tables is kept."""
    done(do("gateway", "create", "lan"))
    done(do("connection", "create", "main", *KEEP, "--gateway=lan"))
    home = folder.parent / f"{folder.name}-home"
    answer = ProbeResult(
        api="https://api.customer.io", region="us", tables=[TableProbe(name="segments", readable=True, rows=7)]
    )
    with _machine_of("lan", Database(f"sqlite:///{home}/.local/share/cio-replicate/console.db"), answer):
        assert "main works" in done(do("connection", "test", "main"))
        assert told(do("connection", "metadata", "main", "segments", "--json"))["rows"] == 7
    assert told(do("connection", "metadata", "main", "segments", "--json", "--last"))["readable"] is True


@contextmanager
def _machine_of(gateway: str, database: Database, answer: ProbeResult) -> Iterator[None]:
    """A machine of a gateway, which answers every question so."""
    stop = threading.Event()

    def serve() -> None:
        while not stop.wait(0.02):
            with database.writing() as connection:
                asked = gateways.take(connection, gateway, "m/w", int(time.time()))
                if asked is not None:
                    gateways.answer(connection, asked.id, "m/w", answer, int(time.time()))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        database.close()


# --- tasks -----------------------------------------------------------------------------------------------------------


def test_a_task_from_its_making_to_its_end(do: Do, folder: Path) -> None:
    """Made with a schedule, shown with its next times, edited, paused, resumed and deleted."""
    done(do("connection", "create", "main", *KEEP))
    made = told(
        run(
            folder, "task", "create", "daily", "--connection=main", "--to=duckdb:///copy.duckdb", "--every=6h", "--json"
        )
    )
    assert made["settings"]["to"] == [f"duckdb:///{folder}/copy.duckdb"]
    assert made["next"]
    done(do("task", "create", "then", "--connection=main", TO, "--after=daily", "--tables=campaigns"))
    listed = done(do("task", "list"))
    assert "every 6h" in listed
    assert "after daily" in listed
    assert len(told(do("task", "show", "daily", "--json"))["times"]) == 3
    assert "campaigns" in done(do("task", "show", "then"))
    edited = done(do("task", "edit", "daily", "--cron=0 3 * * *", "--zone=Europe/Berlin", "--keep-landed"))
    assert "schedule.every: 6h → none" in edited
    assert "keep_landed: no → yes" in edited
    again = done(do("task", "edit", "daily", "--cron=", "--no-keep-landed"))
    assert "schedule.cron: 0 3 * * * → none" in again
    assert told(do("task", "pause", "daily", "--json"))["paused"] is True
    assert "paused already" in done(do("task", "pause", "daily"))
    assert told(do("task", "resume", "daily", "--json"))["paused"] is False
    used = do("task", "delete", "daily", "--yes")
    assert (used.code, "task then" in used.err) == (2, True)
    for name in ("then", "daily"):
        assert "copy stays" in done(do("task", "delete", name, "--yes"))
    assert told(do("task", "list", "--json")) == {"tasks": []}


# --- channels --------------------------------------------------------------------------------------------------------


@pytest.fixture
def hook() -> Iterator[tuple[str, list[bytes]]]:
    """The address of a webhook, and what comes in there."""
    came: list[bytes] = []

    class Hook(BaseHTTPRequestHandler):
        """Takes what comes to /hook, and nothing else."""

        def do_POST(self) -> None:
            """Take it."""
            came.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200 if self.path.startswith("/hook") else 403)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", came
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")  # what sends still imports it
def test_a_channel_is_tried_out(do: Do, folder: Path, hook: tuple[str, list[bytes]]) -> None:
    """A notification arrives; where it does not, the exit code says so, and nothing of the address is shown."""
    where, came = hook
    done(do("channel", "create", "team", "--url-stdin", said=f"json://{where}/hook/marked-secret"))
    assert "Sent" in done(do("channel", "test", "team"))
    assert "cio-replicate" in json.loads(came[0])["title"]
    done(do("channel", "create", "wrong", f"--url=json://{where}/marked-other", "--event=failure"))
    ended = do("channel", "test", "wrong", "--json")
    assert (ended.code, json.loads(ended.out)["status"]) == (2, "refused")
    assert "marked" not in ended.out + ended.err
    assert "stored:channel/team" in done(do("channel", "list"))
    done(do("channel", "delete", "team", "--yes"))
    assert [one["name"] for one in told(do("channel", "list", "--json"))["channels"]] == ["wrong"]
    assert b"marked-secret" not in kept(folder)


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_a_secret_from_its_storing_to_its_removal(do: Do, folder: Path) -> None:
    """Stored, replaced, used, rotated and removed; there is no way to see it."""
    ended = [do("secret", "put", "warehouse", said="marked-one")]
    assert "console.key" in done(ended[0])
    ended.append(do("secret", "put", "warehouse", "--json", said="marked-two\n"))
    assert told(ended[-1])["status"] == "replaced"
    done(do("connection", "create", "main", *KEEP))
    to = "--to=postgresql://loader@db.internal/crm?password=stored:warehouse"
    done(do("task", "create", "daily", "--connection=main", to))
    ended.append(do("secret", "list"))
    assert "task daily" in done(ended[-1])
    ended.append(do("secret", "remove", "warehouse", "--yes"))
    assert (ended[-1].code, "task daily" in ended[-1].err) == (2, True)
    ended.append(do("secret", "rotate"))
    assert "Encrypted 1 secret with a new key" in done(ended[-1])
    ended.append(do("export"))
    done(do("task", "delete", "daily", "--yes"))
    ended.append(do("secret", "remove", "warehouse", "--yes"))
    assert told(do("secret", "list", "--json"))["secrets"] == []
    assert "marked" not in "".join(one.out + one.err for one in ended)
    assert b"marked" not in kept(folder)


def test_a_key_that_is_lost_is_told_and_can_be_done_without(do: Do, folder: Path) -> None:
    """The sentence names the place of the key and the way on; who goes on is told what is gone."""
    done(do("secret", "put", "warehouse", said="marked"))
    (key,) = (folder.parent / f"{folder.name}-home").rglob("console.key")
    key.unlink()
    ended = do("secret", "put", "other", said="x")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert str(key) in ended.err
    assert "--key-lost" in ended.err
    assert "Say --yes." in do("secret", "rotate", "--key-lost", said="").err
    assert "warehouse" in done(do("secret", "rotate", "--key-lost", "--yes"))
    done(do("secret", "put", "other", said="x"))


# --- files -----------------------------------------------------------------------------------------------------------


def test_files_are_applied_after_their_difference_is_shown(do: Do, folder: Path) -> None:
    """Nothing is done unless it is meant; a second time there is nothing to do; what was applied is exported."""
    file = folder / "cio-replicate.toml"
    file.write_text(
        '[connections.main]\nstart_date = "2025-08-27"\n\n[tasks.daily]\nconnection = "main"\n'
        'to = ["duckdb:////data/copy.duckdb"]\nschedule = {cron = "0 3 * * *"}\n'
    )
    asked = do("apply", file.name, said="")
    assert asked.code == 2
    assert "create task daily\n  connection: main\n" in asked.out
    assert "--yes" in asked.err
    assert do("apply", file.name, said="n\n").code == 130
    assert told(do("task", "list", "--json")) == {"tasks": []}
    assert "Applied 2 changes." in done(do("apply", file.name, "--yes"))
    assert "Nothing to do" in done(do("apply", file.name))
    exported = done(do("export"))
    file.write_text(exported.replace("0 3 * * *", "0 4 * * *"))
    assert "schedule.cron: 0 3 * * * → 0 4 * * *" in do("apply", file.name, said="").out
    file.write_text(exported.partition("[tasks")[0])
    assert told(do("apply", file.name, "--json"))["status"] == "unchanged"
    pruned = told(do("apply", ".", "--prune", "--yes", "--json"))
    assert [(one["what"], one["name"]) for one in pruned["changes"]] == [("delete", "daily")]
    assert json.loads(done(do("export", "--schema")))["title"] == "cio-replicate.toml"


# --- refusals --------------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "no start date": (("connection", "create", "main"), "--start-date"),
    "no name": (("connection", "create", *KEEP), "--help"),
    "a token on the command line": (
        ("connection", "create", "main", *KEEP, f"--access-token-from={TOKEN}"),
        "--access-token-from",
    ),
    "no such connection": (("connection", "show", "main"), "connection list"),
    "no such task": (("task", "pause", "daily"), "task list"),
    "no such channel": (("channel", "test", "team"), "channel list"),
    "no such secret": (("secret", "remove", "x", "--yes"), "secret list"),
    "a task without a connection": (("task", "create", "a", "--connection=main", TO), "main"),
    "a password in a destination": (
        ("task", "create", "a", "--connection=main", f"--to=postgresql://u:{TOKEN}@h/d"),
        "password=",
    ),
    "a channel without an address": (("channel", "create", "team"), "--url"),
    "no file": (("apply", "nowhere.toml"), "nowhere.toml"),
    "a store that is none": (("task", "list", "--store=oracle://x"), "sqlite:////"),
    "a store that is away": (("task", "list", "--store=postgresql://u@127.0.0.1:9/d"), "--store"),
}


@pytest.mark.parametrize(("arguments", "fix"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_told_in_one_line(do: Do, folder: Path, arguments: tuple[str, ...], fix: str) -> None:
    """Exit 2, cause and fix, no traceback, no secret."""
    ended = do(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("Error: ")
    assert ended.err.count("\n") == 1
    assert fix in ended.err
    assert "Traceback" not in ended.err
    assert TOKEN not in ended.err
    assert list(folder.iterdir()) == []


def test_without_its_libraries_a_command_names_the_extra(folder: Path) -> None:
    """Not everybody installs them."""
    (folder / "sqlalchemy.py").write_text("raise ModuleNotFoundError('missing', name='sqlalchemy')\n")
    ended = spawn(folder, "task", "list")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "pip install 'cio-replicate[console]'" in ended.err


def test_help_explains_every_option_of_a_group(do: Do) -> None:
    """Each command of a group has its options in its help, each with a sentence."""
    groups: Any = program().commands
    for group in GROUPS:
        for name, command in groups[group].commands.items():
            ended = do(group, name, "--help")
            assert ended.code == 0
            for option in command.loaded.params:
                spellings = [one for one in (*option.opts, *option.secondary_opts) if one.startswith("--")]
                assert all(one in ended.out for one in spellings), (group, name, option.name)
                assert getattr(option, "help", None), f"{group} {name} {option.name} has no sentence"
