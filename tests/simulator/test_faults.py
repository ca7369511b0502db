"""Every kind of fault does on the wire what it says."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from customerio_simulator import Fault, Faults, Simulator, WorkspaceSpec
from customerio_simulator.faults import KINDS, Asked
from tests.simulator.conftest import TOKEN, Simulate, client_of
from tests.simulator.walking import EVERYBODY, flat, read_table, walk

MESSAGES = "/v1/messages?limit=1000"
PAGES = "/v1/newsletters?limit=10"


Meeting = Callable[..., httpx2.Client]


@pytest.fixture(scope="module")
def meeting() -> Iterator[Meeting]:
    """Makes every request from now on meet one fault; the client belongs to a simulator that all tests share."""
    with Simulator(token=TOKEN) as sim, client_of(sim) as client:

        def meet(kind: Any, **params: Any) -> httpx2.Client:
            sim.faults = Faults.script(Fault(kind=kind, times=None, params=params))
            return client

        yield meet


def raw_answer(client: httpx2.Client, path: str) -> bytes:
    """Every byte that comes back before the connection ends, which it does even after a good answer."""
    lines = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=5) as connection:
        connection.sendall(lines.encode())
        received = b""
        while block := connection.recv(65_536):
            received += block
    return received


@pytest.mark.parametrize("status", [500, 502, 503, 408, 404, 400, 401, 403])
def test_a_status_comes_with_the_body_asked_for(meeting: Meeting, status: int) -> None:
    """An error status has the API's JSON, an HTML page or nothing for a body."""
    assert meeting("status", status=status).get(PAGES).json()["errors"][0]["status"] == str(status)
    html = meeting("status", status=status, body="html").get(PAGES)
    assert (html.status_code, html.text[:9], html.headers["content-type"]) == (status, "<!DOCTYPE", "text/html")
    assert meeting("status", status=status, body="empty", retry_after=7).get(PAGES).content == b""


@pytest.mark.parametrize(("seconds", "header"), [(3, "3"), (None, None)])
def test_a_429_says_how_long_to_wait_or_does_not(meeting: Meeting, seconds: int | None, header: str | None) -> None:
    """Retry-After has the seconds given, or is left out."""
    answer = meeting("rate_limited", retry_after=seconds).get(PAGES)
    assert (answer.status_code, answer.headers.get("retry-after")) == (429, header)


def test_a_daily_quota_stays_used_up_for_its_endpoint(simulate: Simulate) -> None:
    """Once struck, the endpoint answers 429 without a header for good; others go on."""
    _, client = simulate(faults=Faults.script(Fault(kind="daily_quota", table="newsletters", nth=2)))
    answers = [client.get(PAGES) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 429, 429, 429, 429]
    assert "daily quota" in answers[4].json()["errors"][0]["detail"]
    assert "retry-after" not in answers[4].headers
    assert client.get("/v1/campaigns").status_code == 200


def test_a_reset_comes_before_any_byte(meeting: Meeting) -> None:
    """The connection is reset, not closed, and nothing was received."""
    client = meeting("reset")
    with pytest.raises(ConnectionResetError):
        raw_answer(client, PAGES)
    with pytest.raises(httpx2.ReadError):
        client.get(PAGES)


def test_a_reset_in_mid_body_comes_after_the_headers(meeting: Meeting) -> None:
    """A good status and a full Content-Length, then the connection breaks before the body is complete."""
    client = meeting("reset_mid_body")
    with client.stream("GET", MESSAGES) as answer:
        assert answer.status_code == 200
        assert int(answer.headers["content-length"]) > 0
        with pytest.raises((httpx2.ReadError, httpx2.RemoteProtocolError)):
            answer.read()


def test_a_truncated_body_is_shorter_than_promised(meeting: Meeting) -> None:
    """The connection is closed in order, with half of Content-Length sent."""
    client = meeting("truncated_body")
    head, _, body = raw_answer(client, MESSAGES).partition(b"\r\n\r\n")
    promised = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    assert len(body) == promised // 2
    with pytest.raises(httpx2.RemoteProtocolError):
        client.get(MESSAGES)


