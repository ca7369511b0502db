"""The fewest requests and the longest chain are worked out from counts as the API's pages and windows have it."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.fewest import DAY, LISTS, Counts, fewest_requests, longest_chain

EMPTY = Counts(
    messages=0,
    seconds=0,
    people=0,
    activities=0,
    newsletters=0,
    visible_senders=0,
    hidden_senders=0,
    suppressions=(0, 0, 0, 0),
    actions=(),
    broadcasts=0,
)


def test_an_empty_workspace_still_costs_a_request_for_each_list() -> None:
    """A list without rows costs one request, and nobody's attributes cost none."""
    assert fewest_requests(EMPTY) == {
        "messages": 1,
        "customers": 1,
        "activities": 1,
        "newsletters": 1,
        "sender_identities": 2,
        "eps_suppression": 4,
        "campaign_actions": 0,
        "broadcast_actions": 0,
        "lists": LISTS,
    }


def test_full_pages_are_the_fewest() -> None:
    """One row beyond a full page costs one more page, and people cost pages of both kinds."""
    full = replace(EMPTY, messages=20_000, people=3_000, activities=5_000, newsletters=200)
    assert (
        fewest_requests(full).items() >= {"messages": 20, "customers": 33, "activities": 50, "newsletters": 2}.items()
    )
    more = replace(EMPTY, messages=20_001, people=3_001, activities=5_001, newsletters=201)
    assert (
        fewest_requests(more).items() >= {"messages": 21, "customers": 35, "activities": 51, "newsletters": 3}.items()
    )


def test_each_half_year_of_messages_has_to_be_asked_for() -> None:
    """Few messages over a long time cost a request for each half year."""
    assert fewest_requests(replace(EMPTY, messages=10, seconds=400 * DAY))["messages"] == 3


def test_the_page_that_ends_a_list_is_counted() -> None:
    """Behind the last sender stands an empty page, and a list of suppressions ends with a page that is not full."""
    counts = replace(EMPTY, visible_senders=12, hidden_senders=2, suppressions=(999, 1_000, 1_001, 0))
    assert fewest_requests(counts)["sender_identities"] == 4
    assert fewest_requests(counts)["eps_suppression"] == 1 + 2 + 2 + 1


def test_children_cost_a_request_for_each_parent() -> None:
    """And one for each further page."""
    found = fewest_requests(replace(EMPTY, actions=(1, 10, 11), broadcasts=6))
    assert (found["campaign_actions"], found["broadcast_actions"]) == (4, 6)


def test_the_longest_chain_is_that_of_the_list_with_the_most_pages() -> None:
    """Activities come one page after another; so do people, and the attributes of the last page come after it."""
    assert longest_chain(replace(EMPTY, activities=5_000, people=3_000)) == 50
    assert longest_chain(replace(EMPTY, activities=100, people=3_000)) == 4
    assert longest_chain(replace(EMPTY, messages=1_000_000)) == 1
