"""Notifications: their texts, which ones the end of a run causes, and sending them with bounded retries."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import apprise
from sqlalchemy import ColumnElement, Connection, Row, func, insert, select, update

from cio_replicate.base.errors import InvalidSettings, Refused
from cio_replicate.base.text import MASK, Secret, counted, number
from cio_replicate.config.documents import EVENTS, ChannelSettings, as_labels
from cio_replicate.database.connection import Database
from cio_replicate.database.rows import settings_from, storable
from cio_replicate.database.tables import channels, notices, runs
from cio_replicate.jobs.outcomes import EndedRun
from cio_replicate.pipeline.report import Status

FAILURE, RECOVERY, SHORT, SCHEMA = EVENTS
MOST_NAMED = 10  # tables that are named one by one
LONGEST_CAUSE = 400
_WORDS = {Status.FAILED: "failed", Status.REFUSED: "was refused", Status.INTERRUPTED: "was interrupted"}


def text_of(event: str, ended: EndedRun, next_at: int | None) -> tuple[str, str]:
    """Return the title and the body of a notification; `next_at` is when the task is due next, in unix seconds."""
    title, lines = _TEXTS[event](ended)
    if event != RECOVERY:
        lines.append("")
        if next_at is not None:
            lines.append(f"By its schedule it runs next at {_moment(next_at)}.")
    lines.append(f"All about this run: cio-replicate runs show {ended.run_id[:12]}")
    return f"cio-replicate: {title}", "\n".join(lines)


def _failure(ended: EndedRun) -> tuple[str, list[str]]:
    word = _WORDS.get(Status(ended.status), ended.status)
    tries = f", the last of {ended.attempt} tries" if ended.attempt > 1 else ""
    lines = [f"The task {ended.task} {word}{tries}."]
    if ended.error:
        lines.append(_cut(as_labels(ended.error)))
    lines += _each([f"{one.name}: {_cut(one.error or 'failed')}" for one in ended.failed_tables])
    if ended.status == Status.REFUSED:
        again = "Nothing was written. When it is mended, run it again"
    else:
        again = "What was read is kept. When the cause is mended, run it again, and it goes on from there"
    return f"{ended.task} {word}", [*lines, "", f"{again}: cio-replicate task run {ended.task}"]


def _short(ended: EndedRun) -> tuple[str, list[str]]:
    short = ended.short_tables
    what = (
        "a table is not what it must be"
        if len(short) == 1
        else f"{counted(len(short), 'table')} are not what they must be"
    )
    reasons = [one.proof.why.partition(" Run ")[0] if one.proof is not None else "" for one in short]
    return f"{ended.task}: {counted(len(short), 'table')} short", [
        f"The proof of the task {ended.task} found that {what}:",
        *_each([f"{one.name}: {_cut(why)}" for one, why in zip(short, reasons, strict=True)]),
        "",
        f"Run it again: cio-replicate task run {ended.task}",
        f"If it stays so, read the table anew: cio-replicate task run {ended.task} --resync "
        + ",".join(one.name for one in short),
    ]


def _schema(ended: EndedRun) -> tuple[str, list[str]]:
    lines: list[str] = []
    if ended.new_columns:
        lines.append(f"The API sends fields that the copy of the task {ended.task} did not have:")
        lines += _each([f"{table}: {', '.join(columns)}" for table, columns in ended.new_columns.items()])
        lines.append("They are columns of the copy now; nothing needs to be done.")
    if ended.frozen_tables:
        lines += [""] if lines else []
        lines.append(f"Tables of the task {ended.task} failed, since their schema is frozen:")
        lines += _each([f"{one.name}: {_cut(one.error or '')}" for one in ended.frozen_tables])
        lines.append("What becomes of unknown fields is set in the task (--schema-changes).")
    what = "frozen tables failed" if ended.frozen_tables else "new columns"
    return f"{ended.task}: {what}", lines


def _recovery(ended: EndedRun) -> tuple[str, list[str]]:
    changed = sum(one.inserted + one.updated + one.deleted for one in ended.report.tables) if ended.report else 0
    line = f"The task {ended.task} is complete again: {counted(changed, 'row')} changed. Nothing needs to be done."
    return f"{ended.task} is complete again", [line]


def _each(texts: list[str]) -> list[str]:
    more = [f"- and {number(len(texts) - MOST_NAMED)} more"] if len(texts) > MOST_NAMED else []
    return [f"- {text}" for text in texts[:MOST_NAMED]] + more


def _cut(text: str, most: int = LONGEST_CAUSE) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


_TEXTS = {FAILURE: _failure, SHORT: _short, SCHEMA: _schema, RECOVERY: _recovery}

# Which notifications the end of a run brings, and to which channels; decided by pure functions, noted in its end.

REMINDED = 86_400  # seconds after which a notification of trouble that lasts is repeated
_BAD = (Status.FAILED, Status.REFUSED, Status.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class NotificationHistory:
    """Earlier runs of a task, in unix seconds: when one was complete, and when each event was last notified."""

    complete_at: int | None = None
    notified: Mapping[str, int] = field(default_factory=dict)

    def since_complete(self, event: str) -> int | None:
        """Return when an event was last notified, if the task has not been complete since."""
        at = self.notified.get(event)
        return at if at is not None and (self.complete_at is None or at > self.complete_at) else None


def events_of(ended: EndedRun, before: NotificationHistory, now: int) -> list[str]:
    """Return the events to notify at the end of a run.

    Trouble is notified when no other try follows, and again after a day as long as it lasts; that it is over once, if
    trouble was notified. New columns are notified by the run that makes them, unless they come with the first copy.
    """

    def is_news(event: str) -> bool:
        at = before.since_complete(event)
        return not ended.will_retry and (at is None or now - at >= REMINDED)

    events = []
    if ended.status in _BAD and is_news(FAILURE):
        events.append(FAILURE)
    if ended.short_tables and is_news(SHORT):
        events.append(SHORT)
    if (ended.new_columns and before.complete_at is not None) or (ended.frozen_tables and is_news(SCHEMA)):
        events.append(SCHEMA)
    if ended.status == Status.COMPLETE and any(before.since_complete(one) for one in (FAILURE, SHORT, SCHEMA)):
        events.append(RECOVERY)
    return events


def events_for(wanted: Sequence[str], events: Sequence[str], ended: EndedRun) -> list[str]:
    """Return the events that a channel gets: not that a run failed, where it also gets what failed it."""
    chosen = [event for event in events if event in wanted]
    if (SHORT in chosen and ended.is_only_short) or (SCHEMA in chosen and ended.is_only_frozen):
        return [event for event in chosen if event != FAILURE]
    return chosen


def note(connection: Connection, task: Row[Any], names: Sequence[str], ended: EndedRun, now: int) -> None:
    """Queue the notifications that the end of a run brings, in the transaction that records the end.

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
        except InvalidSettings:
            continue  # stored by another version; the run ends all the same
        for event in events_for(wanted, events, ended):
            title, body = text_of(event, ended, task.next_at)
            values = {"event": event, "title": title, "body": storable(body), "tries": 0, "not_before": now}
            notice = {"id": uuid.uuid4().hex, "channel_id": channel.id, "run_id": ended.run_id}
            connection.execute(insert(notices).values(**notice, **values))


