"""Gateways in the control database: enrolment codes, members, and questions that wait for a gateway."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from hashlib import sha256

import msgspec
from sqlalchemy import ColumnElement, Connection, func, or_, select
from sqlalchemy.exc import IntegrityError

from cio_replicate.base.errors import Conflict, GatewayRefusedError, InvalidSettings, NotFound
from cio_replicate.config.documents import ConnectionSettings
from cio_replicate.console.apply_settings import checked_name
from cio_replicate.console.secrets import require_own_secrets
from cio_replicate.database.actor import Actor, Role
from cio_replicate.database.audit_log import record
from cio_replicate.database.connection import Database
from cio_replicate.database.rows import record_of
from cio_replicate.database.tables import connections, gateway_codes, gateway_members, gateways, inquiries, runs
from cio_replicate.jobs.ports import ProbeRequest, ProbeResult

# Enrolment codes: made to be copied by hand and never guessed, and stored only as a digest.

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: nothing in it looks like something else
GROUPS, LETTERS = 5, 5  # 125 random bits
LIFETIME = 3_600

_MISREAD = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})


def digest_of(code: str) -> str:
    """Return what is stored of a code. Small letters, blanks and letters that are easily misread make no difference."""
    return sha256(code.strip().upper().translate(_MISREAD).encode()).hexdigest()


MOST_CODES = 20  # of one gateway that wait to be used


@dataclass(frozen=True, slots=True)
class EnrolmentCode:
    """An enrolment code, which is shown this once."""

    gateway: str
    code: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class GatewayMember:
    """A machine that serves, or has served, under a gateway's name."""

    id: str
    machine: str
    version: str
    enrolled_at: int
    seen_at: int | None
    revoked_at: int | None
    key: str


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway with its machines and what it is for."""

    name: str
    created_at: int
    members: tuple[GatewayMember, ...] = ()
    connections: tuple[str, ...] = ()
    running: int = 0
    waiting: int = 0
    codes: int = 0  # that wait to be used


def create(database: Database, name: str, now: int, by: Actor) -> EnrolmentCode:
    """Make a gateway; the code lets its first machine in. Raises Refused."""
    by.require(Role.ADMIN)
    name = checked_name(name, "gateway")
    if name == "none":
        raise InvalidSettings(
            "No gateway can be called none: that is what a connection without one says.", "Name it otherwise."
        )
    try:
        with database.writing() as connection:
            connection.execute(gateways.insert().values(name=name, created_at=now))
            code = _new_code(connection, name, now)
            record(connection, now, by, "gateway.create", name)
            return code
    except IntegrityError:
        raise Conflict(
            f"There is a gateway {name} already.", f"For another machine: cio-replicate gateway code {name}."
        ) from None


def new_code(database: Database, name: str, now: int, by: Actor) -> EnrolmentCode:
    """A code that lets one more machine serve under this name, within the hour. Raises Refused."""
    by.require(Role.ADMIN)
    with database.writing() as connection:
        _require_there(connection, name)
        connection.execute(gateway_codes.delete().where(gateway_codes.c.expires_at <= now))
        if (connection.scalar(select(func.count()).where(_open_codes(name, now))) or 0) >= MOST_CODES:
            raise Conflict(f"{MOST_CODES} codes of {name} wait to be used.", "Use one of them, or wait an hour.")
        code = _new_code(connection, name, now)
        record(connection, now, by, "gateway.code", name)
        return code


def enrol(database: Database, code: str, machine: str, public_key: str, version: str, now: int) -> tuple[str, str]:
    """Let a machine in; return its member id and the gateway's name. A code lets in one machine of several.

    The same machine, known by its key, may ask again, as the answer may have been lost on its way. Raises
    GatewayRefusedError, in the same words for a code that is wrong, used or too old.
    """
    this = gateway_codes.c.digest == digest_of(code)
    unused = gateway_codes.c.used_at.is_(None), gateway_codes.c.expires_at > now
    with database.writing() as connection:
        used = connection.execute(gateway_codes.update().where(this, *unused).values(used_at=now))
        name = connection.scalar(select(gateway_codes.c.gateway).where(this))
        if used.rowcount != 1 or name is None:
            return _enrolled_before(connection, name, public_key)
        member = uuid.uuid4().hex
        values = {"machine": machine, "public_key": public_key, "version": version, "enrolled_at": now, "seen_at": now}
        connection.execute(gateway_members.insert().values(id=member, gateway=name, **values))
        record(connection, now, Actor(f"gateway {name}", Role.VIEWER), "gateway.enrol", name, f"{machine}, {member}")
    return member, name


def require_code(database: Database, code: str, now: int) -> None:
    """Raises GatewayRefusedError for a code that was never made, or is too old: who has none is written nowhere."""
    digest = digest_of(code)
    found = select(gateway_codes.c.digest).where(gateway_codes.c.digest == digest, gateway_codes.c.expires_at > now)
    with database.reading() as connection:
        if connection.scalar(found) is None:
            raise _no_code()


def revoke(database: Database, target: str, now: int, by: Actor, *, of: str | None = None) -> list[GatewayMember]:
    """Shut out a member, by its id or the first letters of it, or all machines and codes of a gateway, by its name.

    With `of`, only a member of that gateway. Holds from the next request on. Returns who was shut out. Raises
    Refused when the target is nobody.
    """
    by.require(Role.ADMIN)
    with database.writing() as connection:
        whole = of is None and connection.scalar(select(gateways.c.name).where(gateways.c.name == target)) is not None
        if whole:
            chosen = gateway_members.c.gateway == target
            connection.execute(gateway_codes.delete().where(gateway_codes.c.gateway == target))
        else:
            chosen = gateway_members.c.id == _member_named(connection, target, of)
        chosen &= gateway_members.c.revoked_at.is_(None)
        members = _members(connection, chosen)
        connection.execute(gateway_members.update().where(chosen).values(revoked_at=now))
        what = "gateway.revoke" if whole else "gateway.revoke member"
        record(connection, now, by, what, target, ", ".join(f"{one.machine}, {one.id}" for one in members))
    return members


def remove(database: Database, name: str, now: int, by: Actor) -> None:
    """Delete a gateway, with its machines. Raises Refused while a connection names it."""
    by.require(Role.ADMIN)
    with database.writing() as connection:
        _require_there(connection, name)
        users = connection.scalars(select(connections.c.name).where(connections.c.gateway == name)).all()
        if users:
            raise Conflict(
                f"The gateway {name} is used by the connections {', '.join(sorted(users))}.",
                "Give them another gateway, or none, first.",
            )
        connection.execute(gateway_codes.delete().where(gateway_codes.c.gateway == name))
        connection.execute(gateway_members.delete().where(gateway_members.c.gateway == name))
        connection.execute(gateways.delete().where(gateways.c.name == name))
        record(connection, now, by, "gateway.remove", name)


def listed(database: Database, now: int) -> list[Gateway]:
    """Return all gateways by name, with their machines, newest first."""
    with database.reading() as connection:
        made = connection.execute(select(gateways)).all()
        return [_gateway(connection, row.name, row.created_at, now) for row in sorted(made)]


def _gateway(connection: Connection, name: str, created_at: int, now: int) -> Gateway:
    users = select(connections.c.name).where(connections.c.gateway == name).order_by(connections.c.name)
    count = select(func.count())
    of_gateway, open_codes = runs.c.gateway == name, _open_codes(name, now)
    return Gateway(
        name,
        created_at,
        members=tuple(_members(connection, gateway_members.c.gateway == name)),
        connections=tuple(connection.scalars(users)),
        running=connection.scalar(count.where(of_gateway, runs.c.status == "running")) or 0,
        waiting=connection.scalar(count.where(of_gateway, runs.c.status == "queued")) or 0,
        codes=connection.scalar(count.where(open_codes)) or 0,
    )


def _open_codes(name: str, now: int) -> ColumnElement[bool]:
    codes = gateway_codes.c
    return (codes.gateway == name) & codes.used_at.is_(None) & (codes.expires_at > now)


def _members(connection: Connection, where: ColumnElement[bool]) -> list[GatewayMember]:
    """Return the machines for which this is true, newest first."""
    found = select(gateway_members).where(where).order_by(gateway_members.c.enrolled_at.desc())
    return [record_of(GatewayMember, row, key=row.public_key) for row in connection.execute(found)]


def _require_there(connection: Connection, name: str) -> None:
    names = connection.scalars(select(gateways.c.name).order_by(gateways.c.name)).all()
    if name not in names:
        there = f"There are: {', '.join(names)}." if names else f"Make it: cio-replicate gateway create {name}."
        raise NotFound(f"There is no gateway {name!r}.", there)


def _new_code(connection: Connection, name: str, now: int) -> EnrolmentCode:
    letters = [secrets.choice(ALPHABET) for _ in range(GROUPS * LETTERS)]  # nobody can guess them: 7K3QF-9ZB2M-…
    code = "-".join("".join(letters[at : at + LETTERS]) for at in range(0, len(letters), LETTERS))
    values = {"gateway": name, "expires_at": now + LIFETIME}
    connection.execute(gateway_codes.insert().values(digest=digest_of(code), **values))
    return EnrolmentCode(name, code, now + LIFETIME)


def _enrolled_before(connection: Connection, gateway: str | None, public_key: str) -> tuple[str, str]:
    found = select(gateway_members.c.id).where(
        gateway_members.c.gateway == gateway,
        gateway_members.c.public_key == public_key,
        gateway_members.c.revoked_at.is_(None),
    )
    member = connection.scalar(found) if gateway is not None else None
    if gateway is None or member is None:
        raise _no_code()
    return member, gateway


def _no_code() -> GatewayRefusedError:
    return GatewayRefusedError(
        "The console does not know this code: it is mistyped, used, or older than an hour.",
        "Make another where the console runs: cio-replicate gateway code NAME.",
        code="code",
    )


def _member_named(connection: Connection, target: str, gateway: str | None) -> str:
    named = select(gateway_members.c.id).where(gateway_members.c.id.startswith(target, autoescape=True))
    ids = connection.scalars(named if gateway is None else named.where(gateway_members.c.gateway == gateway)).all()
    if len(target) < 6 or len(ids) != 1:
        raise NotFound(
            f"There is no gateway and no single machine {target!r}.", "`cio-replicate gateway list` shows both."
        )
    return str(ids[0])


# What gateways are asked about connections: a question waits, a machine of the gateway answers, a page reads it.

PATIENCE = 180  # seconds that a question waits for a machine to take it, and for its answer then
STORED = 3_600  # seconds for which a question and its answer are there
MOST_WAITING = 50  # of one gateway


@dataclass(frozen=True, slots=True)
class ProbeJob:
    """A question that a machine has taken."""

    id: str
    about: ProbeRequest
    connection: ConnectionSettings


@dataclass(frozen=True, slots=True)
class ProbeReply:
    """The state of a question: an answer, none yet, or none any more, as no machine of the gateway came for it."""

    found: ProbeResult | None
    waiting: bool
    taken: bool


def ask(database: Database, connection: ConnectionSettings, about: ProbeRequest, now: int) -> str:
    """Ask the connection's gateway; the question's number. Asked twice while it waits, it is one question.

    Raises Refused when there is no such gateway, or when its connection needs a secret of the console.
    """
    if connection.gateway is None:
        raise Conflict("The connection has no gateway.", "Ask on the console's own machine.")
    require_own_secrets(connection)
    settings = _as_text(connection)
    with database.writing() as transaction:
        _require_there(transaction, connection.gateway)
        transaction.execute(inquiries.delete().where(inquiries.c.asked_at < now - STORED))
        open_ones = _waiting(connection.gateway, now)
        same = select(inquiries.c.id).where(
            open_ones, inquiries.c.about == about.value, inquiries.c.settings == settings
        )
        number = transaction.scalar(same)
        if number is not None:
            return str(number)
        if (transaction.scalar(select(func.count()).where(open_ones)) or 0) >= MOST_WAITING:
            raise Conflict(
                f"{MOST_WAITING} questions wait for the gateway {connection.gateway}.", "See whether it is running."
            )
        number = uuid.uuid4().hex
        values = {"about": about.value, "settings": settings, "asked_at": now}
        transaction.execute(inquiries.insert().values(id=number, gateway=connection.gateway, **values))
        return number


def reply(
    database: Database, number: str, now: int, of: ConnectionSettings | None = None, about: ProbeRequest | None = None
) -> ProbeReply:
    """Return the state of a question; of one about another connection than `of`, or about something else, nothing."""
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


def _waiting(gateway: str, now: int) -> ColumnElement[bool]:
    """The questions for a gateway that nobody has answered."""
    unanswered = inquiries.c.answered_at.is_(None) & (inquiries.c.asked_at > now - PATIENCE)
    return (inquiries.c.gateway == gateway) & unanswered


def take(connection: Connection, gateway: str, worker: str, now: int) -> ProbeJob | None:
    """Return the next question for a gateway, now this machine's; None when none waits."""
    free = or_(inquiries.c.lease_until.is_(None), inquiries.c.lease_until <= now)
    waiting = select(inquiries).where(_waiting(gateway, now), free)
    first = waiting.order_by(inquiries.c.asked_at, inquiries.c.id).limit(1)
    row = connection.execute(first.with_for_update(skip_locked=True)).one_or_none()
    if row is None:
        return None
    connection.execute(
        inquiries.update().where(inquiries.c.id == row.id).values(worker=worker, lease_until=now + PATIENCE // 2)
    )
    return ProbeJob(row.id, ProbeRequest(row.about), msgspec.json.decode(row.settings, type=ConnectionSettings))


def answer(connection: Connection, number: str, worker: str, found: ProbeResult, now: int) -> bool:
    """Store the answer of the machine that has taken a question; return whether it was still its own."""
    stored = connection.execute(
        inquiries.update()
        .where(inquiries.c.id == number, inquiries.c.worker == worker, inquiries.c.answered_at.is_(None))
        .values(found=msgspec.json.encode(found).decode(), answered_at=now)
    )
    return stored.rowcount == 1
