"""All replicated tables, in the order in which they are shown."""

from __future__ import annotations

from cio_replicate.schema.table import Table
from cio_replicate.source.catalog.account_tables import (
    COLLECTIONS,
    EPS_SUPPRESSION,
    EXPORTS,
    IP_ADDRESSES,
    REPORTING_WEBHOOKS,
    SENDER_IDENTITIES,
    SNIPPETS,
    TOPICS,
    TYPES,
    WORKSPACES,
)
from cio_replicate.source.catalog.delivery_tables import ACTIVITIES, MESSAGES
from cio_replicate.source.catalog.people_tables import CUSTOMERS, SEGMENTS
from cio_replicate.source.catalog.sending_tables import BROADCASTS, CAMPAIGNS, NEWSLETTERS, TRANSACTIONAL_MESSAGES

TABLES: tuple[Table, ...] = (
    BROADCASTS,
    TRANSACTIONAL_MESSAGES,
    CUSTOMERS,
    CAMPAIGNS,
    NEWSLETTERS,
    SEGMENTS,
    MESSAGES,
    EXPORTS,
    ACTIVITIES,
    SENDER_IDENTITIES,
    REPORTING_WEBHOOKS,
    SNIPPETS,
    IP_ADDRESSES,
    COLLECTIONS,
    TOPICS,
    WORKSPACES,
    TYPES,
    EPS_SUPPRESSION,
)

_BY_NAME = {table.name: table for table in TABLES}


def table(name: str) -> Table:
    """The table of that name; KeyError when there is none."""
    return _BY_NAME[name]


def names() -> tuple[str, ...]:
    """The names of all tables, in their order."""
    return tuple(_BY_NAME)
