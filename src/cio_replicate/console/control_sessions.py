"""Sessions of the console: only the digest of what a browser holds is kept, and each of them ends."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from sqlalchemy import delete, insert, or_, select, update

from cio_replicate.base.runtime import Clock
from cio_replicate.database.actor import Actor, Role
from cio_replicate.database.connection import Database
from cio_replicate.database.tables import sessions, users

IDLE, ABSOLUTE = 8 * 3_600, 7 * 86_400  # seconds after which a session ends: unused, and in any case
NOTED = 60  # seconds between two notes that a session is used, so that not every page writes
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
    """What is kept of a random value that somebody else holds."""
    return hashlib.sha256(value.encode()).hexdigest()


class Sessions:
    """Begins, finds and ends sessions."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def begin(self, user_id: str) -> str:
        """A new session; what the browser keeps of it, which is nowhere else."""
        value, now = secrets.token_urlsafe(BYTES), int(self._clock.now())
        with self._database.writing() as connection:
            connection.execute(
                insert(sessions).values(
                    digest=digest(value),
                    user_id=user_id,
                    csrf=secrets.token_urlsafe(BYTES),
                    created_at=now,
                    seen_at=now,
                    expires_at=now + ABSOLUTE,
                )
            )
            connection.execute(update(users).where(users.c.id == user_id).values(seen_at=now))
        return value

    def visitor(self, value: str) -> SessionUser | None:
        """Who holds this session, if it goes on and its user may still log in."""
        now = int(self._clock.now())
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
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        if row.seen_at <= now - NOTED:
            with self._database.writing() as connection:
                connection.execute(update(sessions).where(sessions.c.digest == row.digest).values(seen_at=now))
        return SessionUser(row.user_id, row.name, Role(row.role), row.zone, row.digest, row.csrf)

    def end(self, session: str) -> None:
        """End the session with that digest."""
        with self._database.writing() as connection:
            connection.execute(delete(sessions).where(sessions.c.digest == session))

    def end_all(self, user_id: str, but: str = "") -> None:
        """End all sessions of a user, but perhaps one: after a new password, or when the role changes."""
        with self._database.writing() as connection:
            connection.execute(delete(sessions).where(sessions.c.user_id == user_id, sessions.c.digest != but))

    def sweep(self) -> None:
        """Forget sessions that have ended."""
        now = int(self._clock.now())
        with self._database.writing() as connection:
            ended = or_(sessions.c.expires_at <= now, sessions.c.seen_at <= now - IDLE)
            connection.execute(delete(sessions).where(ended))


def is_theirs(visitor: SessionUser, token: str) -> bool:
    """Whether a form was made for this session."""
    return hmac.compare_digest(visitor.csrf.encode(), token.encode())
