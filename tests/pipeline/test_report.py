"""The report of a run, as it is kept."""

from __future__ import annotations

from cio_replicate.base.errors import EndpointNotFoundError
from cio_replicate.pipeline.report import Report, budget_report, read_report, recorded
from cio_replicate.source.rate_limiter import RateUsage


def test_a_report_survives_being_written() -> None:
    """What is written is what is read."""
    account = RateUsage(10.0, 0.1)
    account.took(0.0, 0.0, 0.0)
    account.took(1.1, 0.0, 1.0)
    report = Report(run_id="r", started="2026-01-01T00:00:00Z", budget=budget_report(account))
    assert read_report(report.to_json()) == report
    assert report.budget is not None
    assert (report.budget.lost_seconds, report.budget.used) == (0.9, 0.167)


def test_a_report_of_an_earlier_version_can_be_read() -> None:
    """A report without a budget is one in which nothing is known of it."""
    assert read_report('{"run_id": "r", "started": ""}').budget is None


def test_a_run_that_asked_nothing_has_no_budget_to_tell_of() -> None:
    """There is no rate where there was no request."""
    assert budget_report(RateUsage(10.0, 0.1)) is None


def test_an_error_is_recorded_with_the_options_of_its_settings() -> None:
    """Errors name settings; what a report and a copy hold of them is read where only options are known."""
    error = EndpointNotFoundError("No such list.", "Leave it out with ‹exclude›, or read it by ‹full_refresh›.")
    assert error.field == "exclude"
    assert recorded(error) == "No such list. Leave it out with --exclude, or read it by --full-refresh."
