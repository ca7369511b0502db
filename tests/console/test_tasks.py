"""Tasks: kept, checked, scheduled, paused, changed and deleted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from cio_replicate.base.text import Secret
from cio_replicate.config.documents import ChannelSettings, ConnectionSettings, ScheduleSettings, TaskSettings
from cio_replicate.console.installation import ControlServices
from cio_replicate.database.actor import Actor
from cio_replicate.database.tables import missed, run_lines, runs
from tests.config.refused import refusal
from tests.console.stage import START, STORES
from tests.console.stores import ADMIN, OPERATOR, VIEWER, store_of, told
from tests.manual_clock import ManualClock

HOUR = 3_600
EVERY_HOUR = ScheduleSettings(every="1h")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ControlServices]:
    """A store of each kind, with a connection."""
    with store_of(request.param, tmp_path) as made:
        made.connections.create("main", ConnectionSettings(start_date="2024-01-31"), ADMIN)
        yield made


@pytest.fixture
def clock() -> ManualClock:
    """A clock that the test moves."""
    return ManualClock(START)


@pytest.fixture
def small(tmp_path: Path, clock: ManualClock) -> Iterator[ControlServices]:
    """A store in a file, with a connection."""
    with store_of("sqlite", tmp_path, clock) as made:
        made.connections.create("main", ConnectionSettings(start_date="2024-01-31"), ADMIN)
        yield made


def made(**changed: Any) -> TaskSettings:
    """Settings that can be kept."""
    return TaskSettings(**({"connection": "main", "to": ["duckdb:////tmp/copy.duckdb"]} | changed))


def test_a_task_is_kept_as_it_was_made(store: ControlServices) -> None:
    """Every setting comes back; without a schedule it is due at no time."""
    store.secrets.put("salt", Secret("s"), ADMIN)
    settings = made(
        tables="customers,messages",
        mode=["history", "messages=changes"],
        columns=["customers:hash=identifiers__email"],
        salt="stored:salt",
        retries=0,
        keep_landed=True,
    )
    kept = store.tasks.create("daily", settings, ADMIN)
    assert store.tasks.named("daily") == kept
    assert (kept.settings, kept.next_at, kept.paused, kept.created_at) == (settings, None, False, START)
    assert kept.connection_id == store.connections.named("main").id


def test_a_task_is_found_by_its_name(store: ControlServices) -> None:
    """All are listed by name; one that there is not, and one that there is already, are told."""
    for name in ("b", "a"):
        store.tasks.create(name, made(), ADMIN)
    assert [one.name for one in store.tasks.all()] == ["a", "b"]
    assert "already" in refusal(lambda: store.tasks.create("a", made(), ADMIN))
    for call in (
        lambda: store.tasks.named("c"),
        lambda: store.tasks.edit("c", made(), ADMIN),
        lambda: store.tasks.pause("c", ADMIN),
        lambda: store.tasks.delete("c", ADMIN),
    ):
        assert "task list" in refusal(call)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no such connection": ({"connection": "mian"}, "mian"),
    "no destination": ({"to": []}, "--to"),
    "an unknown destination": ({"to": ["oracle://x/y"]}, "duckdb:///"),
    "a password in a destination": ({"to": ["postgresql://u:hunter2@h/d"]}, "password="),
    "a password written out": ({"to": ["postgresql://u@h/d?password=hunter2"]}, "env:NAME"),
    "a file of any folder": ({"to": ["duckdb:///copy.duckdb"]}, "whole path"),
    "a folder of any folder": ({"to": ["parquet:///lake"]}, "whole path"),
    "a stored secret that there is not": ({"to": ["postgresql://u@h/d?password=stored:pw"]}, "secret put pw"),
    "a dataset that is no name": ({"dataset": "a b"}, "underscores"),
    "an unknown table": ({"tables": "compaigns"}, "The tables are:"),
    "both kinds of selection": ({"tables": "topics", "exclude": "types"}, "Use one of them."),
    "an unknown mode": ({"mode": ["sometimes"]}, "sometimes"),
    "an unknown column": ({"columns": ["customers:exclude=nothing"]}, "nothing"),
    "a hash without a secret": ({"columns": ["customers:hash=identifiers__email"]}, "--salt"),
    "a secret for hashes written out": (
        {"columns": ["customers:hash=identifiers__email"], "salt": "hunter2"},
        "--salt",
    ),
    "a case that is none": ({"column_case": "mixed"}, "mixed"),
    "a schedule that is none": ({"schedule": ScheduleSettings()}, "--cron"),
    "two schedules in one": ({"schedule": ScheduleSettings(cron="0 3 * * *", every="1h")}, "--cron"),
    "a cron line that is none": ({"schedule": ScheduleSettings(cron="at three")}, "five fields"),
    "a time zone that is none": ({"schedule": ScheduleSettings(every="1h", zone="Berlin")}, "time zone"),
    "no way with what was missed": ({"schedule": ScheduleSettings(every="1h", missed="never")}, "once or skip"),
    "after no task": ({"after": "nothing"}, "nothing"),
    "after itself": ({"after": "daily"}, "waits"),
    "no such channel": ({"notify": ["nobody"]}, "nobody"),
    "too many retries": ({"retries": 1_000}, "0 to 20"),
    "no pause": ({"retry_pause": 0}, "1 to 86400"),
}


@pytest.mark.parametrize(("changed", "says"), WRONG.values(), ids=WRONG.keys())
def test_settings_that_no_run_could_use_are_refused(small: ControlServices, changed: dict[str, Any], says: str) -> None:
    """When a task is made and when it is edited, without asking any server; what is kept stays, no secret is shown."""
    if changed != {"after": "daily"}:
        said = refusal(lambda: small.tasks.create("daily", made(**changed), ADMIN))
        assert says in said
        assert "hunter2" not in said
    small.tasks.create("daily", made(), ADMIN)
    assert says in refusal(lambda: small.tasks.edit("daily", made(**changed), ADMIN))
    assert small.tasks.named("daily").settings == made()


def test_secrets_are_not_looked_for(small: ControlServices) -> None:
    """They may be found where the run is, and only there: a task is kept though its variables are not set here."""
    places = [
        "postgresql://u@h/d?password=env:NOT_SET_HERE",
        "snowflake://u@account/d",
        "delta+s3://lake/x?access_key_id=file:/not/here&secret_access_key=env:NOT_HERE",
        "motherduck://d",
    ]
    small.tasks.create(
        "daily", made(to=places, columns=["customers:hash=identifiers__email"], salt="file:/not/here"), ADMIN
    )
    assert small.tasks.named("daily").settings.to == places


@pytest.mark.parametrize("by", [VIEWER, OPERATOR], ids=lambda by: by.role)
def test_only_an_admin_changes_tasks(small: ControlServices, by: Actor) -> None:
    """An operator may pause one, and nobody else who is no admin."""
    small.tasks.create("daily", made(), ADMIN)
    for call in (
        lambda: small.tasks.create("other", made(), by),
        lambda: small.tasks.edit("daily", made(retries=1), by),
        lambda: small.tasks.delete("daily", by),
    ):
        assert "Only the role admin" in refusal(call)
    if by is OPERATOR:
        assert small.tasks.pause("daily", by)
    else:
        assert "Only the role operator" in refusal(lambda: small.tasks.pause("daily", by))


# --- when it runs ----------------------------------------------------------------------------------------------------


def test_a_schedule_counts_from_when_it_was_made(small: ControlServices, clock: ManualClock) -> None:
    """An edit of anything else leaves the next time as it is; another schedule counts from then on."""
    clock.time += 600
    assert small.tasks.create("daily", made(schedule=EVERY_HOUR), ADMIN).next_at == START + HOUR
    clock.time += 2 * HOUR  # nothing has run: that time is still to be dealt with
    small.tasks.edit("daily", made(schedule=EVERY_HOUR, retries=1), ADMIN)
    assert small.tasks.named("daily").next_at == START + HOUR
    small.tasks.edit("daily", made(schedule=ScheduleSettings(every="2h")), ADMIN)
    assert small.tasks.named("daily").next_at == START + 4 * HOUR
    small.tasks.edit("daily", made(), ADMIN)
    assert small.tasks.named("daily").next_at is None


def test_a_task_that_rests_is_due_at_no_time(small: ControlServices, clock: ManualClock) -> None:
    """When it goes on its schedule counts from then; a task that is made paused begins so."""
    small.tasks.create("daily", made(schedule=EVERY_HOUR), ADMIN)
    assert small.tasks.pause("daily", OPERATOR)
    assert not small.tasks.pause("daily", OPERATOR)
    kept = small.tasks.named("daily")
    assert (kept.paused, kept.next_at, kept.settings.paused) == (True, None, True)
    clock.time += 5 * HOUR + 1
    assert small.tasks.pause("daily", OPERATOR, paused=False)
    kept = small.tasks.named("daily")
    assert (kept.paused, kept.next_at, kept.settings.paused) == (False, START + 6 * HOUR, False)
    assert small.tasks.create("other", made(schedule=EVERY_HOUR, paused=True), ADMIN).next_at is None
    assert [(one.who, one.detail) for one in told(small) if one.did == "task.edit"] == [
        ("olga", "paused: no → yes"),
        ("olga", "paused: yes → no"),
    ]


def test_tasks_that_run_after_each_other_are_no_ring(small: ControlServices) -> None:
    """A chain is kept; what would close it is refused, and a task that others wait for is not deleted."""
    small.tasks.create("a", made(), ADMIN)
    small.tasks.create("b", made(after="a"), ADMIN)
    small.tasks.create("c", made(after="b"), ADMIN)
    assert "a, c, b" in refusal(lambda: small.tasks.edit("a", made(after="c"), ADMIN))
    assert "task c" in refusal(lambda: small.tasks.delete("b", ADMIN))
    small.tasks.delete("c", ADMIN)
    small.tasks.delete("b", ADMIN)
    assert [one.name for one in small.tasks.all()] == ["a"]


# --- its end ---------------------------------------------------------------------------------------------------------


def test_a_task_goes_with_its_history(store: ControlServices) -> None:
    """Runs, their logs and what was missed; but not while a run goes on."""
    task = store.tasks.create("daily", made(), ADMIN)
    common = {"gateway": None, "cause": "user", "action": "{}", "attempt": 1, "claims": 0, "merged": 0}
    common |= {"due_at": 0, "not_before": 0, "cancelling": False, "workspace": "w", "task_id": task.id}
    with store.database.writing() as connection:
        connection.execute(insert(runs).values(id="r1", status="complete", **common))
        connection.execute(insert(runs).values(id="r2", status="running", **common))
        connection.execute(insert(run_lines).values(run_id="r1", number=1, at=0, level="info", text="x"))
        connection.execute(insert(missed).values(id="m", task_id=task.id, due_at=0, count=1, reason="x"))
    assert "goes on" in refusal(lambda: store.tasks.delete("daily", ADMIN))
    with store.database.writing() as connection:
        connection.execute(runs.update().values(status="failed"))
    store.tasks.delete("daily", ADMIN)
    with store.database.reading() as connection:
        assert [connection.scalar(select(func.count()).select_from(one)) for one in (runs, run_lines, missed)] == [
            0
        ] * 3


# --- channels --------------------------------------------------------------------------------------------------------


def test_a_channel_is_kept_with_its_address_stored(store: ControlServices) -> None:
    """Its address is a secret: it comes out only for who sends, and goes with the channel."""
    address = Secret("slack://marked-a/marked-b/marked-c\n")
    kept = store.channels.create("team", ChannelSettings(url=""), ADMIN, address)
    assert kept.settings.url == "stored:channel/team"
    assert store.channels.address("team").reveal() == "slack://marked-a/marked-b/marked-c"
    store.tasks.create("daily", made(notify=["team"]), ADMIN)
    assert "task daily" in refusal(lambda: store.channels.delete("team", ADMIN))
    store.channels.edit("team", ChannelSettings(url=kept.settings.url, events=["failure"]), ADMIN)
    assert store.channels.named("team").settings.events == ["failure"]
    store.tasks.delete("daily", ADMIN)
    store.channels.delete("team", ADMIN)
    assert (store.channels.all(), store.secrets.all()) == ([], [])
    assert all("marked" not in (one.detail or "") for one in told(store))


@pytest.mark.parametrize(
    "url",
    ["slack://a/b/c", "mailto://me:hunter2@mail.example", "json://u:hunter2@h", "json://h/x?token=hunter2", "hunter2"],
)
def test_an_address_that_may_hold_a_secret_is_refused(small: ControlServices, url: str) -> None:
    """It is not shown, and the fix says where to keep it."""
    said = refusal(lambda: small.channels.create("team", ChannelSettings(url=url), ADMIN))
    assert "stored:NAME" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "url", ["json://127.0.0.1:8000/hook", "jsons://h.example/x", "mailto://mail.example:25?to=a@b.c"]
)
def test_an_address_without_a_secret_is_kept(small: ControlServices, url: str) -> None:
    """A plain webhook, and a mail server of one's own."""
    small.channels.create("team", ChannelSettings(url=url), ADMIN)
    assert small.channels.address("team").reveal() == url


@pytest.mark.parametrize("events", [[], ["succes"]])
def test_only_events_that_there_are_can_be_told(small: ControlServices, events: list[str]) -> None:
    """And at least one."""
    settings = ChannelSettings(url="json://h/x", events=events)
    assert "failure" in refusal(lambda: small.channels.create("team", settings, ADMIN))
