"""The verdict on a table: one test per verdict and reason."""

from __future__ import annotations

import pytest

from cio_replicate.pipeline.report import Verification, VerificationStatus
from cio_replicate.pipeline.verification import SourceCount, VerificationInput, judge
from cio_replicate.sinks.port import Digests

TEN = Digests(10, 77)
LIST, SPACES = "the length of the list", "the list of workspaces"


def judged(
    held: Digests = TEN,
    expected: Digests | None = TEN,
    source: SourceCount | None = None,
    *,
    closed: bool = True,
    left_out: int = 0,
    counted_only: bool = False,
) -> Verification:
    """The verdict on a table that has, and must have, ten rows unless it is said otherwise."""
    return judge(VerificationInput(closed, expected, held, source, left_out, counted_only))


def test_the_sources_own_count_proves() -> None:
    """The keys that were loaded are there, and as many as the source says."""
    proof = judged(source=SourceCount(10, LIST))
    assert (proof.verdict, proof.source, proof.basis, proof.rows) == (VerificationStatus.PROVED, 10, LIST, 10)
    assert proof.digest == proof.landed == f"{77:016x}"


def test_without_a_count_a_table_is_consistent() -> None:
    """What was loaded is there; whether that is all, the API does not say."""
    proof = judged()
    assert (proof.verdict, proof.source, proof.basis) == (VerificationStatus.CONSISTENT, None, "")


@pytest.mark.parametrize(("rows", "said"), [(9, "1 row fewer"), (12, "2 rows more"), (0, "10 rows fewer")])
def test_rows_that_others_took_or_added_make_it_short(rows: int, said: str) -> None:
    """The copy has another number of rows than were loaded, whatever the source says."""
    proof = judged(Digests(rows, 5), source=SourceCount(rows, LIST))
    assert proof.verdict is VerificationStatus.SHORT
    assert said in proof.why
    assert "resync" in proof.why


def test_other_keys_make_it_short() -> None:
    """As many rows, but not those that were loaded."""
    assert judged(Digests(10, 78), source=SourceCount(10, LIST)).verdict is VerificationStatus.SHORT


def test_keys_that_were_not_read_back_are_not_compared() -> None:
    """Where they were only counted, nothing is claimed of them, and `verify` is named; a number that differs shows."""
    for source in (SourceCount(10, LIST), None):
        proof = judged(Digests(10), source=source, counted_only=True)
        assert (proof.verdict, proof.digest, "`cio-replicate verify`" in proof.why) == (
            VerificationStatus.UNPROVED,
            "",
            True,
        )
    assert judged(Digests(9), counted_only=True).verdict is VerificationStatus.SHORT
    assert judged(Digests(10), source=SourceCount(12, LIST), counted_only=True).verdict is VerificationStatus.SHORT


def test_a_table_that_was_not_read_to_its_end_is_unproved() -> None:
    """That the source has more is no wonder then."""
    assert judged(source=SourceCount(20, LIST), closed=False).verdict is VerificationStatus.UNPROVED


def test_what_others_have_changed_is_short_also_after_a_failed_read() -> None:
    """The rows that were loaded before must be there all the same."""
    assert judged(Digests(9, 1), closed=False).verdict is VerificationStatus.SHORT


def test_fewer_rows_than_the_source_counts_make_it_short() -> None:
    """The reason says both numbers, and what to do."""
    proof = judged(source=SourceCount(12, LIST))
    assert proof.verdict is VerificationStatus.SHORT
    assert proof.why.startswith("The length of the list says 12, the copy has 10. Run again")


def test_rows_that_may_have_gone_since_an_old_count_explain_the_difference() -> None:
    """Two fewer than the source counted, and two were deleted since."""
    assert judged(source=SourceCount(12, SPACES, may_be_gone=2, is_old=True)).verdict is VerificationStatus.CONSISTENT
    assert judged(source=SourceCount(13, SPACES, may_be_gone=2, is_old=True)).verdict is VerificationStatus.SHORT


def test_rows_that_the_api_lists_and_keeps_back_leave_it_unproved() -> None:
    """They are missing, but not lost by us; also where others have gone besides."""
    assert judged(source=SourceCount(12, SPACES, is_old=True), left_out=2).verdict is VerificationStatus.UNPROVED
    assert (
        judged(source=SourceCount(13, SPACES, may_be_gone=1, is_old=True), left_out=2).verdict
        is VerificationStatus.UNPROVED
    )
    assert judged(source=SourceCount(13, SPACES, is_old=True), left_out=2).verdict is VerificationStatus.SHORT


def test_a_count_that_is_later_than_the_read_shows_no_loss() -> None:
    """The rows that the source has more may have come since."""
    proof = judged(source=SourceCount(12, LIST, is_later=True))
    assert proof.verdict is VerificationStatus.UNPROVED
    assert "12, the copy has 10" in proof.why
    assert judged(Digests(9, 1), source=SourceCount(12, LIST, is_later=True)).verdict is VerificationStatus.SHORT


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (SourceCount(8, SPACES, is_old=True), "some came since it was counted"),
        (SourceCount(8, LIST), "rows from before the start date are kept"),
        (SourceCount(8, LIST, is_later=True), "gone at the source since it was read"),
    ],
)
def test_more_rows_than_the_source_counts_are_explained(source: SourceCount, why: str) -> None:
    """That is no loss; the reason says where they may come from."""
    proof = judged(source=source)
    assert proof.verdict is VerificationStatus.CONSISTENT
    assert "2 more: " in proof.why
    assert why in proof.why


def test_rows_that_were_not_counted_from_the_beginning_prove_nothing() -> None:
    """A copy of an earlier version does not know what was loaded."""
    assert judged(expected=None, source=SourceCount(10, LIST)).verdict is VerificationStatus.UNPROVED
    assert judged(expected=None, source=SourceCount(11, LIST)).verdict is VerificationStatus.SHORT
