"""Whom the log names as changed."""

from __future__ import annotations

import pytest

from cio_replicate.extract.people_log import Entry, Named, changed_people


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
    assert changed_people([Entry(kind, 5, "cio_0300", None)]) == Named(("0300",), ())


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
    assert changed_people([Entry(kind, 5, "0300", None)]) == Named((), ())


def test_a_person_without_cio_id_is_named_by_id() -> None:
    """Some entries lack the identifiers."""
    entries = [
        Entry("attribute_change", 5, None, "ada"),
        Entry("attribute_change", 5, "", ""),
        Entry("x", 5, None, None),
    ]
    assert changed_people(entries) == Named((), ("ada",))


def test_who_was_deleted_is_not_asked_for() -> None:
    """The list of people tells that; who came back after it is asked for."""
    gone = [Entry("attribute_change", 5, "1", None), Entry("profile_delete", 6, "1", None)]
    back = [Entry("profile_delete", 6, "2", None), Entry("profile_create", 7, "2", None)]
    assert changed_people([*gone, *back]) == Named(("2",), ())


def test_each_is_named_once() -> None:
    """However much of them changed."""
    assert changed_people([Entry("attribute_change", at, "1", None) for at in range(9)]) == Named(("1",), ())
