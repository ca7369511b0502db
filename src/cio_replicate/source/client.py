"""Send requests to the App API: retries, one connection pool, one rate limiter, and the region of a key."""

from __future__ import annotations

import asyncio
import math
import random
import re
import ssl
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

import httpx2

from cio_replicate.base.errors import (
    CioReplicateError,
    GaveUpError,
    InvalidSettings,
    NoReadAccessError,
    PageShapeError,
    ReadError,
    TransientError,
    UnauthorizedError,
    UnreachableError,
)
from cio_replicate.base.runtime import Clock
from cio_replicate.base.text import Secret, quoted
from cio_replicate.base.version import __version__
from cio_replicate.source.pages import (
    Request,
    RequestCounter,
    daily_quota,
    detail_of,
    error_of,
    names_daily_quota,
    read_envelope,
)
from cio_replicate.source.rate_limiter import Permit, RateLimiter, RateUsage

# How often and how long a request is tried, and how long to wait in between.


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds in number and in time; waits double from `first_wait`, with full jitter so that callers spread out."""

    attempts: int = 8
    total_seconds: float = 300.0
    first_wait: float = 0.5
    longest_wait: float = 30.0
    attempts_without_header: int = 5  # 429 without Retry-After: a daily quota, when it goes on
    attempts_on_shape: int = 3  # an answer of another shape: rarely a passing fault
    attempts_unreachable: int = 4  # nobody has answered yet: rather a wrong address than a passing fault

    def wait(self, attempt: int, retry_after: float | None, rng: random.Random) -> float:
        """Seconds to wait after failed attempt number `attempt` (from 1); never less than the server asks for.

        A server that asks for little again and again gets more: others take what the bucket holds, and it may last.
        """
        ceiling = min(self.longest_wait, self.first_wait * 2.0 ** (attempt - 1))
        own = rng.uniform(ceiling / 2, ceiling)
        if retry_after is None:
            return own
        return max(own, retry_after + rng.uniform(0, self.first_wait))


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds that a `Retry-After` header asks for: a number, or a date against `now`; None when there is no sense."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now)
    except (ValueError, OverflowError):
        return None


_SECONDS = re.compile(r"per (?:\d+ ?)?s(?:ec|\b)", re.IGNORECASE)


def names_seconds(detail: str) -> bool:
    """Whether the text of a 429 speaks of a limit per second, which is over in a moment even if no header says so."""
    return _SECONDS.search(detail) is not None and not names_daily_quota(detail)


T = TypeVar("T")

CONNECTED = "http11.send_request_headers.started"  # the moment, as httpx2 traces it, when a request goes out
LONGEST_SAID = 200  # characters of the API's own words in a message


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Bounds of one attempt, in seconds, and of the connection pool."""

    connect: float = 10.0
    read: float = 30.0  # between two pieces of an answer
    attempt: float = 120.0  # the whole answer: a server that drips bytes for ever is cut off
    connections: int = 32


@dataclass(slots=True)
class ClientTotals:
    """What the client as a whole has sent and seen."""

    requests: int = 0
    throttled: int = 0
    answered: bool = field(default=False)
    answers: int = 0
    answer_seconds: float = 0.0  # from a request's turn to the end of its answer, over all answers