def test_a_truncated_gzip_ends_cleanly_but_cannot_be_unpacked(meeting: Meeting) -> None:
    """HTTP is satisfied, the compressed stream is not."""
    client = meeting("truncated_gzip")
    with client.stream("GET", MESSAGES, headers={"accept-encoding": "gzip"}) as answer:
        packed = b"".join(answer.iter_raw())
        assert len(packed) == int(answer.headers["content-length"])
    with pytest.raises(EOFError):
        gzip.decompress(packed)


def test_cut_json_is_whole_http_and_half_json(meeting: Meeting) -> None:
    """The body arrives in full and decodes, and stops in the middle of the JSON."""
    answer = meeting("cut_json").get(MESSAGES)
    assert answer.status_code == 200
    assert answer.text.startswith('{"messages":[{"id":"')
    with pytest.raises(json.JSONDecodeError):
        answer.json()


@pytest.mark.parametrize("headers_sent", [False, True])
def test_a_stall_is_silence_then_the_end(meeting: Meeting, headers_sent: bool) -> None:  # noqa: FBT001
    """Nothing, or the headers only, until the connection closes; a client with a shorter patience times out first."""
    client = meeting("stall", seconds=0.2, headers_sent=headers_sent)
    received = raw_answer(client, PAGES)
    assert received.startswith(b"HTTP/1.1 200 OK") is headers_sent
    assert received.partition(b"\r\n\r\n")[2] == b""
    with pytest.raises(httpx2.ReadTimeout):
        client.get(PAGES, timeout=0.05)


def test_a_stalled_answer_does_not_hold_up_the_end(simulate: Simulate) -> None:
    """The simulator stops at once although an answer would be silent for an hour."""
    sim, client = simulate(faults=Faults.script(Fault(kind="stall", params={"seconds": 3600})))
    with pytest.raises(httpx2.ReadTimeout):
        client.get(PAGES, timeout=0.05)
    sim.stop()


def test_a_slow_answer_is_right(meeting: Meeting) -> None:
    """After the seconds given the honest answer comes."""
    answer = meeting("slow", seconds=0.1).get(PAGES)
    assert answer.elapsed.total_seconds() >= 0.1
    assert len(answer.json()["newsletters"]) == 10


@pytest.mark.parametrize("body", ["html", "binary"])
def test_garbage_has_status_200(meeting: Meeting, body: str) -> None:
    """An HTML page or bytes that are no text come as if all were well."""
    answer = meeting("garbage", body=body).get(PAGES)
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"."):
        json.loads(answer.content)


def test_an_expired_cursor_was_good_before(meeting: Meeting) -> None:
    """First pages pass, a token that the API gave answers 400."""
    client = meeting("expired_cursor")
    token = client.get(PAGES).json()["next"]
    assert client.get(PAGES, params={"start": token}).status_code == 400


def test_a_repeated_cursor_is_the_one_just_used(meeting: Meeting) -> None:
    """From the second page on, `next` is the token that asked for it."""
    client = meeting("repeated_cursor")
    token = client.get("/v1/newsletters", params={"limit": 10}).json()["next"]
    again = client.get("/v1/newsletters", params={"limit": 10, "start": token}).json()
    assert token != ""
    assert again["next"] == token


def test_a_cursor_cycle_goes_back_and_forth(meeting: Meeting) -> None:
    """`next` alternates between two tokens for ever, with records on every page."""
    client = meeting("cursor_cycle")
    page, tokens = client.get(PAGES).json(), []
    for _ in range(6):
        tokens.append(page["next"])
        page = client.get("/v1/newsletters", params={"limit": 10, "start": page["next"]}).json()
        assert page["newsletters"]
    assert tokens == tokens[:2] * 3
    assert tokens[0] != tokens[1]


def test_an_endless_list_gives_ever_new_tokens(meeting: Meeting) -> None:
    """Empty pages, each with a token never seen before."""
    client = meeting("endless_cursor")
    page, tokens = client.get(PAGES).json(), []
    for _ in range(20):
        assert page["newsletters"] == []
        tokens.append(page["next"])
        page = client.get("/v1/newsletters", params={"limit": 10, "start": page["next"]}).json()
    assert len(set(tokens)) == 20


