"""Read children: one partition for each record of a parent table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from cio_replicate.base.errors import ChildGoneError, EndpointNotFoundError
from cio_replicate.schema.table import ColumnType, Table
from cio_replicate.source.pages import Cursor, Page, Request
from cio_replicate.source.strategies.base import (
    COUNTED,
    START,
    Estimate,
    FetchPage,
    PageContent,
    Partition,
    Priority,
    ReadScope,
    ReadState,
    ReadStats,
    Send,
    Step,
    Strategy,
)
from cio_replicate.source.values import key_text, record_of

#: The partition that lists the parents and adds one partition for each of them.
PARENTS = "parents"

#: No list of children has shorter pages than this (live).
LEAST_PAGE = 10


class ChildrenStrategy(Strategy):
    """Read the list of parents, then the children of each parent, many parents side by side.

    `Table.parent` declares the parents; the one place in `Table.path` takes a parent's key, and so does the column of
    the same name where a child lacks it.
    """

    chained = False  # parents are read side by side

    def __init__(self, table: Table, scope: ReadScope) -> None:
        super().__init__(table, scope)
        if table.parent is None:
            raise AssertionError(f"{table.name} has no parent")
        self._parents = Strategy(table.parent, scope)
        self._field = table.path.partition("{")[2].partition("}")[0]
        columns = {column.path: column for column in (*table.columns, *table.hidden)}
        self._as_number = columns[self._field,].type is ColumnType.INTEGER

        self._gone, self._found = 0, False

    @classmethod
    def requests_to_count(cls, table: Table, rows: Mapping[str, int]) -> int:
        """The list of parents, and for each of them a request and one for every ten children."""
        children = rows.get(table.name, 0)
        parents = rows.get(table.parent.name, children) if table.parent is not None else children
        return 2 + parents + children // LEAST_PAGE

    def partitions(self) -> list[Partition]:
        """The list of parents; theirs follow."""
        return [Partition(PARENTS)]

    def request(self, partition: Partition, cursor: Cursor) -> Request:
        """The request for a page of parents, or of the children of one of them."""
        if partition.name == PARENTS:
            return self._parents.request(Partition(PARENTS), cursor)
        return self.request_with(partition, {**partition.query, **self.place(cursor)}, cursor, part=True)

    def records(self, partition: Partition) -> str:
        """The key of an answer that holds parents, or children."""
        return self._parents.table.records if partition.name == PARENTS else self.table.records

    def priority(self, partition: Partition, cursor: Cursor) -> Priority:
        """All wait for the parents; nobody waits for the children."""
        return self._parents.priority(partition, cursor) if partition.name == PARENTS else Priority.FAN

    def shows_access(self, partition: Partition) -> bool:
        """That the parents may be read says nothing of their children."""
        return partition.name != PARENTS

    def advance(self, partition: Partition, cursor: Cursor, page: Page, room: Callable[[], int]) -> Step:
        """Of a page of parents only their keys count."""
        following = self.following(partition, cursor, page)
        if partition.name != PARENTS:
            self._found = True
            return Step(page.items, following)
        key = self._parents.table.key
        keys = dict.fromkeys(filter(None, (key_text(record_of(item), key) for item in page.items)))
        return Step((), following, tuple(Partition(key, path={self._field: key}) for key in keys))

    async def complete(
        self, partition: Partition, items: Sequence[msgspec.Raw], send: Send, state: ReadState | None
    ) -> PageContent:
        """The children, each with the key of its parent."""
        key = partition.path.get(self._field, "")
        raw = msgspec.Raw(key.encode() if self._as_number and key.isdecimal() else msgspec.json.encode(key))
        return PageContent([_with_parent(item, self._field, raw) for item in items])

    def gone(self, partition: Partition, error: ChildGoneError) -> ReadStats:
        """A parent that was deleted meanwhile has no children any more."""
        if not partition.path:
            return super().gone(partition, error)
        self._gone += 1
        return ReadStats(parents_gone=1)

    def finished(self) -> None:
        """Fail if no parent is known: they are hardly all deleted, so the API does not know these children."""
        if self._gone > 1 and not self._found:
            parents = self._parents.table.name
            raise EndpointNotFoundError(
                f"The API answers 404 for {self.table.name} of all {self._gone} {parents}.",
                f"Leave the table out with ‹exclude› {self.table.name}.",
            )

    async def probe(self, fetch: FetchPage, people: Callable[[], Awaitable[Sequence[int]]]) -> Estimate:
        """At least the list of parents, and a request for each parent on its first page."""
        page = await fetch(Partition(PARENTS), START)
        least = 1 + len(page.items if page is not None else ())
        return Estimate(self.table.name, least, least if least == 1 else None, None, COUNTED)

    def estimate_of_pages(self, first: Sequence[tuple[Partition, Page]]) -> Estimate | None:
        """How many pages the children of each parent have shows only when they are read."""
        return None


def _with_parent(item: msgspec.Raw, field: str, key: msgspec.Raw) -> bytes | msgspec.Raw:
    record = record_of(item)
    return item if key_text(record, (field,)) else msgspec.json.encode({**record, field: key})
