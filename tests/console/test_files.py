"""Settings in files: read, compared with what is kept, brought about all or not at all, and written out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped] # ships no types
import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from cio_replicate.base.text import Secret
from cio_replicate.config.documents import (
    ChannelSettings,
    ConnectionSettings,
    Documents,
    ScheduleSettings,
    TaskSettings,
    documents,
    json_schema,
    plain,
)
from cio_replicate.console import settings_files
from cio_replicate.console.apply_settings import Change, ChangeContext, difference
from cio_replicate.console.installation import ControlServices
from cio_replicate.database.rows import documents_of
from tests.config.refused import refusal
from tests.console.stage import START, STORES, environment
from tests.console.stores import ADMIN, OPERATOR, store_of, told

NOW = int(START)
TEXT = """
[connections.main]
start_date = 2024-01-31
access_token_from = "env:CIO_ACCESS_TOKEN"
max_rps = 5

[channels.hook]
url = "json://127.0.0.1:9/x"

[tasks.daily]
connection = "main"
to = ["duckdb:////data/copy.duckdb"]
schedule = { cron = "0 3 * * *", zone = "Europe/Berlin" }
notify = ["hook"]

[tasks.then]
connection = "main"
to = ["postgresql://loader@db.internal/crm?password=env:DB_PASSWORD"]
tables = "campaigns,messages"
after = "daily"
"""


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ControlServices]:
    """A store of each kind."""
    with store_of(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def small(tmp_path: Path) -> Iterator[ControlServices]:
    """A store in a file."""
    with store_of("sqlite", tmp_path) as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with a connection, a channel and two tasks."""
    path = tmp_path / "cio-replicate.toml"
    path.write_text(TEXT)
    return path


def wanted_of(place: Path) -> Documents:
    """What files say."""
    return settings_files.read(place, NOW)


def shown(store: ControlServices, wanted: Documents, *, prune: bool = False) -> list[Change]:
    """What would be done."""
    with store.database.reading() as transaction:
        return settings_files.wanted_changes(transaction, wanted, prune=prune)


def apply(store: ControlServices, folder: Path, wanted: Documents, *, prune: bool = False) -> list[Change]:
    """Do it."""
    changes = shown(store, wanted, prune=prune)
    with store.database.writing() as transaction:
        settings_files.apply(
            transaction,
            changes,
            wanted,
            ChangeContext(ADMIN, NOW, store.keys, environment(folder), store.dispatch),
            prune=prune,
        )
    return changes


def kept(store: ControlServices) -> Documents:
    """What is kept."""
    with store.database.reading() as transaction:
        return documents_of(transaction)


def lines(changes: list[Change]) -> list[str]:
    """What is done, in a line each."""
    return [f"{one.what} {one.kind} {one.name}" for one in changes]


# --- reading ---------------------------------------------------------------------------------------------------------


def test_a_file_says_what_is_wanted(file: Path) -> None:
    """Every entry by its name, each setting that is not named as it is by default; a date may be written as one."""
    wanted = wanted_of(file)
    assert wanted.connections == {
        "main": ConnectionSettings(
            start_date="2024-01-31", access_token_from="env:CIO_ACCESS_TOKEN", max_rps=5.0, region="auto"
        )
    }
    assert wanted.tasks["daily"].schedule == ScheduleSettings(cron="0 3 * * *", zone="Europe/Berlin")
    assert wanted.tasks["then"].after == "daily"
    assert wanted.channels["hook"].events == ["failure", "recovery", "short", "schema"]


def test_the_files_of_a_folder_are_one(file: Path, tmp_path: Path) -> None:
    """All that end in .toml are taken together; an entry that stands in two of them is refused, naming both."""
    folder = tmp_path / "settings"
    folder.mkdir()
    whole = tomlkit.parse(TEXT).unwrap()
    for section, entries in whole.items():
        (folder / f"{section}.toml").write_text(tomlkit.dumps({section: entries}))
    (folder / "notes.md").write_text("not settings")
    assert wanted_of(folder) == wanted_of(file)
    (folder / "more.toml").write_text(tomlkit.dumps({"tasks": {"daily": whole["tasks"]["then"]}}))
    said = refusal(lambda: wanted_of(folder))
    assert "tasks.daily" in said
    assert f"{folder / 'more.toml'} and {folder / 'tasks.toml'}" in said


