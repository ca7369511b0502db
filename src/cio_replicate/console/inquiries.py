"""What gateways are asked about connections: a question waits, a machine of the gateway answers, a page reads it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, func, or_, select

from cio_replicate.base.errors import SettingsError
from cio_replicate.config.documents import ConnectionSettings
from cio_replicate.console.gateways import require_gateway
from cio_replicate.console.own_side import require_own_secrets
from cio_replicate.database.connection import Database
from cio_replicate.database.tables import inquiries
from cio_replicate.jobs.ports import ProbeRequest, ProbeResult

PATIENCE = 180  # seconds that a question waits for a machine to take it, and for its answer then
KEPT = 3_600
MOST_WAITING = 50  # of one gateway


@dataclass(frozen=True, slots=True)
class ProbeJob:
    """A question that a machine has taken."""

    id: str
    about: ProbeRequest
    connection: ConnectionSettings


@dataclass(frozen=True, slots=True)
class ProbeReply:
    """What became of a question: an answer, none yet, or none any more, as no machine of the gateway came for it."""

    found: ProbeResult | None
    waiting: bool
    taken: bool


def ask(database: Database, connection: ConnectionSettings, about: ProbeRequest, now: int) -> str:
    """Ask the connection's gateway; the question's number. Asked twice while it waits, it is one question.

    Raises SettingsError when there is no such gateway, or when its connection needs a secret of the console.
    """
    if connection.gateway is None:
        raise SettingsError("The connection has no gateway.", "Ask on the console's own machine.")
    require_own_secrets(connection)
    settings = _as_text(connection)
    with database.writing() as transaction:
        require_gateway(transaction, connection.gateway)
        transaction.execute(inquiries.delete().where(inquiries.c.asked_at < now - KEPT))
        mine = inquiries.c.gateway == connection.gateway, inquiries.c.answered_at.is_(None)
        open_ones = *mine, inquiries.c.asked_at > now - PATIENCE
        same = select(inquiries.c.id).where(
            *open_ones, inquiries.c.about == about.value, inquiries.c.settings == settings
        )
        number = transaction.scalar(same)
        if number is not None:
            return str(number)
        if (transaction.scalar(select(func.count()).where(*open_ones)) or 0) >= MOST_WAITING:
            raise SettingsError(
                f"{MOST_WAITING} questions wait for the gateway {connection.gateway}.", "See whether it is running."
            )
        number = uuid.uuid4().hex
        transaction.execute(
            inquiries.insert().values(
                id=number, gateway=connection.gateway, about=about.value, settings=settings, asked_at=now
            )
        )
        return number


def reply(
    database: Database, number: str, now: int, of: ConnectionSettings | None = None, about: ProbeRequest | None = None
) -> ProbeReply:
    """What became of a question; of one about another connection than `of`, or about something else, nothing."""
    query = select(inquiries).where(inquiries.c.id == number)
    if of is not None:
        query = query.where(inquiries.c.settings == _as_text(of))
    if about is not None:
        query = query.where(inquiries.c.about == about.value)
    with database.reading() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return ProbeReply(None, waiting=False, taken=False)
    found = msgspec.json.decode(row.found, type=ProbeResult) if row.found is not None else None
    taken = row.worker is not None
    return ProbeReply(found, waiting=found is None and row.asked_at > now - PATIENCE, taken=taken)


def _as_text(connection: ConnectionSettings) -> str:
    """Settings as they stand in a question: the same for the same."""
    return msgspec.json.encode(connection, order="sorted").decode()


def take(connection: Connection, gateway: str, worker: str, now: int) -> ProbeJob | None:
    """The next question for a gateway, now this machine's; None when none waits."""
    waiting = select(inquiries).where(
        inquiries.c.gateway == gateway,
        inquiries.c.answered_at.is_(None),
        inquiries.c.asked_at > now - PATIENCE,
        or_(inquiries.c.lease_until.is_(None), inquiries.c.lease_until <= now),
    )
    row = connection.execute(waiting.order_by(inquiries.c.asked_at, inquiries.c.id).limit(1)).one_or_none()
    if row is None:
        return None
    connection.execute(
        inquiries.update().where(inquiries.c.id == row.id).values(worker=worker, lease_until=now + PATIENCE // 2)
    )
    return ProbeJob(row.id, ProbeRequest(row.about), msgspec.json.decode(row.settings, type=ConnectionSettings))


def answer(connection: Connection, number: str, worker: str, found: ProbeResult, now: int) -> bool:
    """Keep the answer of the machine that has taken a question; whether it was still its own."""
    kept = connection.execute(
        inquiries.update()
        .where(inquiries.c.id == number, inquiries.c.worker == worker, inquiries.c.answered_at.is_(None))
        .values(found=msgspec.json.encode(found).decode(), answered_at=now)
    )
    return kept.rowcount == 1
