"""A control database of each kind with everything that is kept in it at hand, on a clock that a test moves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import select

from cio_replicate.console.installation import ControlServices, opened
from cio_replicate.database.actor import Actor, Role
from cio_replicate.database.audit_log import AuditEntry, entries
from cio_replicate.database.tables import metadata
from tests.console.stage import START, environment, migrated_url
from tests.manual_clock import ManualClock

ADMIN, OPERATOR, VIEWER = Actor("ada", Role.ADMIN), Actor("olga", Role.OPERATOR), Actor("vera", Role.VIEWER)


@contextmanager
def store_of(
    kind: str, folder: Path, clock: ManualClock | None = None, variables: Mapping[str, str] | None = None
) -> Iterator[ControlServices]:
    """A new store; `variables` are those that references find, beside its own."""
    with opened(
        migrated_url(kind, folder), environment(folder) | dict(variables or {}), clock or ManualClock(START)
    ) as store:
        yield store


def told(store: ControlServices) -> list[AuditEntry]:
    """The audit log, what came first first."""
    with store.database.reading() as connection:
        return entries(connection, limit=1_000)[::-1]


def everything(store: ControlServices) -> str:
    """All that the database holds, as text."""
    with store.database.reading() as connection:
        return "\n".join(
            repr(tuple(row)) for table in metadata.sorted_tables for row in connection.execute(select(table))
        )
