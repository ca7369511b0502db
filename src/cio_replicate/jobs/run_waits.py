"""What a run that waits is waiting for, in a sentence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select

from cio_replicate.database.tables import connections, gateway_members, runs, tasks
from cio_replicate.jobs.queueing import RUNNING, Trigger

QUIET = 60  # seconds after which a gateway's machine counts as away


def why_it_waits(connection: Connection, run: Row[Any], now: int) -> str:  # Any: of every column
    """What keeps a queued run from being executed, as far as the database tells."""
    if run.not_before > now:
        return f"It begins at {_moment(run.not_before)} at the earliest."
    task = connection.execute(
        select(tasks.c.paused, connections.c.workspace, connections.c.gateway)
        .join(connections, connections.c.id == tasks.c.connection_id)
        .where(tasks.c.id == run.task_id)
    ).one()
    if task.paused and run.cause != Trigger.USER and run.claims == 0:
        return "Its task is paused."
    busy = connection.execute(
        select(tasks.c.name, tasks.c.id)
        .join(runs, runs.c.task_id == tasks.c.id)
        .where(runs.c.status == RUNNING, or_(runs.c.task_id == run.task_id, runs.c.workspace == task.workspace))
        .limit(1)
    ).first()
    if busy is not None and busy.id == run.task_id:
        return "A run of its task goes on."
    if busy is not None:
        return f"A run of {busy.name} goes on, which reads the same workspace: they share its request budget."
    if task.gateway is not None and _is_away(connection, task.gateway, now):
        return f"No machine of the gateway {task.gateway} has been heard of in the last {QUIET} seconds."
    return "It waits for a worker: the console, `cio-replicate scheduler`, or its gateway takes it."


def _is_away(connection: Connection, gateway: str, now: int) -> bool:
    seen = connection.scalar(
        select(func.max(gateway_members.c.seen_at)).where(
            gateway_members.c.gateway == gateway, gateway_members.c.revoked_at.is_(None)
        )
    )
    return seen is None or seen < now - QUIET


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
