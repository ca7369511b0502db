"""What others watch the console by: whether it works, and its numbers for Prometheus."""

from __future__ import annotations

from litestar import Response, get
from litestar.enums import MediaType
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from sqlalchemy import Connection, func, select, text

from cio_replicate.base.version import __version__
from cio_replicate.console.web.authorization import ANYBODY, needs
from cio_replicate.console.web.services import With
from cio_replicate.database.actor import Role
from cio_replicate.database.connection import Database
from cio_replicate.database.tables import connections, gateway_members, notices, runs, tasks

SEEN = 120  # seconds since a machine of a gateway was heard of in which it counts as there


@get("/healthz", include_in_schema=False, **ANYBODY)
def healthz(services: With) -> Response[str]:
    """Whether the console, its database and its scheduler work."""
    with services.database.reading() as connection:
        connection.execute(text("SELECT 1"))
    health = services.health() if services.health is not None else None
    if health is not None and not health.well and health.ticked is not None:  # which it is not while it begins
        return Response("the scheduler is stuck\n", media_type=MediaType.TEXT, status_code=503)
    return Response("ok\n", media_type=MediaType.TEXT)


@get("/metrics", include_in_schema=False, opt={**needs(Role.VIEWER), "bearer": True}, sync_to_thread=True)
def metrics(services: With) -> Response[bytes]:
    """Numbers for Prometheus."""
    found = numbers(services.database, services.now)
    return Response(found, headers={"content-type": CONTENT_TYPE_LATEST})


def numbers(database: Database, now: int) -> bytes:
    """What there is to count, as Prometheus reads it. Names of tasks are labels; nothing else of theirs is told."""
    registry = CollectorRegistry()
    about = Gauge("cio_replicate_info", "The version that runs.", ["version"], registry=registry)
    about.labels(__version__).set(1)
    with database.reading() as connection:
        for name, table, said in (
            ("connections", connections, "Connections."),
            ("tasks", tasks, "Tasks."),
        ):
            count = connection.scalar(select(func.count()).select_from(table)) or 0
            Gauge(f"cio_replicate_{name}", said, registry=registry).set(count)
        by_status = Gauge("cio_replicate_runs", "Runs that are kept, by state.", ["status"], registry=registry)
        for status, count in connection.execute(select(runs.c.status, func.count()).group_by(runs.c.status)):
            by_status.labels(status).set(count)
        _last_runs(connection, registry)
        unsent = select(func.count()).select_from(notices).where(notices.c.sent_at.is_(None))
        waiting = Gauge("cio_replicate_notices_unsent", "Notifications that are not sent.", registry=registry)
        waiting.set(connection.scalar(unsent) or 0)
        alive = select(func.count()).select_from(gateway_members)
        alive = alive.where(gateway_members.c.revoked_at.is_(None), gateway_members.c.seen_at > now - SEEN)
        machines = Gauge("cio_replicate_gateway_machines", "Machines of gateways that are there.", registry=registry)
        machines.set(connection.scalar(alive) or 0)
    return generate_latest(registry)


def _last_runs(connection: Connection, registry: CollectorRegistry) -> None:
    """Of each task its last run that has ended: when, how long, rows and requests, and whether it went well."""
    gauges = {
        name: Gauge(f"cio_replicate_last_run_{name}", said, ["task"], registry=registry)
        for name, said in (
            ("ended_timestamp_seconds", "When the last run of a task ended."),
            ("seconds", "How long the last run of a task took."),
            ("rows", "Rows that the last run of a task changed."),
            ("requests", "Requests that the last run of a task sent."),
            ("complete", "1 when the last run of a task was complete, else 0."),
        )
    }
    newest = (
        select(runs.c.task_id, func.max(runs.c.ended_at).label("ended"))
        .where(runs.c.ended_at.is_not(None))
        .group_by(runs.c.task_id)
        .subquery()
    )
    query = (
        select(runs, tasks.c.name.label("task"))
        .join(newest, (newest.c.task_id == runs.c.task_id) & (newest.c.ended == runs.c.ended_at))
        .join(tasks, tasks.c.id == runs.c.task_id)
    )
    for row in connection.execute(query):
        gauges["ended_timestamp_seconds"].labels(row.task).set(row.ended_at)
        gauges["seconds"].labels(row.task).set(row.ended_at - (row.started_at or row.ended_at))
        gauges["rows"].labels(row.task).set(row.rows or 0)
        gauges["requests"].labels(row.task).set(row.requests or 0)
        gauges["complete"].labels(row.task).set(row.status == "complete")


HANDLERS = (healthz, metrics)
