"""Sends notifications: each is tried a bounded number of times, with growing pauses, and no secret is in an error."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

import apprise
from sqlalchemy import ColumnElement, Connection, select, update

from cio_replicate.base.errors import SettingsError
from cio_replicate.base.text import MASK, Secret
from cio_replicate.config.documents import ChannelSettings
from cio_replicate.database.connection import Database
from cio_replicate.database.rows import settings_from
from cio_replicate.database.tables import channels, notices

PAUSES = (60, 300, 1_500, 7_200)  # seconds after each try but the last
MOST_TRIES = len(PAUSES) + 1
AT_ONCE = 20
LONGEST_ERROR = 300
SENDER = "cio-replicate"
SHORTEST_SECRET = 4  # characters; shorter pieces of an address would mask ordinary words

#: Sends a title and a body to an address; what went wrong, in words that may hold secrets, or None.
Send = Callable[[Secret, str, str], str | None]
#: Finds the address of a channel, in a transaction that writes. Raises SettingsError.
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
    except SettingsError as error:
        _note(connection, row.id, str(error), now)
        return None
    return QueuedNotification(row.id, row.title, row.body, address)


def _note(connection: Connection, notice_id: str, error: str | None, now: int) -> None:
    values: dict[str, object] = {"error": error}
    if error is None:
        values["sent_at"] = now
    connection.execute(update(notices).where(notices.c.id == notice_id).values(**values))
