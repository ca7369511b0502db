"""The queue of runs: each waits once, and what is asked for again meanwhile is merged into it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from enum import StrEnum

import msgspec
from sqlalchemy import Connection, insert, select, update

from cio_replicate.database.tables import connections, runs, tasks
from cio_replicate.jobs.job import RunAction

QUEUED, RUNNING = "queued", "running"
SYNC = RunAction()


class Trigger(StrEnum):
    """Why a run was asked for."""

    SCHEDULE = "schedule"
    USER = "user"
    AFTER = "after"  # another task ended well
    RETRY = "retry"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A run that is asked for. `times` is how often it was due: more than once when a scheduler was not there.

    `due_at` is the time that asks for it, `not_before` when it may begin, in unix seconds.
    """

    task_id: str
    cause: Trigger
    due_at: int
    not_before: int
    action: RunAction = SYNC
    attempt: int = 1
    times: int = 1
    asked_by: str | None = None


def queue(connection: Connection, wish: RunRequest) -> str:
    """Let a run wait, in a transaction that writes; its id.

    If a new run of the task for the same action waits already, it is that one: it counts the further times, begins when
    the earlier of the two may, and is a user's if one of them is.
    """
    action = action_text(wish.action)
    waiting = connection.execute(
        select(runs).where(
            runs.c.task_id == wish.task_id, runs.c.action == action, runs.c.status == QUEUED, runs.c.claims == 0
        )
    ).one_or_none()
    if waiting is not None:
        more = {} if wish.cause is not Trigger.USER else {"cause": wish.cause, "asked_by": wish.asked_by}
        connection.execute(
            update(runs)
            .where(runs.c.id == waiting.id)
            .values(
                merged=waiting.merged + (wish.times if wish.cause is not Trigger.RETRY else 0),
                attempt=max(waiting.attempt, wish.attempt),
                not_before=min(waiting.not_before, wish.not_before),
                **more,
            )
        )
        return str(waiting.id)
    return _insert(connection, wish, action)


def action_text(action: RunAction) -> str:
    """An action as it is kept: the same for the same."""
    return msgspec.json.encode(action).decode()


def action_of(text: str) -> RunAction:
    """An action as it was kept."""
    return msgspec.json.decode(text, type=RunAction)


def _insert(connection: Connection, wish: RunRequest, action: str) -> str:
    place = connection.execute(
        select(connections.c.workspace, connections.c.gateway)
        .join(tasks, tasks.c.connection_id == connections.c.id)
        .where(tasks.c.id == wish.task_id)
    ).one()
    run_id = uuid.uuid4().hex
    connection.execute(
        insert(runs).values(
            id=run_id,
            task_id=wish.task_id,
            workspace=place.workspace,
            gateway=place.gateway,
            cause=wish.cause,
            action=action,
            status=QUEUED,
            attempt=wish.attempt,
            claims=0,
            merged=wish.times - 1,
            asked_by=wish.asked_by,
            due_at=wish.due_at,
            not_before=wish.not_before,
            cancelling=False,
        )
    )
    return run_id