WRONG: dict[str, tuple[str, str]] = {
    "no TOML": ("[connections.main\n", "no TOML"),
    "twice in a file": ("[connections.a]\n[connections.a]\n", "no TOML"),
    "an unknown section": ("[conections.main]\n", "connections"),
    "an unknown setting": ("[connections.main]\nstart_dat = '2024-01-31'\n", "start_date"),
    "an unknown setting of a schedule": (
        "[tasks.a]\nconnection = 'x'\nto = []\nschedule = {crn = 'x'}\n",
        "cron",
    ),
    "a setting that is missing": ("[connections.main]\nregion = 'us'\n", "start_date"),
    "a value of another kind": ("[connections.main]\nstart_date = '2024-01-31'\nmax_rps = 'hunter2'\n", "max_rps"),
    "a section that is none": ("connections = 'hunter2'\n", "connections"),
    "a name that is none": ("[connections.'a b']\nstart_date = '2024-01-31'\n", "cannot be called"),
    "a token": ("[connections.a]\nstart_date = '2024-01-31'\naccess_token_from = 'hunter2'\n", "connections.a"),
    "a password": ("[tasks.a]\nconnection = 'x'\nto = ['postgresql://u:hunter2@h/d']\n", "tasks.a"),
    "a relative path": ("[tasks.a]\nconnection = 'x'\nto = ['duckdb:///copy.duckdb']\n", "whole path"),
    "one that is nested too deeply": ("x = " + "[" * 100_000, "nested too deeply"),
    "a wrong quote": ("access_token_from = 'hunter2", "no TOML"),
    "a bare word": ("access_token_from = hunter2", "no TOML"),
}


@pytest.mark.parametrize(("text", "says"), WRONG.values(), ids=WRONG.keys())
def test_a_file_that_says_nothing_sound_is_refused(file: Path, text: str, says: str) -> None:
    """The refusal names the file, and where in it; what may be a secret is not shown."""
    file.write_text(text)
    said = refusal(lambda: wanted_of(file))
    assert says in said
    assert str(file) in said
    assert "hunter2" not in said


def test_a_place_without_settings_is_refused(tmp_path: Path) -> None:
    """No file, an empty folder, a file that is no text, and one that is far too large."""
    assert "cannot be read" in refusal(lambda: wanted_of(tmp_path / "none.toml"))
    assert "no file" in refusal(lambda: wanted_of(tmp_path))
    for content, says in ((b"\xff\xfe", "UTF-8"), (b"#" * (settings_files.MOST_BYTES + 1), "too large")):
        (tmp_path / "a.toml").write_bytes(content)
        assert says in refusal(lambda: wanted_of(tmp_path))


# --- comparing and applying ------------------------------------------------------------------------------------------


def test_what_is_applied_is_kept_and_then_there_is_nothing_to_do(
    store: ControlServices, file: Path, tmp_path: Path
) -> None:
    """In an order in which each thing is there before what names it; each is in the audit log."""
    wanted = wanted_of(file)
    changes = apply(store, tmp_path, wanted)
    assert lines(changes) == [
        "create channel hook",
        "create connection main",
        "create task daily",
        "create task then",
    ]
    assert kept(store) == wanted
    assert [f"{one.did} {one.what}" for one in told(store)] == [
        "channel.create hook",
        "connection.create main",
        "task.create daily",
        "task.create then",
    ]
    assert shown(store, wanted, prune=True) == []
    assert store.tasks.named("daily").next_at is not None


def test_the_difference_names_each_field_with_both_values(small: ControlServices, file: Path, tmp_path: Path) -> None:
    """What is not in the files stays, unless it is to be pruned; then it goes, what names others first."""
    apply(small, tmp_path, wanted_of(file))
    file.write_text(
        TEXT.replace("max_rps = 5", "max_rps = 2.5").replace(
            'cron = "0 3 * * *", zone = "Europe/Berlin"', 'every = "6h"'
        )
    )
    changes = shown(small, wanted_of(file))
    assert lines(changes) == ["edit connection main", "edit task daily"]
    assert [(one.name, one.old, one.new) for change in changes for one in change.fields] == [
        ("max_rps", "5", "2.5"),
        ("schedule.cron", "0 3 * * *", None),
        ("schedule.every", None, "6h"),
        ("schedule.zone", "Europe/Berlin", "UTC"),
    ]
    file.write_text("")
    assert shown(small, wanted_of(file)) == []
    assert lines(apply(small, tmp_path, wanted_of(file), prune=True)) == [
        "delete task daily",
        "delete task then",
        "delete connection main",
        "delete channel hook",
    ]
    assert kept(small) == Documents()


def test_all_is_applied_or_nothing(small: ControlServices, file: Path, tmp_path: Path) -> None:
    """A mistake in the last entry leaves what is kept as it was, and no line in the audit log."""
    file.write_text(TEXT + '[tasks.zz]\nconnection = "mian"\nto = ["duckdb:////x.duckdb"]\n')
    assert "mian" in refusal(lambda: apply(small, tmp_path, wanted_of(file)))
    file.write_text(TEXT.replace('after = "daily"', 'after = "dialy"'))
    assert "daily is meant" in refusal(lambda: apply(small, tmp_path, wanted_of(file)))
    assert (kept(small), told(small)) == (Documents(), [])


