"""Which notifications the end of a run brings, and to which channels; decided by pure functions, noted in its end."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from cio_replicate.base.errors import SettingsError
from cio_replicate.config.documents import ChannelSettings
from cio_replicate.console.notifications import EndedRun, text_of
from cio_replicate.database.rows import settings_from
from cio_replicate.database.tables import channels, notices, runs
from cio_replicate.jobs.run_log import storable
from cio_replicate.pipeline.replication_report import Status

FAILURE, RECOVERY, SHORT, SCHEMA = "failure", "recovery", "short", "schema"
REMINDED = 86_400  # seconds after which a trouble that lasts is told again
_BAD = (Status.FAILED, Status.REFUSED, Status.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class NotificationHistory:
    """What is known of a task's earlier runs, in unix seconds: when one was complete, and when what was told last."""

    complete_at: int | None = None
    told: Mapping[str, int] = field(default_factory=dict)

    def told_since_complete(self, event: str) -> int | None:
        """When an event was last told, if the task has not been complete since."""
        at = self.told.get(event)
        return at if at is not None and (self.complete_at is None or at > self.complete_at) else None


def events_of(ended: EndedRun, before: NotificationHistory, now: int) -> list[str]:
    """What is to be told of the end of a run.

    Trouble is told when no other try follows, and again after a day as long as it lasts; that it is over is told once,
    if it had been told. New columns are told by the run that makes them, unless they come with the first copy.
    """

    def is_news(event: str) -> bool:
        at = before.told_since_complete(event)
        return not ended.will_retry and (at is None or now - at >= REMINDED)

    events = []
    if ended.status in _BAD and is_news(FAILURE):
        events.append(FAILURE)
    if ended.short_tables and is_news(SHORT):
        events.append(SHORT)
    if (ended.new_columns and before.complete_at is not None) or (ended.frozen_tables and is_news(SCHEMA)):
        events.append(SCHEMA)
    if ended.status == Status.COMPLETE and any(before.told_since_complete(one) for one in (FAILURE, SHORT, SCHEMA)):
        events.append(RECOVERY)
    return events


def told_to(wanted: Sequence[str], events: Sequence[str], ended: EndedRun) -> list[str]:
    """Of these events what a channel gets that wants some: not that a run failed, where what failed it is told."""
    chosen = [event for event in events if event in wanted]
    if (SHORT in chosen and ended.is_only_short) or (SCHEMA in chosen and ended.is_only_frozen):
        chosen = [event for event in chosen if event != FAILURE]
    return chosen


def note(connection: Connection, task: Row[Any], names: Sequence[str], ended: EndedRun, now: int) -> None:
    """Note the notifications that the end of a run brings, in the transaction that records the end.

    `task` is the row of the task, `names` are the channels that it notifies.
    """
    if not names:
        return
    events = events_of(ended, _before(connection, task.id, ended.run_id), now)
    if not events:
        return
    found = connection.execute(select(channels).where(channels.c.name.in_(names)).order_by(channels.c.name)).all()
    for channel in found:
        try:
            wanted = settings_from(channel.settings, ChannelSettings).events
        except SettingsError:
            continue  # kept by another version; the run ends all the same
        for event in told_to(wanted, events, ended):
            title, body = text_of(event, ended, task.next_at)
            connection.execute(
                insert(notices).values(
                    id=uuid.uuid4().hex,
                    channel_id=channel.id,
                    run_id=ended.run_id,
                    event=event,
                    title=title,
                    body=storable(body),
                    tries=0,
                    not_before=now,
                )
            )


def _before(connection: Connection, task_id: str, run_id: str) -> NotificationHistory:
    earlier = (runs.c.task_id == task_id) & (runs.c.id != run_id)
    complete_at = connection.scalar(select(func.max(runs.c.ended_at)).where(earlier, runs.c.status == Status.COMPLETE))
    told = connection.execute(
        select(notices.c.event, func.max(runs.c.ended_at).label("at"))
        .join(runs, runs.c.id == notices.c.run_id)
        .where(earlier)
        .group_by(notices.c.event)
    )
    return NotificationHistory(complete_at, {row.event: row.at for row in told})
