"""The audit log: who did what and when; it is only added to, in the transaction of what was done."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from cio_replicate.database.actor import Actor
from cio_replicate.database.tables import audit

LONGEST = 2_000  # characters of a detail


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit log. `at` is unix seconds."""

    at: int
    who: str
    did: str
    what: str
    detail: str | None


def record(connection: Connection, now: int, by: Actor, did: str, what: str, detail: str | None = None) -> None:
    """Note what is done in this transaction: if that is not committed, this is not either.

    `detail` never holds a secret: settings only name the places of secrets.
    """
    if detail is not None and len(detail) > LONGEST:
        detail = detail[: LONGEST - 1] + "…"
    entry_id = f"{time.time_ns():016x}{secrets.token_hex(8)}"  # in the order in which they are made, also in a second
    values = {"at": now, "who": by.name[:200], "did": did, "what": what[:300], "detail": detail}
    connection.execute(insert(audit).values(id=entry_id, **values))


def entries(connection: Connection, limit: int = 100, offset: int = 0, what: str | None = None) -> list[AuditEntry]:
    """The newest lines first, perhaps only those about one thing; `offset` are left out."""
    query = select(audit).order_by(audit.c.at.desc(), audit.c.id.desc()).limit(limit).offset(offset)
    if what is not None:
        query = query.where(audit.c.what == what)
    return [AuditEntry(row.at, row.who, row.did, row.what, row.detail) for row in connection.execute(query)]
