"""What a lookup asks of a store: pure functions of what is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from cio_replicate.sinks.backend import Condition, Operator, StoredTable
from cio_replicate.sinks.merge.statements import KEY


def conditions_of(
    shape: StoredTable,
    *,
    keys: Sequence[str] | None,
    synced_since: int | None,
    after: tuple[str, int] | None,
    among: tuple[str, Sequence[str]] | None,
    live: Condition | None,
) -> list[Condition] | None:
    """What must hold for the rows that `Destination.find` is asked for; `keys` are written as they are stored.

    None when no row can be among them: no key is asked for, or a column is named that the table does not have.
    """
    known = {column.name for column in shape.columns}
    if (keys is not None and not keys) or any(one is not None and one[0] not in known for one in (after, among)):
        return None
    return [
        *([Condition(KEY, Operator.IN, sorted({*keys}))] if keys is not None else ()),
        *([Condition("_cio_synced_at", Operator.AT_LEAST, moment(synced_since))] if synced_since is not None else ()),
        *([Condition(after[0], Operator.AT_LEAST, moment(after[1]))] if after is not None else ()),
        *([Condition(among[0], Operator.IN, list(among[1]))] if among is not None else ()),
        *([live] if live is not None else ()),
    ]


def moment(seconds: int) -> datetime:
    """A unix second as what a condition or a row holds."""
    return datetime.fromtimestamp(seconds, UTC)
