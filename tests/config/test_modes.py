"""How changes reach the copy: the mode of each table, and what is refused."""

from __future__ import annotations

import pytest

from cio_replicate.config.table_options import USUAL, Deletes, WriteMode, WriteOptions, treatments
from tests.config.refused import refusal

NAMES = ("customers", "segments", "activities")
LOG = ("activities",)


def test_changes_are_applied_unless_something_else_is_said() -> None:
    """Inserted, updated and marked deleted."""
    assert treatments([], [], NAMES) == dict.fromkeys(NAMES, USUAL)


def test_one_text_stands_for_all_tables_and_one_for_a_table_before_it() -> None:
    """Whatever their order, also several in one text; `*` is all tables too."""
    found = treatments(["customers=changes", "history"], ["hard, customers = soft"], NAMES)
    assert found["customers"] == WriteOptions(WriteMode.CHANGES, Deletes.SOFT)
    assert found["segments"] == WriteOptions(WriteMode.HISTORY, Deletes.HARD)
    assert treatments(["*=history"], [], NAMES)["segments"].mode is WriteMode.HISTORY


@pytest.mark.parametrize("texts", [["full"], ["*=full"], ["full", "segments=history"]])
def test_full_for_all_leaves_a_log_that_forgets_as_it_is(texts: list[str]) -> None:
    """To replace it would throw away what cannot be read again."""
    found = treatments(texts, [], NAMES, LOG)
    assert (found["customers"].mode, found["activities"].mode) == (WriteMode.FULL, WriteMode.APPLY)


def test_full_for_a_log_that_forgets_is_refused_with_the_reason() -> None:
    """Any other mode is taken."""
    said = refusal(lambda: treatments(["activities=full"], [], NAMES, LOG))
    assert "would throw away rows of activities that Customer.io no longer has" in said
    assert treatments(["full", "activities=history"], [], NAMES, LOG)["activities"].mode is WriteMode.HISTORY


@pytest.mark.parametrize(
    ("modes", "deletes", "said"),
    [
        (["fulll"], [], "Use full, apply, changes or history."),
        (["customers=soft"], [], "Unknown value 'customers=soft' for --mode."),
        ([""], [], "Unknown value '' for --mode."),
        ([], ["never"], "Use soft or hard."),
        (["custommers=full"], [], "Perhaps customers is meant."),
        ([], ["x=hard"], "The tables are: customers, segments, activities."),
        (["full", "history"], [], "two ways for all tables: full and history"),
        (["segments=full,segments=apply"], [], "two ways for segments: full and apply"),
    ],
)
def test_what_cannot_be_followed_is_refused(modes: list[str], deletes: list[str], said: str) -> None:
    """With the text that was given, and what to write instead."""
    assert said in refusal(lambda: treatments(modes, deletes, NAMES))


@pytest.mark.parametrize(
    ("treatment", "removes"),
    [
        (WriteOptions(WriteMode.FULL), True),
        (WriteOptions(WriteMode.APPLY), False),
        (WriteOptions(WriteMode.APPLY, Deletes.HARD), True),
        (WriteOptions(WriteMode.CHANGES, Deletes.HARD), True),
        (WriteOptions(WriteMode.HISTORY, Deletes.HARD), False),
    ],
)
def test_a_history_removes_nothing(treatment: WriteOptions, *, removes: bool) -> None:
    """Rows that are gone leave a table that is replaced, and one with hard deletes, but never a history."""
    assert treatment.removes is removes