@pytest.mark.parametrize("nth", [1, 3])
def test_after_an_empty_page_the_list_goes_on(simulate: Simulate, nth: int) -> None:
    """An empty page in the beginning or the middle loses nothing, if its `next` is followed."""
    sim, client = simulate(faults=Faults.script(Fault(kind="empty_page", nth=nth)))
    pages = walk(client, "newsletters", "newsletters", limit=20)
    assert [len(page) for page in pages].index(0) == nth - 1
    assert sorted(flat(pages)) == sorted(sim.workspace.truth("newsletters"))


def test_lists_can_be_null_missing_or_of_another_type(meeting: Meeting) -> None:
    """The data key holds null, is not there, or holds something that is no list."""
    assert meeting("null_list").get(PAGES).json()["newsletters"] is None
    assert "newsletters" not in meeting("missing_key").get(PAGES).json()
    assert meeting("wrong_type").get(PAGES).json()["newsletters"] == "unexpected"
    assert meeting("wrong_type", value={"a": 1}).get("/v1/campaigns").json() == {"campaigns": {"a": 1}}
    assert meeting("null_list", only_empty=True).get(PAGES).json()["newsletters"]


def test_the_last_page_can_end_in_three_ways(meeting: Meeting) -> None:
    """The `next` after the last record is "", null or absent; before it nothing changes."""
    path = "/v1/newsletters?limit=100"
    for form, last in (("null", {"next": None}), ("absent", {}), ("empty", {"next": ""})):
        client = meeting("next_form", form=form)
        token = client.get(path).json()["next"]
        page = client.get("/v1/newsletters", params={"limit": 100, "start": token}).json()
        assert {name: value for name, value in page.items() if name != "newsletters"} == last


def test_drift_starts_at_the_page_given_and_stays(simulate: Simulate) -> None:
    """Unknown fields appear from that page on, beside everything that was there."""
    fault = Fault(kind="drift", nth=2, times=None)
    sim, client = simulate(faults=Faults.script(fault))
    first, *others = walk(client, "newsletters", "newsletters", limit=40)
    truth = {record["id"]: record for record in map(json.loads, sim.workspace.truth("newsletters"))}
    assert all("new_text" not in json.loads(record) for record in first)
    for record in map(json.loads, flat(others)):
        assert {"new_text", "newInteger", "select", 'quo"ted', "naïve_☕", "ID"} <= record.keys()
        assert truth[record["id"]].items() <= record.items()


def test_types_drift(meeting: Meeting) -> None:
    """Integers come as text, times as ISO text or floats, objects as text, scalars in arrays; keys stay."""
    drifted = meeting("drift", what="types").get("/v1/messages").json()["messages"]
    assert {type(one["id"]) for one in drifted} == {str}
    assert {type(one["created"]) for one in drifted} <= {str, float}
    assert {type(one["metrics"]) for one in drifted} == {str}
    assert {type(one["forgotten"]) for one in drifted} == {list}
    both = meeting("drift", what="both").get("/v1/messages").json()["messages"]
    assert all("new_text" in one and isinstance(one["metrics"], str) for one in both)


def test_duplicates_repeat_the_last_row_on_the_next_page(simulate: Simulate) -> None:
    """Each page begins with the row that ended the one before, and nothing is lost."""
    sim, client = simulate(faults=Faults.script(Fault(kind="duplicates", times=None)))
    pages = walk(client, "newsletters", "newsletters", limit=20)
    assert [page[0] for page in pages[1:]] == [page[-1] for page in pages[:-1]]
    assert set(flat(pages)) == set(sim.workspace.truth("newsletters"))


