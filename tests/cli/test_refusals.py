"""What is wrong in settings or access: exit 2, one line that names cause and fix, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from tests.cli.running import TOKEN, Ended, run, spawn, sync

OTHERS = "https://api.customer.io"  # never asked: the settings are refused before
WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "no start date": (("sync", "--to=duckdb:///x.duckdb"), "--start-date"),
    "no destination": (("sync", "--start-date=2024-01-31"), "--to"),
    "a start date that is none": (sync(OTHERS, "--start-date=31.1.2024"), "2024-01-31"),
    "a start date to come": (sync(OTHERS, "--start-date=2999-01-01"), "future"),
    "an unknown region": (sync(OTHERS, "--region=asia"), "us, eu or auto"),
    "an address that is none": (sync("nowhere"), "https://host"),
    "an unprotected address": (sync("http://example.com"), "https://"),
    "an address with credentials": (sync(f"https://me:{TOKEN}@example.com"), "CIO_ACCESS_TOKEN"),
    "an unknown table": (sync(OTHERS, "--tables=campaigns,compaigns"), "The tables are:"),
    "an unknown table left out": (sync(OTHERS, "--exclude=compaigns"), "The tables are:"),
    "no table left": (sync(OTHERS, "--tables="), "names no table"),
    "both kinds of selection": (sync(OTHERS, "--tables=topics", "--exclude=types"), "Use one of them."),
    "an unknown table to refresh": (sync(OTHERS, "--full-refresh=compaigns"), "The tables are:"),
    "an unknown destination": (sync(OTHERS, "--to=oracle://x/y"), "duckdb:///"),
    "a destination that names no file": (sync(OTHERS, "--to=duckdb:///"), "names no file"),
    "a dataset that is no name": (sync(OTHERS, "--dataset=a b"), "underscores"),
    "a budget of nothing": (sync(OTHERS, "--max-rps=0"), "0.01 to 10"),
    "a budget that is no number": (sync(OTHERS, "--max-rps=many"), "--max-rps"),
    "a share that is none": (sync(OTHERS, "--budget-share=half"), "1% to 100%"),
    "an unknown option": (sync(OTHERS, "--tokken=x"), "--help"),
    "an unknown command": (("synk",), "--help"),
    "an unknown table to describe": (("tables", "compaigns"), "The tables are:"),
    "unknown faults": (("simulate", "--faults=some"), "none or everything"),
}


@pytest.mark.parametrize("arguments_and_fix", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_setting_is_refused_in_one_line(folder: Path, arguments_and_fix: tuple[tuple[str, ...], str]) -> None:
    """Each wrong setting ends with 2 and one line that says what to do, before anything is asked or written."""
    arguments, fix = arguments_and_fix
    refused(folder, run(folder, *arguments, token=TOKEN), fix)


@pytest.mark.parametrize("token", [None, "", "   ", "two words", "schlüssel"])
def test_a_token_that_cannot_be_one_is_refused(folder: Path, token: str | None) -> None:
    """Without a usable token the variable is named, and its value is not."""
    ended = run(folder, *sync(OTHERS), token=token)
    refused(folder, ended, "CIO_ACCESS_TOKEN")
    assert not token or not token.strip() or token not in ended.out + ended.err


def test_a_process_of_its_own_ends_the_same(folder: Path) -> None:
    """What is true of the settings above is true of the command as it is installed."""
    refused(folder, spawn(folder, *sync(OTHERS, "--start-date=31.1.2024")), "2024-01-31")


def test_a_wrong_key_is_refused(folder: Path, url: str) -> None:
    """A key that the API does not know names the four causes that look alike."""
    ended = run(folder, *sync(url), token="another-secret-key")
    refused(folder, ended, "App API key")
    assert "another-secret-key" not in ended.out + ended.err


def test_a_missing_scope_is_refused(folder: Path, closed_url: str) -> None:
    """A table that the key may not read is named, with the way to leave it out."""
    refused(folder, run(folder, *sync(closed_url)), "--exclude")


def test_an_address_where_nobody_answers_is_refused(folder: Path) -> None:
    """Nobody at the address is an error of its own."""
    refused(folder, run(folder, "check", "--api-url=http://127.0.0.1:9"), "--api-url")


def test_a_missing_folder_is_refused(folder: Path, url: str) -> None:
    """A destination in a folder that does not exist is refused."""
    refused(folder, run(folder, *sync(url, "--to=duckdb:///nowhere/copy.duckdb")), "Make it")


def test_a_state_folder_that_cannot_be_made_is_refused(folder: Path, url: str) -> None:
    """A state folder below a file cannot be made."""
    (folder / "file").write_text("not a folder")
    refused(folder, run(folder, *sync(url, "--state-dir=file/state")), "--state-dir", left={"file"})


def test_a_file_that_is_no_database_is_refused(folder: Path, url: str) -> None:
    """A file of another kind is left as it is."""
    (folder / "copy.duckdb").write_text("not a database")
    refused(folder, run(folder, *sync(url)), "--to", left={"copy.duckdb"})
    assert (folder / "copy.duckdb").read_text() == "not a database"


@pytest.mark.parametrize(
    "command", [sync, lambda url: ("check", f"--api-url={url}", "--to=duckdb:///copy.duckdb", "--max-rps=500")]
)
def test_a_locked_file_is_refused(folder: Path, url: str, command: Callable[[str], tuple[str, ...]]) -> None:
    """A DuckDB file that another program holds is named as such."""
    with duckdb.connect(str(folder / "copy.duckdb")) as held:
        held.execute("CREATE TABLE mine (x INT)")
        ended = spawn(folder, *command(url))
    assert ended.code == 2
    assert "open in another program" in ended.out + ended.err
    assert "Traceback" not in ended.err


def refused(folder: Path, ended: Ended, fix: str, left: set[str] | None = None) -> None:
    """Exit 2, one line, no traceback, no token, nothing written."""
    assert ended.code == 2, ended
    assert ended.out == ""
    assert ended.err.startswith("Error: ")
    assert ended.err.count("\n") == 1
    assert fix in ended.err
    assert "Traceback" not in ended.err
    assert TOKEN not in ended.out + ended.err
    assert {path.name for path in folder.iterdir()} == (left or set())
    assert not (folder.parent / f"{folder.name}-home").exists()
