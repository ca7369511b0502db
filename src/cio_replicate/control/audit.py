"""The audit log: who did what and when; it is only added to, in the transaction of what was done."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from cio_replicate.control.actor import Actor
from cio_replicate.control.records import audit

LONGEST = 2_000  # characters of a detail that are kept


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the audit log. `at` is unix seconds."""

    at: int
    who: str
    did: str
    what: str
    detail: str | None


def record(connection: Connection, now: int, by: Actor, did: str, what: str, detail: str | None = None) -> None:
    """Note what is done in this transaction: if that is not committed, this is not either.

    `detail` never holds a secret: settings name only where secrets are kept.
    """
    kept = detail[: LONGEST - 1] + "…" if detail is not None and len(detail) > LONGEST else detail
    connection.execute(
        insert(audit).values(id=uuid.uuid4().hex, at=now, who=by.name[:200], did=did, what=what[:300], detail=kept)
    )


def entries(connection: Connection, limit: int = 100, offset: int = 0, what: str | None = None) -> list[Entry]:
    """The newest lines first, perhaps only those about one thing; `offset` are left out."""
    query = select(audit).order_by(audit.c.at.desc(), audit.c.id).limit(limit).offset(offset)
    if what is not None:
        query = query.where(audit.c.what == what)
    return [Entry(row.at, row.who, row.did, row.what, row.detail) for row in connection.execute(query)]
