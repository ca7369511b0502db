"""The client: what it sends, how it retries, and what it makes of refusals."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable

import httpx2
import pytest

from cio_replicate.base.errors import (
    ChildGoneError,
    CioReplicateError,
    CursorRejectedError,
    DailyQuotaError,
    EndpointNotFoundError,
    GaveUpError,
    NoReadAccessError,
    PageShapeError,
    RequestRejectedError,
    UnauthorizedError,
    UnreachableError,
)
from cio_replicate.base.runtime import SystemClock
from cio_replicate.base.text import Secret
from cio_replicate.source.client import Client, RetryPolicy, find_region
from cio_replicate.source.pages import Page, Request, RequestCounter, read_page
from cio_replicate.source.rate_limiter import Permit, RateLimiter
from customerio_simulator import Simulator
from tests.manual_clock import ManualClock

TOKEN = "marked-9f2c-secret"
GET = Request("GET", "/v1/rows")
Answer = Callable[[httpx2.Request, int], httpx2.Response]


class Server:
    """Answers from a script; remembers what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        """Answer."""
        self.requests.append(request)
        return self.answer(request, len(self.requests))


def _client(server: Server, clock: ManualClock) -> Client:
    return Client(
        "https://api.example", Secret(TOKEN), RateLimiter(10.0, clock), clock, transport=httpx2.MockTransport(server)
    )


def _send(answer: Answer, request: Request = GET) -> tuple[Page, Server, ManualClock, RequestCounter]:
    server, clock, meter = Server(answer), ManualClock(), RequestCounter()

    async def scenario() -> Page:
        async with _client(server, clock) as client:
            return await client.send(request, lambda body: read_page(body, "rows"), meter)

    return asyncio.run(scenario()), server, clock, meter


def _rows(_request: httpx2.Request, _number: int) -> httpx2.Response:
    return httpx2.Response(200, json={"rows": [{"id": 1}], "next": ""})


def _always(status: int, **more: object) -> Answer:
    return lambda _request, _number: httpx2.Response(status, **more)  # type: ignore[arg-type]


def _first(*failures: httpx2.Response | Exception) -> Answer:
    def answer(request: httpx2.Request, number: int) -> httpx2.Response:
        if number > len(failures):
            return _rows(request, number)
        failure = failures[number - 1]
        if isinstance(failure, Exception):
            raise failure
        return failure

    return answer


def test_a_request_carries_key_and_encoded_parts() -> None:
    """The bearer token goes along, compression is asked for, and every part of the path is percent-encoded."""
    request = Request("GET", "/v1/a/{id}/b", {"id": "a+b@c/d%e f?"}, {"limit": "10", "start": "x=&y"})
    _, server, _, _ = _send(_rows, request)
    sent = server.requests[0]
    assert sent.headers["authorization"] == f"Bearer {TOKEN}"
    assert sent.headers["accept-encoding"] == "gzip"
    assert sent.extensions["target"] == b"/v1/a/a%2Bb%40c%2Fd%25e%20f%3F/b?limit=10&start=x%3D%26y"


@pytest.mark.parametrize(
    "failure",
    [
        httpx2.Response(408),
        httpx2.Response(429, headers={"Retry-After": "2"}),
        httpx2.Response(429),
        httpx2.Response(500),
        httpx2.Response(502, text="<html>bad gateway</html>"),
        httpx2.Response(503, json={"errors": [{"detail": "busy", "status": 503}]}),
        httpx2.Response(200, text='{"rows":[{"id":1}'),
        httpx2.Response(200, text="<html>"),
        httpx2.Response(200, json={"unexpected": 1}),
        httpx2.ConnectError("refused"),
        httpx2.ReadTimeout("too slow"),
        httpx2.RemoteProtocolError("cut"),
    ],
)
def test_passing_faults_are_tried_again(failure: httpx2.Response | Exception) -> None:
    """Each fault that another attempt may mend is followed by one, and the meter counts both."""
    page, _, _, meter = _send(_first(failure))
    assert len(page.items) == 1
    assert meter.requests == 2