def _before(connection: Connection, task_id: str, run_id: str) -> NotificationHistory:
    earlier = (runs.c.task_id == task_id) & (runs.c.id != run_id)
    complete_at = connection.scalar(select(func.max(runs.c.ended_at)).where(earlier, runs.c.status == Status.COMPLETE))
    notified = connection.execute(
        select(notices.c.event, func.max(runs.c.ended_at).label("at"))
        .join(runs, runs.c.id == notices.c.run_id)
        .where(earlier)
        .group_by(notices.c.event)
    )
    return NotificationHistory(complete_at, {row.event: row.at for row in notified})


# Sends notifications: each is tried a bounded number of times, with growing pauses, and no secret is in an error.

PAUSES = (60, 300, 1_500, 7_200)  # seconds after each try but the last
MOST_TRIES = len(PAUSES) + 1
AT_ONCE = 20
LONGEST_ERROR = 300
SENDER = "cio-replicate"
SHORTEST_SECRET = 4  # characters; shorter pieces of an address would mask ordinary words

#: Sends a title and a body to an address; what went wrong, in words that may hold secrets, or None.
Send = Callable[[Secret, str, str], str | None]
#: Finds the address of a channel, in a transaction that writes. Raises Refused.
Find = Callable[[Connection, ChannelSettings], Secret]


