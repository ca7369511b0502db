"""One module per way to read a table. `strategy_of` is the only place that knows which table is read how."""

from __future__ import annotations

from collections.abc import Mapping

from cio_replicate.schema.table import Table
from cio_replicate.source.strategies.base import ReadScope, Strategy
from cio_replicate.source.strategies.children import ChildrenStrategy
from cio_replicate.source.strategies.list import ListStrategy
from cio_replicate.source.strategies.log import LogStrategy
from cio_replicate.source.strategies.offset import OffsetStrategy
from cio_replicate.source.strategies.people import PeopleStrategy
from cio_replicate.source.strategies.windows import WindowsStrategy

_STRATEGIES: Mapping[str, type[Strategy]] = {
    "list": ListStrategy,
    "offset": OffsetStrategy,
    "windows": WindowsStrategy,
    "log": LogStrategy,
    "people": PeopleStrategy,
    "children": ChildrenStrategy,
}


def strategy_class(table: Table) -> type[Strategy]:
    """The class that reads a table."""
    return _STRATEGIES[table.strategy]


def strategy_of(table: Table, scope: ReadScope) -> Strategy:
    """The strategy of one read of a table."""
    return strategy_class(table)(table, scope)
