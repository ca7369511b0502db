"""Sessions of browsers and tokens of programs; the database holds only their digests."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from dataclasses import dataclass

from sqlalchemy import insert, or_, select, update

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.base.runtime import Clock
from cio_replicate.database.actor import Actor, Role
from cio_replicate.database.audit_log import record
from cio_replicate.database.connection import Database
from cio_replicate.database.rows import record_of
from cio_replicate.database.tables import sessions, tokens, users

# Sessions of the console: only the digest of what a browser holds is stored, and each of them ends.

IDLE, ABSOLUTE = 8 * 3_600, 7 * 86_400  # seconds after which a session ends: unused, and in any case
NOTED = 60  # seconds between two notes that a session or token is used, so that not every page writes
BYTES = 32


@dataclass(frozen=True, slots=True)
class SessionUser:
    """Who is logged in, as a page needs it."""

    user_id: str
    name: str
    role: Role
    zone: str
    session: str  # the digest
    csrf: str

    @property
    def actor(self) -> Actor:
        """The visitor as the one who does something."""
        return Actor(self.name, self.role)


def digest(value: str) -> str:
    """Return what is stored of a random value that somebody else holds."""
    return hashlib.sha256(value.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Sessions:
    """Begins and finds sessions."""

    database: Database
    clock: Clock

    def begin(self, user_id: str) -> str:
        """Begin a session; return what the browser holds of it, which is nowhere else."""
        value, now = secrets.token_urlsafe(BYTES), int(self.clock.now())
        with self.database.writing() as connection:
            values = {
                "csrf": secrets.token_urlsafe(BYTES),
                "created_at": now,
                "seen_at": now,
                "expires_at": now + ABSOLUTE,
            }
            connection.execute(insert(sessions).values(digest=digest(value), user_id=user_id, **values))
            connection.execute(update(users).where(users.c.id == user_id).values(seen_at=now))
        return value

    def visitor(self, value: str) -> SessionUser | None:
        """Who holds this session, if it goes on and its user may still log in."""
        now = int(self.clock.now())
        query = (
            select(sessions, users.c.name, users.c.role, users.c.zone)
            .join(users, users.c.id == sessions.c.user_id)
            .where(
                sessions.c.digest == digest(value),
                sessions.c.expires_at > now,
                sessions.c.seen_at > now - IDLE,
                users.c.disabled.is_(False),
            )
        )
        with self.database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        if row.seen_at <= now - NOTED:
            with self.database.writing() as connection:
                connection.execute(update(sessions).where(sessions.c.digest == row.digest).values(seen_at=now))
        return SessionUser(row.user_id, row.name, Role(row.role), row.zone, row.digest, row.csrf)


def is_theirs(visitor: SessionUser, token: str) -> bool:
    """Whether a form was made for this session."""
    return hmac.compare_digest(visitor.csrf.encode(), token.encode())


PREFIX = "cio_"  # so that one that was published is recognised
DAY = 86_400
MOST_DAYS = 3_650


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is known of a token; not the token itself."""

    id: str
    name: str
    user: str
    role: Role
    created_at: int
    expires_at: int | None
    seen_at: int | None


@dataclass(frozen=True, slots=True)
class Tokens:
    """Makes, finds and revokes tokens."""

    database: Database
    clock: Clock

    def create(self, user_id: str, name: str, role: Role, days: int | None, by: Actor) -> str:
        """A new token of that user, shown this once. Raises Refused and NotAllowedError."""
        name = name.strip()
        if not 1 <= len(name) <= 100 or not name.isprintable():
            raise InvalidSettings("The token needs a name of 1 to 100 characters.", "Say what will use it.")
        if days is not None and not 1 <= days <= MOST_DAYS:
            raise InvalidSettings(f"A token cannot last {days} days.", f"Choose 1 to {MOST_DAYS}, or no end.")
        value, now = PREFIX + secrets.token_urlsafe(32), int(self.clock.now())
        with self.database.writing() as connection:
            owner = connection.execute(select(users.c.name, users.c.role).where(users.c.id == user_id)).one()
            Actor(owner.name, Role(owner.role)).require(role)
            expires_at = None if days is None else now + days * DAY
            values = {"name": name, "role": role.value, "created_at": now, "expires_at": expires_at}
            connection.execute(
                insert(tokens).values(id=uuid.uuid4().hex, digest=digest(value), user_id=user_id, **values)
            )
            record(connection, now, by, "token.create", name, f"role {role}")
        return value

    def actor(self, value: str) -> Actor | None:
        """Who a token speaks for, with the lesser of its role and its user's; None when it does not count."""
        now = int(self.clock.now())
        query = (
            select(tokens, users.c.name.label("owner"), users.c.role.label("owner_role"))
            .join(users, users.c.id == tokens.c.user_id)
            .where(tokens.c.digest == digest(value), tokens.c.revoked_at.is_(None), users.c.disabled.is_(False))
        )
        with self.database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None or (row.expires_at is not None and row.expires_at <= now):
            return None
        if row.seen_at is None or row.seen_at <= now - NOTED:
            with self.database.writing() as connection:
                connection.execute(update(tokens).where(tokens.c.id == row.id).values(seen_at=now))
        role, limit = Role(row.role), Role(row.owner_role)
        return Actor(f"{row.owner} (token {row.name})", role if limit.covers(role) else limit)

    def all(self, user_id: str | None = None) -> list[Token]:
        """Return the tokens that count, the newest first; only those of one user when it is named."""
        now = int(self.clock.now())
        counts = (tokens.c.revoked_at.is_(None), or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now))
        query = (
            select(tokens, users.c.name.label("owner"))
            .join(users, users.c.id == tokens.c.user_id)
            .where(*counts, *([tokens.c.user_id == user_id] if user_id is not None else []))
            .order_by(tokens.c.created_at.desc(), tokens.c.id)
        )
        with self.database.reading() as connection:
            found = connection.execute(query)
            return [record_of(Token, row, user=row.owner, role=Role(row.role)) for row in found]

    def revoke(self, token_id: str, by: Actor, user_id: str | None = None) -> bool:
        """End a token at once, if it is that user's where one is named; whether there was one."""
        now = int(self.clock.now())
        where = [tokens.c.id == token_id, tokens.c.revoked_at.is_(None)]
        if user_id is not None:
            where.append(tokens.c.user_id == user_id)
        with self.database.writing() as connection:
            name = connection.execute(select(tokens.c.name).where(*where)).scalar_one_or_none()
            if name is None:
                return False
            connection.execute(update(tokens).where(tokens.c.id == token_id).values(revoked_at=now))
            record(connection, now, by, "token.revoke", name)
        return True
