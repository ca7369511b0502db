"""Who gets in, how often, and in which encoding."""

from __future__ import annotations

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from customerio_simulator import Simulator
from customerio_simulator.gate import SlidingWindow
from customerio_simulator.server import SimulatorBugError
from tests.simulator.conftest import TOKEN, Simulate, client_of

UNAUTHORIZED = {"errors": [{"detail": "unauthorized", "status": "401"}]}


@pytest.mark.parametrize(
    "header", [b"", b"Bearer", b"Bearer wrong", b"Basic %s" % TOKEN.encode(), TOKEN.encode(), "Bearer ключ".encode()]
)
def test_only_the_bearer_token_opens(sim: Simulator, header: bytes) -> None:
    """Anything but the token answers 401 with the documented body."""
    answer = httpx2.get(f"{sim.url}/v1/campaigns", headers=[(b"authorization", header)])
    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)


def test_the_wrong_region_lets_nobody_in(simulate: Simulate) -> None:
    """A good key answers 401 everywhere in the other region (live)."""
    _, client = simulate(wrong_region=True)
    assert [client.get(path).status_code for path in ("/v1/campaigns", "/v1/workspaces")] == [401, 401]


def test_a_denied_table_is_forbidden_and_others_are_not(simulate: Simulate) -> None:
    """A key without a scope gets 403 on each endpoint of the table, and reads the rest."""
    _, client = simulate(denied=["customers", "messages"])
    assert client.post("/v1/customers", json={}).status_code == 403
    assert client.get("/v1/messages").status_code == 403
    assert client.get("/v1/campaigns").status_code == 200


def test_unknown_paths_and_methods_are_refused(client: httpx2.Client) -> None:
    """A path that is not served answers 404, a method that it does not take 405, in the API's error shape."""
    answers = [client.get("/v1/nothing"), client.delete("/v1/campaigns"), client.get("/v1/customers")]
    assert [answer.status_code for answer in answers] == [404, 405, 405]
    assert [answer.json()["errors"][0]["status"] for answer in answers] == ["404", "405", "405"]


def test_never_more_than_the_rate_passes_in_any_second(simulate: Simulate) -> None:
    """A crowd that asks as fast as it can gets 10 answers a second, and 429 with Retry-After for the rest."""
    sim, client = simulate(rps=10)
    with ThreadPoolExecutor(4) as crowd:
        answers = list(crowd.map(lambda _: client.get("/v1/subscription_topics"), range(120)))
    summary = sim.log.summary()
    assert {answer.status_code for answer in answers} == {200, 429}
    assert summary["max_passed_in_any_second"] == 10
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["errors"][0]["detail"].startswith("rate limited to 10 requests per 1s")


def beside(window: SlidingWindow, rate: float, burst: int = 1, *, ours: int, seconds: range) -> tuple[list[bool], int]:
    """Which of so many requests of ours a second pass a limit of ten beside others' traffic, and how many of theirs."""
    passed, theirs = [], 0
    for number in range(seconds.start * ours, seconds.stop * ours):
        now = number / ours + 0.001
        theirs += window.let_others(now, 10, rate=rate, burst=burst)[0]
        passed.append(window.passes(now, 10))
    return passed, theirs


@pytest.mark.parametrize(("rate", "ours"), [(0.0, 9), (2.5, 6), (5.0, 4), (8.0, 1)])
def test_who_stays_below_what_others_leave_is_let_in(rate: float, ours: int) -> None:
    """Together below the limit, everybody passes."""
    passed, theirs = beside(SlidingWindow(), rate, ours=ours, seconds=range(100, 200))
    assert all(passed)
    assert theirs == pytest.approx(rate * 100, abs=rate * 3)


@pytest.mark.parametrize("rate", [3.0, 6.0, 25.0])
def test_others_make_a_caller_below_the_limit_meet_refusals(rate: float) -> None:
    """Nine a second do not fit beside what comes from elsewhere; both together use the limit up, and no more."""
    passed, theirs = beside(SlidingWindow(), rate, ours=9, seconds=range(100, 200))
    assert not all(passed)
    assert sum(passed) + theirs == pytest.approx(1_000, abs=60)