def test_what_was_changed_meanwhile_is_not_overwritten(small: ControlServices, file: Path, tmp_path: Path) -> None:
    """What is applied is what was shown, or nothing."""
    wanted = wanted_of(file)
    changes = shown(small, wanted)
    small.connections.create("main", ConnectionSettings(start_date="2024-01-31"), ADMIN)
    means = ChangeContext(ADMIN, NOW, small.keys, environment(tmp_path), small.dispatch)

    def late() -> None:
        with small.database.writing() as transaction:
            settings_files.apply(transaction, changes, wanted, means, prune=False)

    assert "meanwhile" in refusal(late)
    assert list(kept(small).tasks) == []


def test_only_an_admin_applies(small: ControlServices, file: Path, tmp_path: Path) -> None:
    """Whoever may run may not."""
    wanted = wanted_of(file)
    means = ChangeContext(OPERATOR, NOW, small.keys, environment(tmp_path), small.dispatch)

    def as_operator() -> None:
        with small.database.writing() as transaction:
            settings_files.apply(transaction, shown(small, wanted), wanted, means, prune=False)

    assert "Only the role admin" in refusal(as_operator)


def test_a_task_that_was_paused_by_hand_is_shown_as_a_difference(
    small: ControlServices, file: Path, tmp_path: Path
) -> None:
    """Files that say nothing of it let it go on, and say so first."""
    apply(small, tmp_path, wanted_of(file))
    small.tasks.pause("daily", OPERATOR)
    (change,) = shown(small, wanted_of(file))
    assert [(one.name, one.old, one.new) for one in change.fields] == [("paused", "yes", "no")]


# --- writing ---------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_again_and_holds_no_secret(small: ControlServices, tmp_path: Path) -> None:
    """A stored token is named, and what is as it is by default is left out."""
    small.connections.create("main", ConnectionSettings(start_date="2024-01-31"), ADMIN, Secret("marked-token"))
    small.channels.create("team", ChannelSettings(url=""), ADMIN, Secret("slack://marked-channel/b/c"))
    task = TaskSettings(
        connection="main",
        to=["duckdb:////data/copy.duckdb", "parquet:////data/lake"],
        schedule=ScheduleSettings(every="6h"),
        notify=["team"],
        columns=['customers:rename=id:"a b"'],
    )
    small.tasks.create("daily", task, ADMIN)
    text = settings_files.written(kept(small))
    (tmp_path / "out.toml").write_text(text)
    assert wanted_of(tmp_path / "out.toml") == kept(small)
    assert "marked" not in text
    assert 'access_token_from = "stored:connection/main"' in text
    assert "max_rps" not in text
    assert settings_files.written(Documents()) == ""


names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,9}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
maybe = st.none() | texts
connections = st.builds(
    ConnectionSettings, start_date=texts, region=texts, api_url=maybe, max_rps=st.floats(0.01, 10), gateway=maybe
)
schedules = st.builds(ScheduleSettings, cron=maybe, every=maybe, zone=texts, begin=maybe, end=maybe)
tasks = st.builds(
    TaskSettings,
    connection=names,
    to=st.lists(texts, max_size=3),
    tables=maybe,
    mode=st.none() | st.lists(texts, max_size=2),
    erase=st.booleans(),
    schedule=st.none() | schedules,
    notify=st.lists(names, max_size=2),
    retries=st.integers(0, 5),
)
channels = st.builds(ChannelSettings, url=texts, events=st.lists(texts, max_size=3))
any_documents = st.builds(
    Documents,
    connections=st.dictionaries(names, connections, max_size=2),
    tasks=st.dictionaries(names, tasks, max_size=2),
    channels=st.dictionaries(names, channels, max_size=2),
)


@given(written=any_documents)
def test_any_settings_survive_a_file(written: Documents) -> None:
    """Whatever they hold: quotation marks, line breaks, emoji."""
    back = documents(tomlkit.parse(settings_files.written(written)).unwrap())
    assert difference(written, back, prune=True) == []
    assert back == written


# --- the schema ------------------------------------------------------------------------------------------------------


def test_the_schema_takes_what_a_file_may_say_and_refuses_a_misspelling(file: Path) -> None:
    """It is a sound JSON Schema, in which each setting has a sentence."""
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert list(validator.iter_errors(plain(wanted_of(file)))) == []
    wrong: tuple[dict[str, Any], ...] = (
        {"conections": {}},
        {"connections": {"a": {"start_date": "2024-01-31", "max_rp": 5}}},
        {"connections": {"a": {}}},
        {"connections": {"a": {"start_date": "2024-01-31", "region": "asia"}}},
        {"tasks": {"a": {"connection": "a", "to": "duckdb:////x"}}},
    )
    assert [list(validator.iter_errors(one)) == [] for one in wrong] == [False] * len(wrong)
    settings = [one for name, one in schema["$defs"].items() if name != "Documents"]
    described = {name: bool(one.get("description")) for kind in settings for name, one in kind["properties"].items()}
    assert [name for name, has in described.items() if not has and name != "schedule"] == []