def test_attributes_can_lack_people_or_come_in_another_order(simulate: Simulate, meeting: Meeting) -> None:
    """Every second person left out, or all of them backwards."""
    _, honest = simulate()
    ids = [one["cio_id"] for one in honest.post("/v1/customers", json=EVERYBODY).json()["identifiers"]]

    def order(client: httpx2.Client) -> list[str]:
        answer = client.post("/v1/customers/attributes?id_type=cio_id", json={"ids": ids}).json()
        return [one["attributes"]["cio_id"] for one in answer["customers"]]

    assert order(meeting("missing_ids")) == ids[::2]
    assert order(meeting("reordered")) == ids[::-1]


def test_a_rule_strikes_where_when_and_as_often_as_it_says(simulate: Simulate) -> None:
    """Table, operation, path, nth and times decide which requests meet the fault."""
    rule = Fault(kind="status", table="campaigns", operation="getCampaigns", path="/v1/campaigns/3", nth=2, times=2)
    sim, client = simulate(faults=Faults.script(rule))
    assert [client.get("/v1/campaigns/3").status_code for _ in range(5)] == [200, 500, 500, 200, 200]
    assert [client.get(path).status_code for path in ("/v1/campaigns", "/v1/campaigns/2")] == [200, 200]
    assert sim.faults.struck == {"status": 2}


def test_an_unknown_kind_is_refused() -> None:
    """A misspelt fault is an error where it is written."""
    with pytest.raises(ValueError, match="unknown fault kind"):
        Fault(kind="gremlins")  # type: ignore[arg-type]


def test_faults_are_written_in_one_line() -> None:
    """A command line names a preset with its seed, or holds the rules as JSON; a mistake is a ValueError."""
    assert Faults.parse("everything:7").rules == Faults.everything(7).rules
    assert Faults.parse("drift").rules[-1].kind == "drift"
    assert Faults.parse('[{"kind": "reset", "nth": 3}]').rules == (Fault(kind="reset", nth=3),)
    for wrong in ("all", "everything:x", '[{"kind": "gremlins"}]'):
        with pytest.raises(ValueError, match=r"."):
            Faults.parse(wrong)


def test_chance_is_decided_by_the_seed() -> None:
    """The same seed strikes the same requests, at about the probability given."""

    def struck(seed: int) -> list[bool]:
        faults = Faults((Fault(kind="status", probability=0.25, times=None),), seed=seed)
        asked = Asked("campaigns", "listCampaigns", "GET", "/v1/campaigns", has_cursor=False)
        return [faults.choose(asked) is not None for _ in range(2_000)]

    assert struck(1) == struck(1) != struck(2)
    assert 400 < sum(struck(1)) < 600


def test_everything_never_fails_the_same_request_three_times(simulate: Simulate) -> None:
    """Under all recoverable faults at once, three attempts at each request end with the full truth."""
    spec = WorkspaceSpec(people=150, messages=1_500, activities=600)
    sim, client = simulate(spec, faults=Faults.everything(7, rate=0.03))
    patient = _Patient(client)
    for table in sim.workspace.table_names:
        read = read_table(patient, table)  # type: ignore[arg-type]
        truth = set(sim.workspace.truth(table))
        if table == "customers":  # answers in another order: the records are right, the reader's pairing is not
            read, truth = [_unled(record) for record in read], {_unled(record) for record in truth}
        assert set(read) == truth, table
    assert patient.most_attempts == 3
    assert len(sim.faults.struck) > 8


def _unled(record: bytes) -> bytes:
    """A person's record without the leading cio_id."""
    return record.partition(b",")[2]


class _Patient:
    """A client with three attempts at every request."""

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client
        self.most_attempts = 0

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return self._ask("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx2.Response:
        return self._ask("POST", path, **options)

    def _ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        for attempt in range(1, 4):
            self.most_attempts = max(self.most_attempts, attempt)
            try:
                answer = self._client.request(method, path, **options)
                answer.json()
            except (httpx2.HTTPError, ValueError):
                continue
            if answer.status_code == 200:
                return answer
        raise AssertionError(f"{method} {path} failed three times")


def test_every_kind_is_tested_here() -> None:
    """No kind of fault goes without its test: each name stands in this file."""
    text = Path(__file__).read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f'"{kind}"' not in text] == []
