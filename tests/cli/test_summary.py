"""The end of a run in words."""

from __future__ import annotations

from cio_replicate.cli.run_display import remarks, sentence
from cio_replicate.pipeline.report import BudgetReport, Report, Status, TableReport, Verification, VerificationStatus


def _report(budget: BudgetReport | None) -> Report:
    tables = [TableReport(name="messages", status=Status.COMPLETE, read=20, inserted=20)]
    return Report(
        run_id="r",
        status=Status.COMPLETE,
        started="",
        seconds=9.0,
        requests=70,
        throttled=2,
        tables=tables,
        budget=budget,
    )


def test_the_sentence_tells_how_much_of_the_budget_was_used() -> None:
    """Requests, refusals and the share of the budget stand together at the end."""
    budget = BudgetReport(allowed=10.0, achieved=9.7, used=0.968)
    assert sentence(_report(budget)).endswith("with 70 requests (2 answered 429), 97% of the budget.")
    assert sentence(_report(None)).endswith("with 70 requests (2 answered 429).")


def test_what_429_cost_is_told_when_it_was_worth_it() -> None:
    """Time lost to refusals is a line of its own, unless it is next to nothing."""
    much = BudgetReport(allowed=10.0, achieved=5.5, used=0.55, lost_seconds=42.3, lost=0.431)
    little = BudgetReport(allowed=10.0, achieved=9.7, used=0.97, lost_seconds=0.1, lost=0.001)
    assert list(remarks(_report(much))) == [
        "Others use the API's limit too: backing off after 429 took 42 s, 43% of the reading."
    ]
    assert list(remarks(_report(little))) == list(remarks(_report(None))) == []


def test_why_a_table_is_unproved_is_told() -> None:
    """Of a table that is complete; of one that is not, its error tells more."""
    report = _report(None)
    report.tables[0].proof = Verification(verdict=VerificationStatus.UNPROVED, why="Not enough is known.")
    assert list(remarks(report)) == ["messages: Not enough is known."]
    report.tables[0].status, report.tables[0].error = Status.FAILED, "It failed."
    assert list(remarks(report)) == ["messages: It failed."]