def test_the_wish_to_wait_is_honoured() -> None:
    """After Retry-After nothing is sent before that time has passed."""
    _, _, clock, meter = _send(_first(httpx2.Response(429, headers={"Retry-After": "30"})))
    assert clock.time - 1_760_000_000.0 >= 30
    assert meter.throttled == 1


def test_told_when_to_come_back_it_comes_back() -> None:
    """The customer's own calls may take the whole bucket for a while; only time bounds how often 429 is met."""
    busy = [httpx2.Response(429, headers={"Retry-After": "1"}) for _ in range(12)]
    page, _, clock, meter = _send(_first(*busy))
    assert len(page.items) == 1
    assert meter.throttled == 12
    assert clock.time - 1_760_000_000.0 <= 300


def test_a_429_that_never_ends_is_given_up() -> None:
    """Time in which the API lets nobody send counts, so a bucket that is always empty ends every request."""
    server, clock = Server(_always(429, headers={"Retry-After": "60"})), ManualClock()

    async def scenario() -> list[BaseException | Page]:
        async with _client(server, clock) as client:
            sent = [client.send(GET, lambda body: read_page(body, "rows"), RequestCounter()) for _ in range(5)]
            return list(await asyncio.gather(*sent, return_exceptions=True))

    assert [type(one) for one in asyncio.run(scenario())] == [GaveUpError] * 5
    assert len(server.requests) <= 50


def test_waiting_for_a_turn_is_not_held_against_a_request() -> None:
    """With a small budget a request waits long for its turn, and is tried as often as any other when it has it."""
    server, clock = Server(_first(*[httpx2.Response(500) for _ in range(6)])), ManualClock()

    async def scenario() -> Page:
        budget, transport = RateLimiter(0.01, clock), httpx2.MockTransport(server)
        async with Client("https://api.example", Secret(TOKEN), budget, clock, transport=transport) as client:
            return await client.send(GET, lambda body: read_page(body, "rows"), RequestCounter())

    assert len(asyncio.run(scenario()).items) == 1
    assert clock.time - 1_760_000_000.0 > 600


def test_a_wish_to_wait_holds_everybody() -> None:
    """Whatever the status, an answer with Retry-After holds the requests of all callers."""
    server, clock = Server(_first(httpx2.Response(503, headers={"Retry-After": "20"}))), ManualClock()

    async def scenario() -> float:
        policy, transport = RetryPolicy(attempts=1), httpx2.MockTransport(server)
        client = Client(
            "https://api.example", Secret(TOKEN), RateLimiter(10.0, clock), clock, policy=policy, transport=transport
        )
        async with client:
            with pytest.raises(GaveUpError):
                await client.send(GET, lambda body: read_page(body, "rows"), RequestCounter())
            before = clock.time
            await client.send(GET, lambda body: read_page(body, "rows"), RequestCounter())
            return clock.time - before

    assert asyncio.run(scenario()) >= 19


def test_a_request_counts_from_when_its_connection_was_made() -> None:
    """The moment that counts for the limit is when the request goes out, not when it was given its turn."""

    class Watched(RateLimiter):
        told = 0

        def sent(self, turn: Permit) -> None:
            self.told += 1
            super().sent(turn)

    async def scenario(url: str) -> int:
        clock = SystemClock()
        budget = Watched(1_000.0, clock)
        async with Client(url, Secret("simulator-token"), budget, clock) as client:
            for _ in range(3):
                await client.send(
                    Request("GET", "/v1/campaigns"), lambda body: read_page(body, "campaigns"), RequestCounter()
                )
        return budget.told

    with Simulator() as simulator:
        assert asyncio.run(scenario(simulator.url)) == 3


