"""Gateways in the control database: enrolment codes, members, and questions that wait for a gateway."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass, field
from hashlib import sha256

import msgspec
from sqlalchemy import Connection, Row, func, or_, select
from sqlalchemy.exc import IntegrityError

from cio_replicate.base.errors import Conflict, GatewayRefusedError, InvalidSettings, NotFound
from cio_replicate.config.documents import ConnectionSettings
from cio_replicate.console.apply_settings import checked_name
from cio_replicate.console.secrets import require_own_secrets
from cio_replicate.database.actor import Actor, Role
from cio_replicate.database.audit_log import record
from cio_replicate.database.connection import Database
from cio_replicate.database.tables import connections, gateway_codes, gateway_members, gateways, inquiries, runs
from cio_replicate.jobs.ports import ProbeRequest, ProbeResult

# Enrolment codes: made to be copied by hand and never guessed, and kept only as a digest.


ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: nothing in it looks like something else
GROUPS, LETTERS = 5, 5  # 125 random bits
LIFETIME = 3_600

_MISREAD = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})


def random_code() -> str:
    """A code that nobody can guess, in groups: `7K3QF-9ZB2M-…`."""
    letters = [secrets.choice(ALPHABET) for _ in range(GROUPS * LETTERS)]
    return "-".join("".join(letters[at : at + LETTERS]) for at in range(0, len(letters), LETTERS))


def digest_of(code: str) -> str:
    """What is kept of a code. Small letters, blanks, and letters that are easily misread, make no difference."""
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
    codes: int = field(default=0)  # that wait to be used


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
        waiting = gateway_codes.c.gateway == name, gateway_codes.c.used_at.is_(None)
        if (connection.scalar(select(func.count()).where(*waiting)) or 0) >= MOST_CODES:
            raise Conflict(f"{MOST_CODES} codes of {name} wait to be used.", "Use one of them, or wait an hour.")
        code = _new_code(connection, name, now)
        record(connection, now, by, "gateway.code", name)
        return code


def enrol(database: Database, code: str, machine: str, public_key: str, version: str, now: int) -> tuple[str, str]:
    """Let a machine in: its member id, and the gateway's name. A code lets in one machine, whoever comes at once.

    The same machine, known by its key, may ask again, as the answer may have been lost on its way. Raises
    GatewayRefusedError, in the same words for a code that is wrong, used or too old.
    """
    digest = digest_of(code)
    with database.writing() as connection:
        used = connection.execute(
            gateway_codes.update()
            .where(
                gateway_codes.c.digest == digest, gateway_codes.c.used_at.is_(None), gateway_codes.c.expires_at > now
            )
            .values(used_at=now)
        )
        name = connection.scalar(select(gateway_codes.c.gateway).where(gateway_codes.c.digest == digest))
        if used.rowcount != 1 or name is None:
            return _enrolled_before(connection, name, public_key)
        member = uuid.uuid4().hex
        connection.execute(
            gateway_members.insert().values(
                id=member,
                gateway=name,
                machine=machine,
                public_key=public_key,
                version=version,
                enrolled_at=now,
                seen_at=now,
            )
        )
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
        named = select(gateways.c.name).where(gateways.c.name == target)
        name = connection.scalar(named) if of is None else None
        if name is not None:
            chosen = gateway_members.c.gateway == name
            connection.execute(gateway_codes.delete().where(gateway_codes.c.gateway == name))
        else:
            chosen = gateway_members.c.id == _member_named(connection, target, of)
        found = select(gateway_members).where(chosen, gateway_members.c.revoked_at.is_(None))
        members = [_member(row) for row in connection.execute(found)]
        connection.execute(
            gateway_members.update().where(chosen, gateway_members.c.revoked_at.is_(None)).values(revoked_at=now)
        )
        what = "gateway.revoke" if name is not None else "gateway.revoke member"
        record(connection, now, by, what, target, ", ".join(f"{one.machine}, {one.id}" for one in members))
    return members


def remove(database: Database, name: str, now: int, by: Actor) -> None:
    """Forget a gateway, with its machines. Raises Refused while a connection names it."""
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
    """All gateways by name, with their machines, newest first."""
    with database.reading() as connection:
        made = {row.name: row.created_at for row in connection.execute(select(gateways))}
        members: dict[str, list[GatewayMember]] = {name: [] for name in made}
        for row in connection.execute(select(gateway_members).order_by(gateway_members.c.enrolled_at.desc())):
            members[row.gateway].append(_member(row))
        used: dict[str, list[str]] = {name: [] for name in made}
        named = select(connections.c.gateway, connections.c.name).where(connections.c.gateway.is_not(None))
        for gateway, name in connection.execute(named.order_by(connections.c.name)):
            used.setdefault(gateway, []).append(name)
        count = select(runs.c.gateway, runs.c.status, func.count()).where(
            runs.c.gateway.is_not(None), runs.c.status.in_(("queued", "running"))
        )
        numbers = {
            (gateway, status): n
            for gateway, status, n in connection.execute(count.group_by(runs.c.gateway, runs.c.status))
        }
        open_codes = select(gateway_codes.c.gateway, func.count()).where(
            gateway_codes.c.used_at.is_(None), gateway_codes.c.expires_at > now
        )
        codes = {row[0]: row[1] for row in connection.execute(open_codes.group_by(gateway_codes.c.gateway))}
    return [
        Gateway(
            name,
            created,
            tuple(members[name]),
            tuple(used[name]),
            numbers.get((name, "running"), 0),
            numbers.get((name, "queued"), 0),
            codes.get(name, 0),
        )
        for name, created in sorted(made.items())
    ]


def require_gateway(connection: Connection, name: str | None) -> None:
    """Raises Refused when a connection names a gateway that is not there."""
    if name is not None:
        _require_there(connection, name)


def _require_there(connection: Connection, name: str) -> None:
    names = connection.scalars(select(gateways.c.name).order_by(gateways.c.name)).all()
    if name not in names:
        there = f"There are: {', '.join(names)}." if names else f"Make it: cio-replicate gateway create {name}."
        raise NotFound(f"There is no gateway {name!r}.", there)


def _new_code(connection: Connection, name: str, now: int) -> EnrolmentCode:
    code = random_code()
    expires = now + LIFETIME
    connection.execute(gateway_codes.insert().values(digest=digest_of(code), gateway=name, expires_at=expires))
    return EnrolmentCode(name, code, expires)


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


def _member(row: Row[tuple[object, ...]]) -> GatewayMember:
    return GatewayMember(row.id, row.machine, row.version, row.enrolled_at, row.seen_at, row.revoked_at, row.public_key)


# What gateways are asked about connections: a question waits, a machine of the gateway answers, a page reads it.


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

    Raises Refused when there is no such gateway, or when its connection needs a secret of the console.
    """
    if connection.gateway is None:
        raise Conflict("The connection has no gateway.", "Ask on the console's own machine.")
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
            raise Conflict(
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
