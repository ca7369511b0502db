"""Users of the console: invitations, roles, sign-in, and password hashes."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from zoneinfo import available_timezones

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from cio_replicate.base.errors import Conflict, InvalidSettings, NotFound
from cio_replicate.base.runtime import Clock
from cio_replicate.console.sessions import BYTES, SessionUser, digest
from cio_replicate.database.actor import LOCAL, Actor, Role
from cio_replicate.database.audit_log import record
from cio_replicate.database.connection import Database
from cio_replicate.database.rows import record_of
from cio_replicate.database.tables import invitations, sessions, tokens, users

# Passwords: which are taken, and their Argon2 hashes, compared in the same time for a user that there is not.

SHORTEST, LONGEST = 12, 200  # longer ones only cost time
DIFFERENT = 5  # characters that a password has at least

_HASHER = PasswordHasher()  # Argon2id with the values that RFC 9106 names for machines with little memory
_OF_NOBODY = _HASHER.hash("the password of nobody, which takes as long to compare")


def hashed(password: str, name: str) -> str:
    """Return the hash of a new password of the user of that name. Raises Refused for one that is guessed too easily."""
    require_strong(password, name)
    return _HASHER.hash(password)


def matches(password: str, expected: str | None) -> bool:
    """Return whether the password has this hash; takes as long when there is none."""
    if len(password) > LONGEST:
        password = ""
    try:
        _HASHER.verify(expected or _OF_NOBODY, password)
    except (Argon2Error, InvalidHashError):
        return False
    return expected is not None


def require_strong(password: str, name: str) -> None:
    """Raises Refused for a password that is too short, too long, of too few characters, or the name again."""
    if len(password) < SHORTEST:
        raise InvalidSettings(
            f"The password is too short: it has {len(password)} characters.",
            f"Choose {SHORTEST} or more; a few words that nobody would put together are easy to remember.",
        )
    if len(password) > LONGEST:
        raise InvalidSettings("The password is too long.", f"Choose {LONGEST} characters at most.")
    if len(set(password.casefold())) < DIFFERENT:
        raise InvalidSettings("The password repeats a few characters.", "Choose one of more different characters.")
    if (name and password.casefold().replace(name.casefold(), "") == "") or _is_a_row(password.casefold()):
        raise InvalidSettings("The password can be guessed from the name or the keyboard.", "Choose another.")


_ROWS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
)


def _is_a_row(password: str) -> bool:
    """Whether it is a part of the alphabet, the digits or the keyboard, or one of a few words and digits."""
    letters = "".join(one for one in password if one.isalpha())
    return any(password in row for row in _ROWS) or letters in {"password", "passwort", "qwerty", "letmein", "admin"}


DAY = 86_400
INVITED_DAYS = 7
NEVER = 253_402_300_799  # the end of the year 9999: the first link counts until somebody has used it
LONGEST_NAME = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """What is known of a user; never the password's hash."""

    id: str
    name: str
    role: Role
    zone: str
    disabled: bool
    has_password: bool
    created_at: int
    seen_at: int | None


@dataclass(frozen=True, slots=True)
class Invitation:
    """A link that still counts: for whom, or nobody yet for the first user, who chooses a name."""

    user: User | None


