"""The fewest requests that could copy a workspace, and the longest chain of them: pure functions of its counts."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

DAY = 86_400
LONGEST_HALF_YEAR = 184 * DAY  # a request of messages spans six calendar months at most
MESSAGES = 1_000  # rows a page, at most
LISTED_PEOPLE = 1_000
ATTRIBUTES = 100
ACTIVITIES = 100
SUPPRESSIONS = 1_000
NEWSLETTERS = 100
SENDERS = 100
ACTIONS = 10
LISTS = 12  # tables that come in one answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many rows each list of a workspace has that comes in pages, and over how many seconds messages were sent."""

    messages: int
    seconds: int
    people: int
    activities: int
    newsletters: int
    visible_senders: int
    hidden_senders: int
    suppressions: tuple[int, ...]
    actions: tuple[int, ...]  # of each campaign
    broadcasts: int


def fewest_requests(counts: Counts) -> dict[str, int]:
    """Requests per table that no reader can do without, knowing beforehand all that can be known.

    messages           full pages; at least one for each half year, since no request spans more
    customers          full pages of identifiers, then attributes by the hundred
    activities         full pages of the list that holds the deleted people's too; that the other list has nothing
                       more is not asked
    newsletters        full pages
    sender_identities  full pages of visible and of hidden ones, and for each list that is not empty the empty page
                       behind its last sender: only that ends it
    eps_suppression    per kind, full pages and the one that is not full, which ends it
    campaign_actions   full pages for each campaign
    broadcast_actions  one for each broadcast
    lists              one for each table that comes in one answer

    It is a bound from below: where half years end, pages that are not full cannot quite be avoided.
    """
    return {
        "messages": max(ceil(counts.messages / MESSAGES), ceil(counts.seconds / LONGEST_HALF_YEAR), 1),
        "customers": _pages(counts.people, LISTED_PEOPLE) + ceil(counts.people / ATTRIBUTES),
        "activities": _pages(counts.activities, ACTIVITIES),
        "newsletters": _pages(counts.newsletters, NEWSLETTERS),
        "sender_identities": sum(
            ceil(senders / SENDERS) + 1 for senders in (counts.visible_senders, counts.hidden_senders)
        ),
        "eps_suppression": sum(rows // SUPPRESSIONS + 1 for rows in counts.suppressions),
        "campaign_actions": sum(_pages(actions, ACTIONS) for actions in counts.actions),
        "broadcast_actions": counts.broadcasts,
        "lists": LISTS,
    }


def longest_chain(counts: Counts) -> int:
    """How many requests must be sent one after another, whatever is done side by side.

    A list with tokens tells where its next page is in the answer before it: so the log of activities, and the list of
    people with the attributes of those on its last page. Messages can be cut by time, suppressions asked for by offset.
    """
    people = _pages(counts.people, LISTED_PEOPLE) + (1 if counts.people else 0)
    return max(_pages(counts.activities, ACTIVITIES), people)


def _pages(rows: int, size: int) -> int:
    return max(1, ceil(rows / size))
