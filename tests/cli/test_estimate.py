"""What a plan concludes from first pages, counts and earlier runs."""

from __future__ import annotations

import msgspec

from cio_replicate.app.plan import total
from cio_replicate.pipeline.estimates import last_complete
from cio_replicate.pipeline.report import Report, Status, TableReport
from cio_replicate.schema.table import Table
from cio_replicate.source.catalog import table
from cio_replicate.source.pages import Page
from cio_replicate.source.strategies import strategy_of
from cio_replicate.source.strategies.base import Estimate, Partition, ReadScope, extrapolated
from cio_replicate.source.strategies.people import estimate_of_people
from cio_replicate.source.strategies.windows import WINDOW

MESSAGES, CUSTOMERS, SENDERS = table("messages"), table("customers"), table("sender_identities")
NEWSLETTERS, LOG, SUPPRESSIONS = table("newsletters"), table("activities"), table("eps_suppression")


def messages(count: int, *, newest: int, apart: int, more: bool) -> Page:
    """A page of messages that were created some seconds apart, newest first."""
    items = [msgspec.Raw(b'{"created":%d}' % (newest - number * apart)) for number in range(count)]
    return Page(items, "token" if more else "")


def of_first_pages(of: Table, pages: list[tuple[Partition, Page]]) -> Estimate:
    """What the strategy of a table says of its first pages."""
    found = strategy_of(of, ReadScope(0, 0)).estimate_of_pages(pages)
    assert found is not None
    return found


def window(start: int, end: int) -> Partition:
    """A window of time."""
    return Partition("window", {"start_ts": str(start), "end_ts": str(end)})


def test_a_window_that_ends_on_its_first_page_is_counted() -> None:
    """One request, and exactly its rows."""
    page = messages(7, newest=1_000, apart=10, more=False)
    assert of_first_pages(MESSAGES, [(window(0, 1_000), page)]) == Estimate("messages", 1, 1, 7, "counted")


def test_a_longer_window_is_as_dense_as_its_first_page() -> None:
    """A thousand messages in a tenth of the window mean ten thousand in all of it."""
    page = messages(1_000, newest=100_000, apart=10, more=True)
    found = of_first_pages(MESSAGES, [(window(0, 100_000), page)])
    assert found.basis == "estimated from first page"
    assert found.most == found.least == 11
    assert abs((found.rows or 0) - 10_010) < 20


def test_density_needs_time_between_rows() -> None:
    """Rows of one and the same second tell nothing."""
    assert extrapolated([5, 5, 5], 0) is None
    assert extrapolated([10, 20], None) is None
    assert extrapolated([90, 100], 0) == 2 + 18


def test_a_full_page_without_times_has_no_upper_bound() -> None:
    """What goes on after a full page is at least one page more."""
    page = Page([msgspec.Raw(b"{}")] * 100, "token")
    found = of_first_pages(NEWSLETTERS, [(Partition("all"), page)])
    assert (found.least, found.most, found.rows) == (2, None, 100)


def test_a_token_after_a_short_page_costs_one_request() -> None:
    """The page after the last sender is empty, but asked for."""
    assert of_first_pages(SENDERS, [(Partition("visible"), Page([msgspec.Raw(b"{}")], "token"))]).least == 2


def test_a_span_of_years_costs_a_request_for_each_half() -> None:
    """However few its messages, since a request reaches no further back."""
    page = messages(7, newest=WINDOW * 3, apart=10, more=False)
    found = of_first_pages(MESSAGES, [(window(0, WINDOW * 3 - 1), page)])
    assert (found.least, found.most, found.rows) == (3, 3, 7)


def test_a_list_that_another_holds_costs_a_request() -> None:
    """The log without deleted people is looked at once."""
    pages = [(Partition("with deleted"), Page([msgspec.Raw(b"{}")] * 7, "")), (Partition("default"), Page([], ""))]
    assert of_first_pages(LOG, pages).least == 2


def test_lists_by_offset_cost_one_request_more_together() -> None:
    """It tells that pages could be longer; a full page tells that too."""
    kinds = [Partition(one.name) for one in SUPPRESSIONS.slices]
    short = [(part, Page([msgspec.Raw(b"{}")] * 7, "")) for part in kinds]
    assert of_first_pages(SUPPRESSIONS, short).least == 5
    assert of_first_pages(SUPPRESSIONS, [(part, Page([], "")) for part in kinds]).least == 4


def test_people_cost_a_list_and_their_attributes() -> None:
    """1,001 people are two pages of the list and eleven requests for attributes."""
    assert estimate_of_people(CUSTOMERS, [1_001]) == Estimate("customers", 13, 13, 1_001, "counted")


def test_one_of_several_workspaces_is_a_range() -> None:
    """The smallest and the largest workspace bound the cost."""
    found = estimate_of_people(CUSTOMERS, [100, 1_001])
    assert (found.least, found.most) == (2, 13)


def test_the_total_is_open_when_one_table_is() -> None:
    """An unknown bound makes the whole unknown."""
    known, unknown = Estimate("a", 2, 3, None, ""), Estimate("b", 1, None, None, "")
    assert (total([known]), total([known, unknown])) == ((2, 3), (3, None))


def test_the_newest_complete_report_of_a_table_counts() -> None:
    """A failed or interrupted read says nothing about what a whole one costs."""

    def report(status: Status, requests: int) -> Report:
        tables = [TableReport(name="topics", status=status, requests=requests)]
        return Report(run_id="r", started="", tables=tables)

    found = last_complete([report(Status.FAILED, 1), report(Status.COMPLETE, 2), report(Status.COMPLETE, 3)])
    assert found["topics"].requests == 2
