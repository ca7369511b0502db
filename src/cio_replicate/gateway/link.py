"""The way to the console: signed requests by HTTPS, answered, refused, or known to have got nowhere."""

from __future__ import annotations

import logging
import random
import ssl
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpx2
import msgspec

from cio_replicate.base.errors import BoardAwayError, GatewayRefusedError, InvalidSettings
from cio_replicate.base.runtime import Clock
from cio_replicate.base.text import quoted
from cio_replicate.base.version import __version__
from cio_replicate.config.connection_options import host_of
from cio_replicate.gateway.identity import MemberKey
from cio_replicate.jobs.gateway_protocol import MOST_BYTES, MOST_SKEW, ROOT, SCHEME, GatewayRefusal, decoded, encoded
from cio_replicate.source.client import RetryPolicy

log = logging.getLogger(__name__)

T = TypeVar("T", bound=msgspec.Struct)

TIMEOUT = httpx2.Timeout(20.0, connect=5.0)
PAUSES = RetryPolicy(first_wait=1.0, longest_wait=60.0)
TRIED_AGAIN = "Nothing is lost: it is tried again."


class GatewayClient:
    """Requests of one machine to one console. Use as a context manager, from one thread.

    Nothing listens: the machine only calls. Redirects are not followed. After a failure, further ones wait longer and
    longer before they are tried, by chance not at the same time as others.
    """

    def __init__(
        self,
        url: str,
        key: MemberKey,
        issuer: str,
        clock: Clock,
        *,
        ca_file: Path | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.url = url
        self.heard: float | None = None  # when the console last answered, on the steady clock
        self.skew = 0  # seconds by which the console's clock is ahead of this machine's
        self._key = key
        self._issuer = issuer
        self._clock = clock
        self._failures = 0
        self._not_before = clock.monotonic()
        self._random = random.Random()  # noqa: S311 - spreads waits, guards nothing
        self._http = _client(url, ca_file, transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    @property
    def is_open(self) -> bool:
        """Whether a request would be tried now: false while a failure is too fresh."""
        return self._clock.monotonic() >= self._not_before

    def ask(self, path: str, message: msgspec.Struct, kind: type[T]) -> T:
        """The console's answer. Raises GatewayRefusedError with its refusal, BoardAwayError when it gives none.

        A clock that is off by minutes is allowed for, once the console has said so.
        """
        body = encoded(message)
        try:
            try:
                answer = self._send(path, body)
            except GatewayRefusedError as error:
                if error.code != "clock" or not self._allowed_for():
                    raise
                answer = self._send(path, body)
        except BoardAwayError:
            self._failures += 1
            self._not_before = self._clock.monotonic() + PAUSES.wait(self._failures, None, self._random)
            raise
        self._failures = 0
        return decoded(answer, kind)

    def _send(self, path: str, body: bytes) -> bytes:
        token = self._key.sign(self._issuer, host_of(self.url), path, body, self._clock.now() + self.skew)
        headers = {"Authorization": f"{SCHEME} {token}", "Content-Type": "application/json"}
        try:
            with self._http.stream("POST", f"{self.url}{ROOT}{path}", content=body, headers=headers) as response:
                answer = _read(response)
        except httpx2.HTTPError as error:
            raise _away(self.url, error) from None
        if response.status_code == httpx2.codes.OK and response.headers.get("content-type", "").startswith(
            "application/json"
        ):
            self.heard = self._clock.monotonic()
            return answer
        raise self._refused(response.status_code, answer)

    def _refused(self, status: int, answer: bytes) -> BoardAwayError | GatewayRefusedError:
        try:
            refusal = msgspec.json.decode(answer, type=GatewayRefusal)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return BoardAwayError(
                f"What answers at {self.url} is no console, or something stands before it ({status}).",
                "Check the address and what stands in between; it is tried again.",
            )
        if refusal.code == "away":
            return BoardAwayError(refusal.message, TRIED_AGAIN)
        self.heard = self._clock.monotonic()
        if refusal.code == "clock":
            self.skew = round(refusal.now - self._clock.now())
        return GatewayRefusedError(refusal.message, refusal.fix, code=refusal.code)

    def _allowed_for(self) -> bool:
        """Whether the clocks differ by no more than is allowed for."""
        if abs(self.skew) > MOST_SKEW:
            self.skew = 0
            return False
        said = f"{abs(self.skew)} seconds {'behind' if self.skew > 0 else 'ahead of'}"
        log.warning("The clock of this machine is %s the console's, which is allowed for. Set both by NTP.", said)
        return True


def _away(url: str, error: httpx2.HTTPError) -> BoardAwayError:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return BoardAwayError(
            f"The certificate at {url} is not believed ({quoted(error)}).",
            "Name the private authority that vouches for it with --ca-file, and look at the address.",
        )
    return BoardAwayError(f"Nobody answers at {url} ({type(error).__name__}: {quoted(error)}).", TRIED_AGAIN)


def _read(response: httpx2.Response) -> bytes:
    parts, size = [], 0
    for part in response.iter_bytes():
        size += len(part)
        if size > MOST_BYTES:
            raise BoardAwayError("The console's answer is too long to be one.", TRIED_AGAIN)
        parts.append(part)
    return b"".join(parts)


def _client(url: str, ca_file: Path | None, transport: httpx2.BaseTransport | None) -> httpx2.Client:
    try:
        return httpx2.Client(
            timeout=TIMEOUT,
            headers={"User-Agent": f"cio-replicate/{__version__}"},
            follow_redirects=False,
            transport=transport,
            verify=True if ca_file is None else ssl.create_default_context(cafile=str(ca_file)),
            # unprotected is for this machine only, so no proxy may see it; for all else the company's proxy counts
            trust_env=url.startswith("https:"),
        )
    except (ImportError, OSError, ValueError) as error:
        if ca_file is not None:
            raise InvalidSettings(
                f"The file {ca_file} holds no certificates that can be used ({type(error).__name__}).",
                "Name a file in PEM format with --ca-file.",
            ) from None
        raise InvalidSettings(
            f"The network settings in the environment cannot be used ({type(error).__name__}: {quoted(error)}).",
            "Mend or unset HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR.",
        ) from None
