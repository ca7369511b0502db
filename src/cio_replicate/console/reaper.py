"""Removes what is old: sessions, codes and links that are over, and runs and logs that nobody looks at any more."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from cio_replicate.database.tables import (
    gateway_codes,
    gateway_nonces,
    invitations,
    missed,
    notices,
    run_lines,
    runs,
    sessions,
)

DAY = 86_400
LOGS_KEPT, RUNS_KEPT = 90 * DAY, 400 * DAY


def reap(connection: Connection, now: int) -> None:
    """Remove what is over and old, in a transaction that writes. Settings, people and the audit log stay."""
    for table in (sessions, invitations, gateway_codes, gateway_nonces):
        connection.execute(delete(table).where(table.c.expires_at < now - DAY))
    old = select(runs.c.id).where(runs.c.ended_at < now - LOGS_KEPT)
    connection.execute(delete(run_lines).where(run_lines.c.run_id.in_(old)))
    very_old = select(runs.c.id).where(runs.c.ended_at < now - RUNS_KEPT)
    connection.execute(delete(notices).where(notices.c.run_id.in_(very_old)))
    connection.execute(delete(runs).where(runs.c.ended_at < now - RUNS_KEPT))
    connection.execute(delete(missed).where(missed.c.due_at < now - RUNS_KEPT))
