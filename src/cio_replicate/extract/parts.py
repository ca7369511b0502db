"""Which parts a read of a table has, and which request reads the next page of one: pure decisions."""

from __future__ import annotations

from cio_replicate.api.paging import Place
from cio_replicate.api.request import Request
from cio_replicate.landing.read import Part
from cio_replicate.tables.declare import Paging, Reading, Slice, Table

DAY = 86_400
#: A request spans at most six months and a wider one is cut in silence; the shortest six months have 181 days.
WINDOW = 180 * DAY


def parts_of(table: Table, start: int, now: int) -> list[Part]:
    """The parts of a new read that begins `now`, when `start` is the start date.

    Windows reach from the start date to now on every run: a delivery's metrics grow for months and its recipient may be
    forgotten at any time, and no request tells which deliveries changed.
    """
    if table.reading is not Reading.WINDOWS:
        return [Part(part.name, part.query, part.path) for part in table.slices]
    return [_window(a, b) for a, b in windows(start, now)]


def more_parts(table: Table, parts: list[Part], now: int) -> list[Part]:
    """What a read that is taken up again `now` must add: the time since its last window ended."""
    if table.reading is not Reading.WINDOWS:
        return []
    ended = max((int(part.query["end_ts"]) for part in parts), default=now)
    return [_window(a, b) for a, b in windows(ended + 1, now)]


def windows(first: int, last: int) -> list[tuple[int, int]]:
    """The seconds `first` to `last`, both included, in windows that each hold both of their bounds and no gap.

    first                                        last
    |------ WINDOW ------||------ WINDOW ------||---|
    a                    b a+WINDOW ...             b
    """
    return [(a, min(a + WINDOW - 1, last)) for a in range(first, last + 1, WINDOW)]


def _window(first: int, last: int) -> Part:
    return Part(f"{first}-{last}", {"start_ts": str(first), "end_ts": str(last)})


def slice_of(table: Table, part: Part) -> Slice:
    """The declared slice that a part reads; for a window one of its own."""
    for declared in table.slices:
        if declared.name == part.name:
            return declared
    return Slice(part.name, part.query, part.path)


def request_for(table: Table, part: Part, place: Place) -> Request:
    """The request that reads the page at `place`."""
    query = dict(part.query)
    if table.page_size is not None:
        query["limit"] = str(table.page_size)
    if table.paging is Paging.OFFSET:
        query["offset"] = str(place.offset)
    elif place.token:
        query["start"] = place.token
    variant = table.reading is not Reading.WINDOWS and bool(part.query or part.path)
    return Request(
        method=table.http_method,
        path=table.path,
        path_values=part.path,
        query=query,
        body=table.body,
        resumes=bool(place.token),
        part=variant,
        extra=variant,
    )