def send_due(database: Database, find: Find, send: Send, now: int) -> int:
    """Send what is to be sent now; how many were. Raises DatabaseError.

    A try is counted before it is made, so that none is made without an end, and several programs may send at once. One
    that dies between sending and noting that makes a notification come twice, never not at all.
    """
    with database.reading() as connection:
        query = select(notices.c.id).where(_due(now)).order_by(notices.c.not_before).limit(AT_ONCE)
        ids = connection.scalars(query).all()
    sent = 0
    for one in ids:
        with database.writing() as connection:
            letter = _take(connection, one, find, now)
        if letter is None:
            continue
        notice, address = letter
        error = send(address, notice.title, notice.body)
        with database.writing() as connection:
            _note(connection, notice.id, None if error is None else scrubbed(error, address), now)
        sent += error is None
    return sent


def send_by_apprise(address: Secret, title: str, body: str) -> str | None:
    """Send to an address as Apprise writes them."""
    logging.getLogger("apprise").propagate = False  # it writes addresses into its log, which is only read here
    box = apprise.Apprise(
        asset=apprise.AppriseAsset(app_id=SENDER, app_desc=SENDER, image_url_mask="", image_url_logo="")
    )
    with apprise.LogCapture(  # type: ignore[no-untyped-call] # it says no types of its own
        level=logging.WARNING, fmt="%(message)s"
    ) as said:
        if not box.add(address.reveal()):
            return "Apprise knows no such address"
        if box.notify(body=body, title=title, body_format=apprise.NotifyFormat.TEXT):
            return None
        return said.getvalue().strip() or "it was not taken"


def scrubbed(text: str, address: Secret) -> str:
    """What went wrong in one line, without anything that stands in the address."""
    _, _, rest = address.reveal().partition("://")
    pieces = {piece for one in (rest, unquote(rest)) for piece in re.split(r"[:/@?&=+,#]+", one)}
    for piece in sorted(pieces, key=len, reverse=True):
        if len(piece) >= SHORTEST_SECRET:
            text = text.replace(piece, MASK)
    return _cut(text, LONGEST_ERROR)


def _due(now: int) -> ColumnElement[bool]:
    return notices.c.sent_at.is_(None) & (notices.c.not_before <= now) & (notices.c.tries < MOST_TRIES)


def _take(connection: Connection, notice_id: str, find: Find, now: int) -> tuple[Row[Any], Secret] | None:
    """Return a notification to be sent and its address, its try counted; None when it is taken or has no address."""
    row = connection.execute(
        select(notices, channels.c.settings)
        .join(channels, channels.c.id == notices.c.channel_id)
        .where(notices.c.id == notice_id, _due(now))
    ).one_or_none()
    if row is None:
        return None
    pause = PAUSES[min(row.tries, len(PAUSES) - 1)]
    connection.execute(
        update(notices).where(notices.c.id == notice_id).values(tries=row.tries + 1, not_before=now + pause)
    )
    try:
        return row, find(connection, settings_from(row.settings, ChannelSettings))
    except Refused as error:
        _note(connection, row.id, str(error), now)
        return None


def _note(connection: Connection, notice_id: str, error: str | None, now: int) -> None:
    sent_at = now if error is None else None
    connection.execute(update(notices).where(notices.c.id == notice_id).values(error=error, sent_at=sent_at))