@dataclass(frozen=True, slots=True)
class Users:
    """The users. The audit log names who did something."""

    database: Database
    clock: Clock

    # --- how one comes in ---

    def first_link(self) -> str | None:
        """Return what the link for the first user holds, another with each call; None once there is a user."""
        with self.database.writing() as connection:
            if _count(connection):
                return None
            record(connection, self._now, LOCAL, "user.first link", "the first admin")
            return _link(connection, None, NEVER)

    def invite(self, name: str, role: Role, by: Actor) -> str:
        """Add a user, who chooses a password by the link that holds what is returned. Raises Refused."""
        by.require(Role.ADMIN)
        name = required_name(name)
        with self.database.writing() as connection:
            if _named(connection, name) is not None:
                raise Conflict(f"There is a user {name!r} already.", "Choose another name.")
            user_id = _add(connection, name, role, self._now)
            record(connection, self._now, by, "user.invite", name, f"role {role}")
            return _link(connection, user_id, self._now + INVITED_DAYS * DAY)

    def invite_again(self, user_id: str, by: Actor) -> str:
        """Return a link by which a user chooses a new password; earlier links no longer count. Raises Refused."""
        by.require(Role.ADMIN)
        with self.database.writing() as connection:
            row = _required(connection, user_id)
            record(connection, self._now, by, "user.link", row.name)
            return _link(connection, user_id, self._now + INVITED_DAYS * DAY)

    def invitation(self, value: str) -> Invitation | None:
        """What a link is for, if it still counts."""
        with self.database.reading() as connection:
            found = _invitation(connection, value, self._now)
            if found is None:
                return None
            if found.user_id is None:
                return None if _count(connection) else Invitation(None)
            return Invitation(_user(_required(connection, found.user_id)))

    def accept(self, value: str, name: str, password: str, zone: str) -> str:
        """Set the password by a link, which counts once; earlier sessions end. Return the user's id. Raises Refused."""
        now, zone = self._now, zone if zone in available_timezones() else "UTC"
        with self.database.reading() as connection:
            found = _invitation(connection, value, now)
            named = name if found is None or found.user_id is None else _required(connection, found.user_id).name
        password = hashed(password, named)  # takes its time, so outside of the transaction
        over = NotFound("This link no longer counts.", "Ask an admin for a new one.")
        with self.database.writing() as connection:
            found = _invitation(connection, value, now)
            if found is None or (found.user_id is None and _count(connection)):
                raise over
            user_id = str(found.user_id or _add(connection, required_name(name), Role.ADMIN, now))
            unused = (invitations.c.digest == found.digest, invitations.c.used_at.is_(None))
            if connection.execute(update(invitations).where(*unused).values(used_at=now)).rowcount != 1:
                raise over
            _change(connection, user_id, password=password, zone=zone)
            connection.execute(delete(sessions).where(sessions.c.user_id == user_id))
            row = _required(connection, user_id)
            record(connection, now, Actor(row.name, Role(row.role)), "user.password", row.name, "by a one-time link")
        return user_id

    def log_in(self, name: str, password: str) -> str | None:
        """Return the id of the user of this name and password; None takes as long for a name that there is not."""
        name = name.strip() if name.isprintable() else ""
        with self.database.reading() as connection:
            row = _named(connection, name[:LONGEST_NAME])
        right = matches(password, None if row is None else row.password)
        with self.database.writing() as connection:
            user_id = self._log_in(connection, row if right else None, "somebody" if row is None else row.name)
            if user_id is not None and row is not None and _HASHER.check_needs_rehash(row.password):
                _change(connection, user_id, password=_HASHER.hash(password))
        return user_id

    def log_in_as(self, subject: str, name: str, newcomers: Role | None, *, verified: bool) -> str | None:
        """The id of the user whom an identity provider names.

        A user who has come that way before is known by the subject. Who was invited by an address that the provider
        has `verified`, and has not chosen a password yet, is that user from now on. Somebody new becomes a user of the
        role for `newcomers`, if there is one. Any other name that is taken lets nobody in.
        """
        with self.database.writing() as connection:
            row = connection.execute(select(users).where(users.c.subject == subject)).one_or_none()
            named = _named(connection, name) if row is None else None
            if named is not None and verified and named.password is None and named.subject is None:
                _change(connection, named.id, subject=subject)
                row = named
            if row is None and named is None and newcomers is not None:
                user_id = _add(connection, required_name(name), newcomers, self._now, subject=subject)
                row = _required(connection, user_id)
            who = row.name if row is not None else name[:LONGEST_NAME]
            return self._log_in(connection, row, who, "by the identity provider")

    def _log_in(
        self, connection: Connection, row: Row[tuple[object, ...]] | None, name: str, how: str | None = None
    ) -> str | None:
        """Note in the audit log who may log in, or who was refused; return the user's id or None."""
        allowed = row is not None and not row.disabled
        record(connection, self._now, Actor(name, Role.VIEWER), "login" if allowed else "login.refused", name, how)
        return str(row.id) if row is not None and allowed else None

    def log_out(self, visitor: SessionUser) -> None:
        """End a session."""
        with self.database.writing() as connection:
            connection.execute(delete(sessions).where(sessions.c.digest == visitor.session))
            record(connection, self._now, visitor.actor, "logout", visitor.name)

    # --- what is done with those who are there ---

    def all(self) -> list[User]:
        """Every user, by name."""
        with self.database.reading() as connection:
            return [_user(row) for row in connection.execute(select(users).order_by(users.c.name))]

    def user(self, user_id: str) -> User:
        """One user. Raises Refused."""
        with self.database.reading() as connection:
            return _user(_required(connection, user_id))

    def count(self) -> int:
        """How many users there are."""
        with self.database.reading() as connection:
            return _count(connection)

    def change_role(self, user_id: str, role: Role, by: Actor) -> None:
        """Give a user another role, from the next page on. Raises Refused when no admin would be left."""
        with self._changing(user_id, by) as (connection, row):
            _change(connection, user_id, role=role.value)
            record(connection, self._now, by, "user.role", row.name, f"{row.role} to {role}")

    def disable(self, user_id: str, by: Actor, *, disabled: bool = True) -> None:
        """Shut a user out at once, or let them in again. Raises Refused when no admin would be left."""
        with self._changing(user_id, by) as (connection, row):
            _change(connection, user_id, disabled=disabled)
            if disabled:
                connection.execute(delete(sessions).where(sessions.c.user_id == user_id))
            record(connection, self._now, by, "user.disable" if disabled else "user.enable", row.name)

    def remove(self, user_id: str, by: Actor) -> None:
        """Remove a user with sessions and tokens; the audit log keeps the name. Raises Refused."""
        with self._changing(user_id, by) as (connection, row):
            for table in (sessions, tokens, invitations):
                connection.execute(delete(table).where(table.c.user_id == user_id))
            connection.execute(delete(users).where(users.c.id == user_id))
            record(connection, self._now, by, "user.remove", row.name)

    @contextmanager
    def _changing(self, user_id: str, by: Actor) -> Iterator[tuple[Connection, Row[tuple[object, ...]]]]:
        """Begin a transaction in which an admin changes a user, who is in the row; an admin must be left at its end."""
        by.require(Role.ADMIN)
        with self.database.writing() as connection:
            yield connection, _required(connection, user_id)
            _require_an_admin(connection)

    def change_password(self, user_id: str, old: str, new: str, session: str) -> None:
        """Set a user's own new password; all other sessions end. Raises Refused."""
        with self.database.reading() as connection:
            row = _required(connection, user_id)
        if row.password is None or not matches(old, row.password):
            raise InvalidSettings("The present password is not right.", "Type it again, or ask an admin for a link.")
        password = hashed(new, row.name)
        with self.database.writing() as connection:
            _change(connection, user_id, password=password)
            others = (sessions.c.user_id == user_id, sessions.c.digest != session)
            connection.execute(delete(sessions).where(*others))
            record(connection, self._now, Actor(row.name, Role(row.role)), "user.password", row.name)

    def change_zone(self, user_id: str, zone: str) -> None:
        """Set the time zone in which dates are shown to a user. Raises Refused."""
        if zone not in available_timezones():
            raise InvalidSettings(f"There is no time zone {zone[:60]!r}.", "Write it as Europe/Berlin.")
        with self.database.writing() as connection:
            _change(connection, user_id, zone=zone)

    @property
    def _now(self) -> int:
        return int(self.clock.now())


