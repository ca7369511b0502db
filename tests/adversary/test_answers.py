"""Answers of odd make: read when they can be read, and never taken for less than they hold."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from pathlib import Path
from typing import Any

import pytest

from cio_replicate.pipeline.report import Status
from cio_replicate.source.client import RetryPolicy, names_seconds, retry_after
from tests.adversary.standin import Asked, Reply, StandIn
from tests.adversary.syncing import TOKEN, ask, of, sync

CAMPAIGNS = [{"id": number, "name": f"campaign {number}"} for number in range(5)]
BODY = json.dumps({"campaigns": CAMPAIGNS}).encode()


@pytest.mark.parametrize("last", [None, "", " ", 0, "missing"])
def test_a_next_that_leads_nowhere_ends_the_list(last: Any, tmp_path: Path) -> None:
    """Nothing, blank, null and the number zero in `next` are all the end of a list."""
    answer = {"campaigns": CAMPAIGNS} | ({} if last == "missing" else {"next": last})
    with StandIn({"/v1/campaigns": answer}) as api:
        assert sync(api.url, tmp_path, "campaigns").status is Status.COMPLETE
        assert len(api.asked) == 1


@pytest.mark.parametrize("tokens", [[2, 4], ["a+b/c==", "ü%20&x=1"], ["#?;,\u4e2d", "'\"<>"], [" lead", "trail "]])
def test_page_tokens_travel_unchanged(tokens: list[Any], tmp_path: Path) -> None:
    """Numbers, and signs that mean something in addresses, come back to the API as it sent them."""

    def answer(asked: Asked) -> Any:
        place = [None, *map(str, tokens)].index(asked.query.get("start"))
        return {"newsletters": [{"id": place}], "next": [*tokens, None][place]}

    with StandIn({"/v1/newsletters": answer}) as api:
        assert of(sync(api.url, tmp_path, "newsletters"), "newsletters").inserted == 3


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b"\xef\xbb\xbf" + BODY),
        Reply(BODY + b"\r\n\r\n"),
        Reply(gzip.compress(BODY), headers={"Content-Encoding": "gzip"}),
        Reply(zlib.compress(BODY), headers={"Content-Encoding": "deflate"}),
        Reply(b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY), headers={"Transfer-Encoding": "chunked"}),
        Reply(BODY, close=True),
    ],
)
def test_bodies_that_can_be_read_are_read(reply: Reply, tmp_path: Path) -> None:
    """A byte order mark, packed bodies, chunks and closed connections are no reason to fail."""
    with StandIn({"/v1/campaigns": reply}) as api:
        assert of(sync(api.url, tmp_path, "campaigns"), "campaigns").inserted == 5


@pytest.mark.parametrize(
    "reply",
    [
        Reply(BODY + b"<!-- -->"),
        Reply(BODY.decode().encode("utf-16")),
        Reply(gzip.compress(BODY)),
        Reply(BODY, headers={"Content-Encoding": "gzip"}),
        Reply(b"%x\r\n%s\r\n" % (len(BODY), BODY), headers={"Transfer-Encoding": "chunked"}, close=True),
        Reply(BODY, cut=1),
        Reply(b""),
        Reply(b"", status=204),
        Reply(b"null"),
        Reply(b"[]"),
        Reply(BODY.replace(b"campaigns", b"Campaigns")),
        Reply(BODY.replace(b"[", b"{").replace(b"]", b"}")),
        Reply(b"", status=302, headers={"Location": "http://[bad:::/"}),
    ],
)
def test_bodies_that_cannot_be_read_are_no_empty_list(reply: Reply, tmp_path: Path) -> None:
    """Once they may be a passing fault; when they stay, the table fails and nothing is marked as deleted."""
    passing = "Location" not in reply.headers
    with StandIn({"/v1/campaigns": {"campaigns": CAMPAIGNS}}) as api:
        sync(api.url, tmp_path, "campaigns")
        first = len(api.of("/v1/campaigns"))
        api.answers["/v1/campaigns"] = lambda asked: reply if asked.number <= first + 2 else {"campaigns": CAMPAIGNS}
        again = sync(api.url, tmp_path, "campaigns")
        assert again.status is (Status.COMPLETE if passing else Status.FAILED)
        api.answers["/v1/campaigns"] = reply
        report = of(sync(api.url, tmp_path, "campaigns"), "campaigns")
        assert (report.status, report.deleted) == (Status.FAILED, 0)
        assert ask(tmp_path, "SELECT count(*) FROM campaigns WHERE _cio_deleted_at IS NULL") == [(5,)]


def test_a_first_answer_that_is_cut_off_is_an_answer(tmp_path: Path) -> None:
    """Whoever sends half of an answer is there: it is asked again as often as anybody else."""

    def answer(asked: Asked) -> Any:
        return Reply(BODY, cut=9) if asked.number <= 6 else {"campaigns": CAMPAIGNS}

    with StandIn({"/v1/campaigns": answer}) as api:
        assert sync(api.url, tmp_path, "campaigns").status is Status.COMPLETE


@pytest.mark.parametrize(
    "header", ["0", "-5", "0.2", "nan", "rubbish", "", "Mon, 01 Jan 2024 00:00:00 GMT", "Mon, 01 Jan 2024 " + "9" * 20]
)
def test_any_retry_after_is_survived(header: str, tmp_path: Path) -> None:
    """What cannot be a time to wait is none, and none of it stops the run."""

    def answer(asked: Asked) -> Any:
        return Reply(b"", 503, {"Retry-After": header}) if asked.number == 1 else {"campaigns": CAMPAIGNS}

    with StandIn({"/v1/campaigns": answer}) as api:
        assert sync(api.url, tmp_path, "campaigns").status is Status.COMPLETE


def test_a_wait_too_long_for_one_table_holds_up_no_other(tmp_path: Path) -> None:
    """An API that asks one table to wait for a day gets no answer to it, and the others go on."""
    answers = {"/v1/campaigns": Reply(b"", 429, {"Retry-After": "86400"}), "/v1/segments": {"segments": [{"id": 1}]}}
    with StandIn(answers) as api:
        report = sync(api.url, tmp_path, "campaigns", "segments")
        assert of(report, "campaigns").status is Status.FAILED
        assert of(report, "segments").status is Status.COMPLETE
        assert report.seconds < 60  # of a day, on a machine however busy


def test_a_server_that_asks_for_little_again_and_again_gets_more() -> None:
    """A storm of 429 that each ask for no time at all is not met with all attempts at once."""
    policy, rng = RetryPolicy(), random.Random(1)  # noqa: S311 - spreads waits
    assert sum(policy.wait(attempt, 0.0, rng) for attempt in range(1, policy.attempts)) > 30
    assert policy.wait(1, 20.0, rng) >= 20


def test_a_date_beyond_every_calendar_is_no_time_to_wait() -> None:
    """A Retry-After that no clock can hold is taken for none."""
    assert retry_after("Mon, 01 Jan " + "9" * 20 + " 00:00:00 GMT", 0.0) is None


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("rate limited to 10 requests per 1s (reference a1)", True),
        ("rate limited to 10 requests per second", True),
        ("rate limited to 100 requests per 1d", False),
        ("100 requests per 86400 s", False),
        ("too many requests per subscription", False),
        ("", False),
    ],
)
def test_a_limit_per_second_is_no_daily_quota(text: str, short: bool) -> None:  # noqa: FBT001 - a table of cases
    """Without a Retry-After, the text of a 429 tells how long it lasts."""
    assert names_seconds(text) is short


def _echo(start: str, status: int) -> Any:
    def answer(asked: Asked) -> Reply:
        token = asked.headers["Authorization"].removeprefix("Bearer ")
        errors = {"errors": [{"detail": start + token}], token: 1}
        return Reply(json.dumps(errors).encode(), status, {"Location": f"http://other/?{token}", "X-Token": token})

    return answer


@pytest.mark.parametrize(
    ("status", "start"), [(200, ""), (302, ""), (400, ""), (400, "x" * 185), (403, "x" * 185), (429, "")]
)
def test_an_echoed_token_is_written_nowhere(start: str, status: int, tmp_path: Path) -> None:
    """Whatever part of an answer holds the token, whole or at the edge of what is shown, no report and no file does."""
    gentle = RetryPolicy(attempts=2, attempts_without_header=1, attempts_on_shape=1, first_wait=0.001)
    with StandIn({"/v1/campaigns": _echo(start, status)}) as api:
        try:
            said = sync(api.url, tmp_path, "campaigns", "segments", policy=gentle).to_json()
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not say it
            said = repr(error) + str(error)
    assert TOKEN[:8] not in said
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or TOKEN[:8].encode() not in file.read_bytes(), file


def test_an_answer_of_another_shape_is_named_in_few_words(tmp_path: Path) -> None:
    """An answer with thousands of fields does not fill the screen."""
    with StandIn({"/v1/campaigns": {f"field {number}": 1 for number in range(10_000)}}) as api:
        report = of(sync(api.url, tmp_path, "campaigns"), "campaigns")
        assert "lacks 'campaigns'" in str(report.error)
        assert len(str(report.error)) < 600
