"""Reads from a page when its records happened, without a look at anything else in them."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

import msgspec

from cio_replicate.schema.table import Table
from cio_replicate.source.pages import Page


def times_reader(table: Table) -> Callable[[Page], list[int]]:
    """A function that gives the unix seconds of all records of a page in the table's start date column, in order.

    It gives nothing when a record has no such integer, or the table no such column.
    """
    name = table.column(table.start_date_column).path[-1] if table.start_date_column else None
    if name is None:
        return lambda _page: []
    at = attrgetter("at")
    decode = msgspec.json.Decoder(msgspec.defstruct("Dated", [("at", int)], rename={"at": name}, gc=False)).decode

    def times(page: Page) -> list[int]:
        try:
            return [at(decode(item)) for item in page.items]
        except msgspec.DecodeError:
            return []

    return times