def required_name(name: str) -> str:
    """The name of a new user. Raises Refused."""
    name = name.strip()
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise InvalidSettings(
            f"A user's name has 1 to {LONGEST_NAME} characters.", "Write a name or an e-mail address."
        )
    return name


def _count(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(users)).scalar_one())


def _named(connection: Connection, name: str) -> Row[tuple[object, ...]] | None:
    """The user of that name; capitals make no difference, so that no two names look alike.

    Compared here, as SQLite knows the capitals of English alone, and PostgreSQL those of its own locale.
    """
    rows = connection.execute(select(users.c.id, users.c.name)).all()
    found = next((row.id for row in rows if row.name.casefold() == name.casefold()), None)
    return None if found is None else connection.execute(select(users).where(users.c.id == found)).one_or_none()


def _required(connection: Connection, user_id: str) -> Row[tuple[object, ...]]:
    row = connection.execute(select(users).where(users.c.id == user_id)).one_or_none()
    if row is None:
        raise NotFound("There is no such user.", "Somebody may have removed them; open the list again.")
    return row


def _add(connection: Connection, name: str, role: Role, now: int, subject: str | None = None) -> str:
    values = {"subject": subject, "role": role.value, "zone": "UTC", "disabled": False, "created_at": now}
    user_id = uuid.uuid4().hex
    connection.execute(insert(users).values(id=user_id, name=name, **values))
    return user_id


def _change(connection: Connection, user_id: str, **values: object) -> None:
    connection.execute(update(users).where(users.c.id == user_id).values(**values))


def _link(connection: Connection, user_id: str | None, expires_at: int) -> str:
    """Make a link for a user, or for the first one, who is nobody yet; the one before no longer counts."""
    value = secrets.token_urlsafe(BYTES)
    connection.execute(delete(invitations).where(invitations.c.user_id == user_id))
    connection.execute(insert(invitations).values(digest=digest(value), user_id=user_id, expires_at=expires_at))
    return value


def _invitation(connection: Connection, value: str, now: int) -> Row[tuple[object, ...]] | None:
    query = select(invitations).where(
        invitations.c.digest == digest(value), invitations.c.used_at.is_(None), invitations.c.expires_at > now
    )
    return connection.execute(query).one_or_none()


def _require_an_admin(connection: Connection) -> None:
    """Raises Refused, which takes the change back, when nobody could manage the console any more.

    Who was invited and has never come does not count: the link may be lost.
    """
    may_come = users.c.password.is_not(None) | users.c.subject.is_not(None)
    admins = users.c.role == Role.ADMIN.value, users.c.disabled.is_(False), may_come
    if connection.execute(select(func.count()).select_from(users).where(*admins)).scalar_one() == 0:
        raise Conflict(
            "No admin would be left.",
            "Make somebody else an admin first, who chooses a password by their link.",
        )


def _user(row: Row[tuple[object, ...]]) -> User:
    return record_of(User, row, role=Role(row.role), has_password=row.password is not None)
