"""Start date, region, token and request budget: what is taken, and what is refused with a reason."""

from __future__ import annotations

import traceback
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.config import connection_options
from tests.config.refused import refusal

NOW = datetime(2026, 10, 15, 12, tzinfo=UTC).timestamp()
DAY = int(datetime(2024, 1, 31, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-31", DAY),
        (" 2024-01-31\n", DAY),
        ("01/31/2024", DAY),
        ("1/31/2024", DAY),
        ("2024-01-31T00:00:00Z", DAY),
        ("2024-01-31T00:00:00", DAY),
        ("2024-01-31T02:00:00+02:00", DAY),
        ("2024-01-30T20:30:00-03:30", DAY),
        ("2024-01-31T10:20:30Z", DAY + 37_230),
        ("2024-01-31T00:00:00.9Z", DAY),
        ("2024-02-29", DAY + 29 * 86_400),
        ("2012-01-01", int(datetime(2012, 1, 1, tzinfo=UTC).timestamp())),
        ("2026-10-15", int(NOW) - 43_200),
    ],
)
def test_a_start_date_is_a_moment_in_utc(text: str, moment: int) -> None:
    """A date is midnight UTC, a time without an offset is UTC, and a fraction of a second rounds to the earlier one."""
    assert connection_options.start_date(text, NOW) == moment


@given(day=st.dates(date(2012, 1, 1), date(2026, 10, 14)))
def test_every_notation_means_the_same_day(day: date) -> None:
    """The three promised notations of a day are the same moment."""
    notations = (f"{day:%Y-%m-%d}", f"{day:%Y-%m-%d}T00:00:00Z", f"{day:%m/%d/%Y}")
    moments = {connection_options.start_date(text, NOW) for text in notations}
    assert moments == {int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())}


@pytest.mark.parametrize(
    "text",
    ["", " ", "yesterday", "31/01/2024", "13/13/2024", "0/1/2024", "2024-02-30", "2023-02-29", "2024-13-01", "2024",
     "2024-1-5", "1706659200", "2024-01-31T25:00:00Z", "2024-01-31T00:00:00+99:00", "\x00", "01/31/24"],
)  # fmt: skip
def test_what_is_no_date_is_refused(text: str) -> None:
    """The refusal repeats what was given and shows the three notations."""
    said = refusal(lambda: connection_options.start_date(text, NOW))
    assert repr(text) in said
    assert "2024-01-31, 2024-01-31T00:00:00Z or 01/31/2024" in said


@pytest.mark.parametrize("text", ["2026-10-16", "2026-10-15T12:00:01Z", "9999-12-31", "9999-12-31T23:59:59-23:59"])
def test_a_start_date_in_the_future_is_refused(text: str) -> None:
    """There is nothing to replicate from a day that has not come."""
    assert "lies in the future" in refusal(lambda: connection_options.start_date(text, NOW))


@pytest.mark.parametrize("text", ["2011-12-31", "0001-01-01", "0001-01-01T00:00:00+23:59", "2012-01-01T00:00:00+01:00"])
def test_a_start_date_before_the_first_year_is_refused(text: str) -> None:
    """Years that hold nothing cost requests, so they are refused and the cost is named."""
    said = refusal(lambda: connection_options.start_date(text, NOW))
    assert "before 2012-01-01" in said
    assert "costs a request" in said


@given(text=st.text(max_size=40))
def test_any_text_is_a_moment_or_a_refusal(text: str) -> None:
    """No text at all ends in another error."""
    try:
        moment = connection_options.start_date(text, NOW)
    except InvalidSettings:
        return
    assert connection_options.EARLIEST.timestamp() <= moment <= NOW


@pytest.mark.parametrize(
    ("text", "name"), [("us", "us"), ("eu", "eu"), ("auto", "auto"), ("EU", "eu"), ("Auto", "auto")]
)
def test_a_region_in_any_case(text: str, name: str) -> None:
    """Regions are known by name, whatever the case."""
    assert connection_options.region(text) == name


@pytest.mark.parametrize("text", ["", "de", "us-east-1", " us"])
def test_an_unknown_region_is_refused(text: str) -> None:
    """The refusal lists the regions there are."""
    said = refusal(lambda: connection_options.region(text))
    assert repr(text) in said
    assert "us, eu or auto" in said


@pytest.mark.parametrize("value", [None, "", "  ", "\n"])
def test_a_missing_token_is_refused_with_the_way_to_one(value: str | None) -> None:
    """The refusal names the variable and where a key is made."""
    said = refusal(lambda: connection_options.access_token(value))
    assert connection_options.TOKEN_VARIABLE in said
    assert "API credentials" in said


@pytest.mark.parametrize(
    "value",
    ["hunter2 half", "hunter2\thalf", "hunter2\nhalf", "hunter2\x00", "hunter2\x7f", "hunter2é", "\u200bhunter2",
     "Bearer hunter2", "hunter2\r\nX-Header: 1"],
)  # fmt: skip
def test_what_can_be_no_token_is_refused_without_showing_it(value: str) -> None:
    """Spaces, control characters and letters outside ASCII are refused, and no part of the value is repeated."""
    with pytest.raises(InvalidSettings) as caught:
        connection_options.access_token(value)
    shown = "".join(traceback.format_exception(caught.value, limit=0)) + repr(caught.value)
    assert "hunter2" not in shown
    assert connection_options.TOKEN_VARIABLE in refusal(lambda: connection_options.access_token(value))


def test_a_token_is_taken_without_the_space_around_it() -> None:
    """A line end that came along with a copied key does no harm, and the key does not show."""
    token = connection_options.access_token(" 0123456789abcdef\n")
    assert token.reveal() == "0123456789abcdef"
    assert "0123" not in f"{token} {token!r}"


@pytest.mark.parametrize("value", [0.01, 0.5, 10.0, 1000.0])
def test_a_budget_within_reason(value: float) -> None:
    """A simulator may be asked more often than the API allows."""
    assert connection_options.requests_per_second(value) == value


@pytest.mark.parametrize("value", [0.0, -1.0, 0.009, 1001.0, float("nan"), float("inf"), float("-inf")])
def test_a_budget_out_of_reason_is_refused(value: float) -> None:
    """The refusal repeats the value and names the range."""
    said = refusal(lambda: connection_options.requests_per_second(value))
    assert str(value) in said
    assert "from 0.01 to 10" in said


@pytest.mark.parametrize(("text", "share"), [("50%", 0.5), ("50", 0.5), (" 12.5 % ", 0.125), ("1", 0.01), ("100%", 1)])
def test_a_share_of_the_budget(text: str, share: float) -> None:
    """A share is a number of percent, with or without the sign."""
    assert connection_options.budget_share(text) == share


@pytest.mark.parametrize("text", ["", "%", "half", "0", "0.5", "-5%", "101%", "nan", "inf", "50%%", "1e9"])
def test_what_is_no_share_of_the_budget_is_refused(text: str) -> None:
    """The refusal repeats what was given and names the range."""
    said = refusal(lambda: connection_options.budget_share(text))
    assert repr(text) in said
    assert "from 1% to 100%" in said