def test_a_burst_of_others_shuts_us_out_for_a_second() -> None:
    """Ten at once every five seconds leave no room in the second that they begin, and all of it afterwards."""
    window = SlidingWindow()
    window.let_others(100.0, 10, rate=0.0)
    passed = []
    for now in (103.0, 105.1, 105.5, 105.95, 106.05, 109.0):
        window.let_others(now, 10, rate=2.0, burst=10)
        passed.append(window.passes(now, 10))
    assert passed == [True, False, False, False, True, True]


def test_others_may_come_and_go_while_it_runs() -> None:
    """A rate that is raised, lowered or set to none holds from then on, and a pause piles nothing up."""
    window = SlidingWindow()
    assert all(beside(window, 0.0, ours=9, seconds=range(100, 110))[0])
    assert not all(beside(window, 8.0, ours=9, seconds=range(110, 120))[0])
    assert all(beside(window, 0.5, ours=9, seconds=range(900, 910))[0])
    assert all(beside(window, 0.0, ours=9, seconds=range(910, 920))[0])


def test_a_caller_below_the_limit_meets_429_beside_others(simulate: Simulate) -> None:
    """With the whole limit used by others our first request is refused, and the log tells of theirs."""
    sim, client = simulate(rps=10, others_rps=200.0)
    assert client.get("/v1/campaigns").status_code == 429
    others = client.get("/_simulator/requests").json()["others"]
    assert others["refused"] > others["passed"] > 0
    sim.behaviour.others_rps = 0.0
    sim.behaviour.rps = 1_000
    assert client.get("/v1/campaigns").status_code == 200


def test_the_429_can_lack_its_header(simulate: Simulate) -> None:
    """By option the refusal does not say how long to wait."""
    _, client = simulate(rps=0, retry_after=None)
    answer = client.get("/v1/campaigns")
    assert answer.status_code == 429
    assert "retry-after" not in answer.headers


def test_answers_are_compressed_for_those_who_accept_it(client: httpx2.Client) -> None:
    """Gzip comes when the client accepts it, never otherwise, and says the same."""
    with client.stream("GET", "/v1/messages", headers={"accept-encoding": "gzip"}) as answer:
        packed = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == "gzip"
    plain = client.get("/v1/messages", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(packed) == plain.content


def test_latency_delays_every_answer(simulate: Simulate) -> None:
    """No answer comes sooner than the latency."""
    _, client = simulate(latency=0.05)
    assert client.get("/v1/campaigns").elapsed.total_seconds() >= 0.05


def test_a_mistake_of_the_simulator_does_not_stay_hidden() -> None:
    """A record that the simulator cannot read answers 500 and is raised when the simulator is left."""
    sim = Simulator(token=TOKEN).start()
    sim.workspace.ledger("sender_identities").replace(0, b"no json")
    with client_of(sim) as client:
        assert client.get("/v1/sender_identities").status_code == 500
    with pytest.raises(SimulatorBugError):
        sim.__exit__(None, None, None)


def test_stopping_leaves_nothing_behind(simulate: Simulate) -> None:
    """After the stop no thread is left, the port is closed, and the simulator can be started again."""
    before = set(threading.enumerate())
    sim, client = simulate()
    assert client.get("/v1/campaigns").status_code == 200
    address = sim.url
    sim.stop()
    assert set(threading.enumerate()) == before
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(address)
    sim.start()
    with client_of(sim) as again:
        assert again.get("/v1/campaigns").status_code == 200


def test_requests_are_remembered(simulate: Simulate) -> None:
    """Each request is logged with its target, operation and status, in order of arrival."""
    sim, client = simulate()
    client.get("/v1/messages", params={"limit": 3})
    client.get("/v1/campaigns/99")
    first, second = sim.requests
    assert (first.method, first.target, first.operation, first.status) == (
        "GET",
        "/v1/messages?limit=3",
        "listMessages",
        200,
    )
    assert (second.operation, second.status) == ("getCampaigns", 404)
    assert first.at < second.at