class Client:
    """One App API, one key. Use as an async context manager; safe for any number of concurrent callers.

    Nothing it raises, logs or shows holds the access token. Redirects are not followed, so the token goes to one
    host only.
    """

    def __init__(
        self,
        url: str,
        token: Secret,
        budget: RateLimiter,
        clock: Clock,
        *,
        policy: RetryPolicy | None = None,
        limits: RequestLimits | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url
        self.totals = ClientTotals()
        self.policy = policy or RetryPolicy()
        self.requests_per_second = budget.per_second
        self._token = token
        self._budget = budget
        self._clock = clock
        self._limits = limits or RequestLimits()
        self._random = random.Random()  # noqa: S311 - spreads waits, guards nothing
        protected = not url.lower().startswith("http:")
        try:
            self._http = httpx2.AsyncClient(
                base_url=url,
                timeout=httpx2.Timeout(self._limits.read, connect=self._limits.connect, pool=None),
                limits=httpx2.Limits(max_connections=self._limits.connections),
                headers={"Accept-Encoding": "gzip", "User-Agent": f"cio-replicate/{__version__}"},
                follow_redirects=False,
                transport=transport,
                # unprotected is for this machine only, so no proxy may see it; for all else the company's proxy counts
                trust_env=protected,
                # certificates of authorities take longer to load than all else here
                verify=protected or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            )
        except (ImportError, OSError, ValueError) as error:
            raise InvalidSettings(
                f"The network settings in the environment cannot be used ({_cause(error)}).",
                "Mend or unset HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR.",
            ) from None

        self._headers = httpx2.Headers({**self._http.headers, "Authorization": f"Bearer {token.reveal()}"})
        self._root = self._http.base_url.raw_path.rstrip(b"/")
        self._timeout = self._http.timeout.as_dict()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    @property
    def account(self) -> RateUsage:
        """What became of the budget."""
        return self._budget.account

    @property
    def spare(self) -> bool:
        """Whether the budget has a turn that nobody waits for."""
        return self._budget.spare

    @property
    def answer_time(self) -> float:
        """Seconds that an answer takes on average; 0 before the first."""
        return self.totals.answer_seconds / max(1, self.totals.answers)

    @property
    def chains(self) -> int:
        """How many callers, each with one request after another, it takes to use up the budget."""
        return math.ceil(self.requests_per_second * self.answer_time) + 1

    async def send(self, request: Request, read: Callable[[bytes], T], meter: RequestCounter, urgency: int = 0) -> T:
        """Send until `read` accepts the body of a 200, and return what it made of it.

        Of the requests that wait for their turn, the one of the lowest `urgency` goes first.

        `read` raises TransientError for a body that is damaged and PageShapeError for one of another shape. Raises
        AccessError, ReadError or one of their kinds; always ends, within the policy's attempts and total seconds, in
        which waiting for other requests does not count, but waiting as long as the API asks for does.
        """
        began = self._clock.monotonic()
        queued, attempts = 0.0, 0
        while True:
            turn = await self._budget.turn(urgency)
            attempts += 1
            queued += turn.queued
            try:
                return read(await self._attempt(request, meter, turn))
            except (TransientError, PageShapeError) as failure:
                error = failure
            elapsed = self._clock.monotonic() - began - queued
            asked = error.retry_after if isinstance(error, TransientError) else None
            if attempts >= self._most_attempts(error) or elapsed + (asked or 0.0) > self.policy.total_seconds:
                raise self._gave_up(request, error, attempts, elapsed) from None
            await self._clock.sleep(self.policy.wait(attempts, asked, self._random))

    async def _attempt(self, request: Request, meter: RequestCounter, turn: Permit) -> bytes:
        meter.requests += 1
        self.totals.requests += 1
        failure: CioReplicateError
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._limits.attempt):
                answer = await self._http.send(self._prepared(request, turn), stream=True)
                async with aclosing(answer):
                    self.totals.answered = True  # even if the rest is cut off
                    await answer.aread()
        except (httpx2.HTTPError, TimeoutError) as error:
            failure = TransientError(self._said(_cause(error)))
        else:
            self.totals.answers += 1
            self.totals.answer_seconds += self._clock.monotonic() - began
            if answer.status_code == httpx2.codes.OK:
                return answer.content
            failure = self._refusal(request, answer, meter, turn)
        # raised outside of the except block, so that no traceback leads to the request and its headers
        raise failure from None

    def _prepared(self, request: Request, turn: Permit) -> httpx2.Request:
        """The request for httpx2. What all requests share is made once: URL and headers cost as much as sending."""
        return httpx2.Request(
            request.method,
            self._http.base_url,
            headers=self._headers,
            cookies=self._http.cookies,
            json=request.body,
            extensions={
                "target": self._root + request.target.encode(),
                "timeout": self._timeout,
                "trace": partial(self._traced, turn),
            },
        )

    async def _traced(self, turn: Permit, event: str, _info: object) -> None:
        if event == CONNECTED:
            self._budget.sent(turn)

    def _refusal(
        self, request: Request, answer: httpx2.Response, meter: RequestCounter, turn: Permit
    ) -> CioReplicateError:
        wait = retry_after(answer.headers.get("retry-after"), self._clock.now())
        detail = self._said(detail_of(answer.content))
        throttled = answer.status_code == httpx2.codes.TOO_MANY_REQUESTS
        if throttled:
            meter.throttled += 1
            self.totals.throttled += 1
            if wait is None and names_seconds(detail):
                wait = 1.0
        if throttled or wait is not None:
            # the bucket is the whole workspace's: nobody sends until it has room again; a wait that is too long for
            # this request ends it, and is none that the others should sit out
            self._budget.refused(turn, wait if wait is not None and wait <= self.policy.total_seconds else 1.0)
        return error_of(request, self._http.base_url.host, answer.status_code, detail, wait)

    def _said(self, text: str, most: int = LONGEST_SAID) -> str:
        """Text from outside: scrubbed first and cut then, so that no half of the token is left."""
        return self._token.scrub(text)[:most]

    def _most_attempts(self, error: TransientError | PageShapeError) -> float:
        """How many times to try a request that fails like this."""
        if isinstance(error, PageShapeError):
            return self.policy.attempts_on_shape
        if error.status == httpx2.codes.TOO_MANY_REQUESTS:
            # a wait that the API names is taken as long as time allows: the customer's own calls use what they need
            return self.policy.attempts_without_header if error.retry_after is None else math.inf
        if error.status is None and not self.totals.answered:
            return self.policy.attempts_unreachable
        return self.policy.attempts

    def _gave_up(
        self, request: Request, error: TransientError | PageShapeError, attempts: int, seconds: float
    ) -> CioReplicateError:
        if isinstance(error, PageShapeError):
            return PageShapeError(self._said(error.cause, 2 * LONGEST_SAID), error.fix)
        if error.status == httpx2.codes.TOO_MANY_REQUESTS and error.retry_after is None:
            return daily_quota(request)
        if error.status is None and not self.totals.answered:
            return UnreachableError(
                f"Nobody answers at {self.url} ({error.cause}).", "Check the network, ‹region› and ‹api_url›."
            )
        times = "once" if attempts == 1 else f"{attempts} times"
        wish = f", and it asks to wait {error.retry_after:.0f} s" if error.retry_after else ""
        return GaveUpError(
            f"{request.label} failed {times} in {seconds:.0f} s, last with {error.cause}{wish}.",
            "Run again later: what is landed is not requested again.",
        )


def _cause(error: Exception) -> str:
    """A transport error in a few words; its own text is often empty."""
    text = str(error).strip().rstrip(".")
    name = type(error).__name__
    return f"{name}: {quoted(text)}" if text else name


# Where a workspace lives: the hosts of the two regions, and finding out which one knows a key.


HOSTS = {"us": "https://api.customer.io", "eu": "https://api-eu.customer.io"}
AUTO = "auto"
PROBE = Request("GET", "/v1/workspaces")


async def find_region(connect: Callable[[str], Client], hosts: dict[str, str] = HOSTS) -> str:
    """The name of the first region whose API accepts the key.

    A key of the other region answers 401 without a redirect (live); any other answer comes from a region that knows
    the key. Raises UnauthorizedError when none does.
    """
    for name, url in hosts.items():
        async with connect(url) as client:
            try:
                await client.send(PROBE, read_envelope, RequestCounter())
            except UnauthorizedError:
                continue
            except (NoReadAccessError, ReadError):
                return name
            return name
    raise UnauthorizedError(
        "No region accepts the access token (401 from the US and the EU).",
        "It must be an App API key (not a Track API key), not expired, and allowed for this machine's address.",
    )
