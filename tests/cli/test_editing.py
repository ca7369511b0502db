"""Edits: what is given takes the place of what is there, and everything else stays."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
import typer

from cio_replicate.cli.editing import edited, edited_task
from cio_replicate.cli.options import Edits, with_options
from cio_replicate.config.documents import ConnectionSettings, ScheduleSettings, TaskSettings

MAIN = ConnectionSettings(start_date="2024-01-31", api_url="https://h", max_rps=5)
DAILY = TaskSettings(
    connection="main",
    to=["duckdb:////a"],
    tables="topics",
    columns=["customers:exclude=devices"],
    schedule=ScheduleSettings(cron="0 3 * * *", zone="Europe/Berlin"),
    notify=["team"],
)


def taken(*arguments: str) -> dict[str, Any]:
    """What a command is given that edits a task."""
    seen: dict[str, Any] = {}
    app = typer.Typer()

    @app.command()
    @with_options
    def command(*, given: Annotated[dict[str, Any], Edits(TaskSettings)]) -> int:
        seen.update(given)
        return 0

    typer.main.get_command(app).main(list(arguments), standalone_mode=False)
    return seen


def test_only_what_was_given_is_given() -> None:
    """Also of a group within the group; a yes can be taken back."""
    assert taken() == {}
    given = taken("--every=6h", "--to=a", "--to=b", "--no-erase", "--retries=0", "--keep-landed")
    assert given == {"every": "6h", "to": ["a", "b"], "erase": False, "retries": 0, "keep_landed": True}


def test_settings_of_a_kind_are_taken_whole() -> None:
    """A group within a group is there when something of it is given; a list that may be left out is empty then."""
    seen: list[TaskSettings] = []
    app = typer.Typer()

    @app.command()
    @with_options
    def command(*, settings: TaskSettings) -> int:
        seen.append(settings)
        return 0

    for more in ([], ["--cron=0 3 * * *", "--notify=team"]):
        typer.main.get_command(app).main(["--connection=main", "--to=duckdb:////a", *more], standalone_mode=False)
    assert seen == [
        TaskSettings(connection="main", to=["duckdb:////a"]),
        TaskSettings(
            connection="main", to=["duckdb:////a"], schedule=ScheduleSettings(cron="0 3 * * *"), notify=["team"]
        ),
    ]


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ({}, {}),
        ({"max_rps": 2.0}, {"max_rps": 2.0}),
        ({"api_url": ""}, {"api_url": None}),
        ({"start_date": "2025-01-01", "region": "eu"}, {"start_date": "2025-01-01", "region": "eu"}),
    ],
)
def test_an_edit_of_a_connection(given: dict[str, Any], changed: dict[str, Any]) -> None:
    """An empty text takes away what need not be there."""
    whole: dict[str, Any] = {"start_date": "2024-01-31", "api_url": "https://h", "max_rps": 5}
    assert edited(MAIN, given) == ConnectionSettings(**(whole | changed))


def test_an_edit_of_a_task() -> None:
    """A list takes the place of the list; an empty text makes it empty, or takes it away."""
    assert edited_task(DAILY, {}) == DAILY
    assert edited_task(DAILY, {"to": ["x", "y"], "notify": [""], "columns": [""], "tables": ""}) == TaskSettings(
        connection="main", to=["x", "y"], schedule=DAILY.schedule
    )


@pytest.mark.parametrize(
    ("given", "schedule"),
    [
        ({"zone": "UTC"}, ScheduleSettings(cron="0 3 * * *", zone="UTC")),
        ({"every": "6h"}, ScheduleSettings(every="6h", zone="Europe/Berlin")),
        ({"cron": "0 4 * * *"}, ScheduleSettings(cron="0 4 * * *", zone="Europe/Berlin")),
        ({"cron": "0 4 * * *", "every": "6h"}, ScheduleSettings(cron="0 4 * * *", every="6h", zone="Europe/Berlin")),
        ({"cron": ""}, None),
        ({"cron": "", "every": "", "zone": "UTC"}, None),
    ],
)
def test_an_edit_of_a_schedule(given: dict[str, Any], schedule: ScheduleSettings | None) -> None:
    """One way to say when takes the place of the other; without either there is none."""
    assert edited_task(DAILY, given).schedule == schedule


def test_a_schedule_where_there_was_none() -> None:
    """It begins with what was given."""
    bare = TaskSettings(connection="main", to=["a"])
    assert edited_task(bare, {"every": "1h"}).schedule == ScheduleSettings(every="1h")
    assert edited_task(bare, {"retries": 1}).schedule is None
