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
from cio_replicate.config.documents import ChannelSettings, as_labels
from cio_replicate.database.connection import Database
from cio_replicate.database.rows import settings_from, storable
from cio_replicate.database.tables import channels, notices, runs
from cio_replicate.jobs.outcomes import EndedRun
from cio_replicate.pipeline.report import Status

MOST_NAMED = 10  # tables that are named one by one
LONGEST_CAUSE = 400
_WORDS = {Status.FAILED: "failed", Status.REFUSED: "was refused", Status.INTERRUPTED: "was interrupted"}


def text_of(event: str, ended: EndedRun, next_at: int | None) -> tuple[str, str]:
    """The title and the body of a notification; `next_at` is when the task is due next, in unix seconds."""
    title, lines = {
        "failure": _failure,
        "short": _short,
        "schema": _schema,
        "recovery": _recovery,
    }[event](ended)
    if event != "recovery":
        due = f"By its schedule it runs next at {_moment(next_at)}." if next_at is not None else ""
        lines += ["", *([due] if due else [])]
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
    names = ",".join(one.name for one in short)
    lines = [f"The proof of the task {ended.task} found that {_tables(len(short))} not what they must be:"]
    if len(short) == 1:
        lines = [f"The proof of the task {ended.task} found that a table is not what it must be:"]
    for one in short[:MOST_NAMED]:
        why = one.proof.why.partition(" Run ")[0] if one.proof is not None else ""
        lines.append(f"- {one.name}: {_cut(why)}")
    lines += _more(len(short))
    lines += [
        "",
        f"Run it again: cio-replicate task run {ended.task}",
        f"If it stays so, read the table anew: cio-replicate task run {ended.task} --resync {names}",
    ]
    return f"{ended.task}: {counted(len(short), 'table')} short", lines


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
    return [f"- {text}" for text in texts[:MOST_NAMED]] + _more(len(texts))


def _more(count: int) -> list[str]:
    return [f"- and {number(count - MOST_NAMED)} more"] if count > MOST_NAMED else []


def _tables(count: int) -> str:
    return f"{counted(count, 'table')} are"


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_CAUSE else line[: LONGEST_CAUSE - 1] + "…"


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


# Which notifications the end of a run brings, and to which channels; decided by pure functions, noted in its end.


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
        except InvalidSettings:
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


@dataclass(frozen=True, slots=True)
class QueuedNotification:
    """A notification that is to be sent now."""

    id: str
    title: str
    body: str
    address: Secret


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
        said = send(letter.address, letter.title, letter.body)
        error = None if said is None else scrubbed(said, letter.address)
        with database.writing() as connection:
            _note(connection, letter.id, error, now)
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
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_ERROR else line[: LONGEST_ERROR - 1] + "…"


def _due(now: int) -> ColumnElement[bool]:
    return notices.c.sent_at.is_(None) & (notices.c.not_before <= now) & (notices.c.tries < MOST_TRIES)


def _take(connection: Connection, notice_id: str, find: Find, now: int) -> QueuedNotification | None:
    """A notification to be sent, its try counted; None when another has taken it, or its address is not to be had."""
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
        address = find(connection, settings_from(row.settings, ChannelSettings))
    except Refused as error:
        _note(connection, row.id, str(error), now)
        return None
    return QueuedNotification(row.id, row.title, row.body, address)


def _note(connection: Connection, notice_id: str, error: str | None, now: int) -> None:
    values: dict[str, object] = {"error": error}
    if error is None:
        values["sent_at"] = now
    connection.execute(update(notices).where(notices.c.id == notice_id).values(**values))
