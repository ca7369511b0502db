"""Whom the log names as changed."""

from __future__ import annotations

import pytest

from cio_replicate.source.strategies.base import ChangedPeople
from cio_replicate.source.strategies.people import LogEntry, alive_after, changed_people, departure


@pytest.mark.parametrize(
    "kind",
    [
        "attribute_change",
        "profile_create",
        "profile_merge",
        "device_change",
        "unsubscribed_email",
        "topic_unsubscribed_email",
        "anon_merge",
        "add_relationship",
        "some_type_of_next_year",
        None,
    ],
)
def test_a_person_whose_record_may_have_changed_is_named(kind: str | None) -> None:
    """Also by an entry of a type that nobody knows yet."""
    assert changed_people([LogEntry(kind, 5, "cio_0300", None)]) == ChangedPeople(("0300",), ())


@pytest.mark.parametrize(
    "kind",
    [
        "event",
        "page",
        "screen",
        "sent_email",
        "opened_push",
        "clicked_email",
        "attempted_webhook",
        "failed_attribute_change",
        "_o:1:attribute_change",
        "_r:1:attribute_change",
    ],
)
def test_what_merely_happens_to_a_person_names_nobody(kind: str) -> None:
    """Else everybody who got a message would be asked for again."""
    assert changed_people([LogEntry(kind, 5, "0300", None)]) == ChangedPeople((), ())


def test_a_person_without_cio_id_is_named_by_id() -> None:
    """Some entries lack the identifiers."""
    entries = [
        LogEntry("attribute_change", 5, None, "ada"),
        LogEntry("attribute_change", 5, "", ""),
        LogEntry("x", 5, None, None),
    ]
    assert changed_people(entries) == ChangedPeople((), ("ada",))


def test_who_was_deleted_is_not_asked_for() -> None:
    """The list of people tells that; who came back after it is asked for."""
    gone = [LogEntry("attribute_change", 5, "1", None), LogEntry("profile_delete", 6, "1", None)]
    back = [LogEntry("profile_delete", 6, "2", None), LogEntry("profile_create", 7, "2", None)]
    assert changed_people([*gone, *back]) == ChangedPeople(("2",), ())


def test_each_is_named_once() -> None:
    """However much of them changed."""
    assert changed_people([LogEntry("attribute_change", at, "1", None) for at in range(9)]) == ChangedPeople(("1",), ())


def _told(kind: str, named: str | None, data: str | None) -> tuple[str, str | None] | None:
    found = departure(LogEntry(kind, 5, named, None), "key", data)
    return None if found is None else (found.cio_id, found.into)


@pytest.mark.parametrize(
    ("kind", "named", "data", "told"),
    [
        ("profile_delete", "cio_a", None, ("a", None)),
        ("profile_delete", None, "{}", None),
        ("profile_merge", "a", '{"secondary":{"cio_id":"b","id":"x"}}', ("b", "a")),
        ("profile_merge", "a", '{"secondary":"cio_b"}', ("b", "a")),
        ("profile_merge", "b", '{"primary":{"cio_id":"a"}}', ("b", "a")),
        ("profile_merge", "b", '{"primary":{"cio_id":"cio_a"},"secondary":{"cio_id":"b"}}', ("b", "a")),
        ("profile_merge", None, '{"secondary":{"cio_id":"b"}}', ("b", None)),
        ("profile_merge", "a", '{"secondary":{"id":"x"}}', None),
        ("profile_merge", "a", '{"secondary":{"cio_id":"a"}}', None),
        ("profile_merge", "a", '{"secondary":{"cio_id":7}}', None),
        ("profile_merge", "a", "[]", None),
        ("profile_merge", "a", "not json", None),
        ("profile_merge", "a", None, None),
        ("profile_create", "a", '{"secondary":{"cio_id":"b"}}', None),
    ],
)
def test_who_is_gone_is_told_only_where_the_entry_says_so(
    kind: str, named: str | None, data: str | None, told: tuple[str, str | None] | None
) -> None:
    """Of a merge it is the one called secondary, or whom the entry names beside a primary; else nobody is known."""
    assert _told(kind, named, data) == told


def test_the_log_shows_until_when_people_are_there() -> None:
    """By whatever changes them; their deletion, and what merely happens to them, says nothing."""
    entries = [
        LogEntry("attribute_change", 5, "cio_1", None),
        LogEntry("profile_create", 4, "1", None),
        LogEntry("opened_email", 9, "1", None),
        LogEntry("profile_delete", 8, "1", None),
        LogEntry("attribute_change", 7, None, "ada"),
    ]
    assert alive_after(entries) == {"1": 5}