def test_retries_end() -> None:
    """A server that only fails is given up after a bounded number of attempts, and the message says how often."""
    with pytest.raises(GaveUpError, match=r"failed 8 times.*503: “busy”"):
        _send(_always(503, json={"errors": [{"detail": "busy", "status": "503"}]}))


def test_a_wish_beyond_all_patience_is_not_waited_for() -> None:
    """A Retry-After longer than the whole time allowed ends the request at once."""
    with pytest.raises(GaveUpError, match="asks to wait 86400 s"):
        _send(_always(429, headers={"Retry-After": "86400"}))


@pytest.mark.parametrize("detail", ["rate limited to 100 requests per 1d", "daily quota used up", ""])
def test_a_daily_quota_says_so(detail: str) -> None:
    """429 that names no time to wait, by its words or by going on and on, is a quota for which waiting is no help."""
    with pytest.raises(DailyQuotaError, match="daily quota"):
        _send(_always(429, json={"errors": [{"detail": detail, "status": "429"}]}))


@pytest.mark.parametrize(
    ("status", "request_", "error"),
    [
        (401, GET, UnauthorizedError),
        (403, GET, NoReadAccessError),
        (404, GET, EndpointNotFoundError),
        (404, Request("GET", "/v1/rows/{id}", {"id": "7"}, part=True), ChildGoneError),
        (400, GET, RequestRejectedError),
        (400, Request("GET", "/v1/rows", query={"start": "x"}, resumes=True), CursorRejectedError),
        (302, GET, RequestRejectedError),
        (422, GET, RequestRejectedError),
    ],
)
def test_each_refusal_is_an_error_of_its_own(status: int, request_: Request, error: type[CioReplicateError]) -> None:
    """Refusals are not retried, and say what to do next."""
    server, clock, meter = Server(_always(status)), ManualClock(), RequestCounter()

    async def scenario() -> None:
        async with _client(server, clock) as client:
            await client.send(request_, lambda body: read_page(body, "rows"), meter)

    with pytest.raises(error):
        asyncio.run(scenario())
    assert meter.requests == 1


def test_another_shape_is_not_retried_for_long() -> None:
    """An answer that keeps another shape is an error after three attempts."""
    with pytest.raises(PageShapeError, match="lacks 'rows'"):
        _send(_always(200, json={"errors": []}))


def test_nobody_there_is_a_matter_of_settings() -> None:
    """When nobody ever answered, the address is wrong rather than the weather bad."""

    def refuse(_request: httpx2.Request, _number: int) -> httpx2.Response:
        raise httpx2.ConnectError("Name or service not known")

    with pytest.raises(UnreachableError, match=r"Nobody answers at https://api\.example"):
        _send(refuse)


@pytest.mark.parametrize("status", [401, 403, 400, 500, 200])
def test_no_error_shows_the_token(status: int) -> None:
    """Not even a server that repeats the token in its answer brings it into an error or its traceback."""
    body = {"errors": [{"detail": f"bad token {TOKEN}", "status": str(status)}]}
    with pytest.raises(CioReplicateError) as caught:
        _send(_always(status, json=body))
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value)
    assert TOKEN not in shown


def test_the_region_is_the_one_that_knows_the_key() -> None:
    """A key of the other region answers 401 without a redirect, so both are asked."""
    clock = ManualClock()

    def connect(url: str) -> Client:
        status = 401 if "eu" not in url else 403
        server = Server(_always(status))
        return Client(url, Secret(TOKEN), RateLimiter(10.0, clock), clock, transport=httpx2.MockTransport(server))

    assert asyncio.run(find_region(connect)) == "eu"


def test_a_key_that_no_region_knows() -> None:
    """A key that is refused everywhere is one error that names both regions."""
    clock = ManualClock()

    def connect(url: str) -> Client:
        return Client(
            url, Secret(TOKEN), RateLimiter(10.0, clock), clock, transport=httpx2.MockTransport(Server(_always(401)))
        )

    with pytest.raises(UnauthorizedError, match="No region"):
        asyncio.run(find_region(connect))
