"""The protocol of gateways and their console: addresses, messages, and the claims of a request's token."""

from __future__ import annotations

from hashlib import sha256
from typing import TypeVar

import msgspec

from cio_replicate.base.errors import GatewayRefusedError
from cio_replicate.jobs.ports import HeartbeatReply, Outcome, ProbeResult
from cio_replicate.pipeline.events import LogLine, Progress

ROOT = "/gateway/v1/"
#: Paths below ROOT. Others are `inquiries/ID` for the answer to a probe, `runs/ID/beat` and `runs/ID/end`.
ENROL, STANDING, CLAIM, INQUIRY = "enrol", "standing", "claim", "inquiry"
SCHEME = "Gateway"  # of the Authorization header
ALGORITHM = "Ed25519"  # of keys and of signatures, which RFC 9864 calls by the same name
LIFETIME = 60  # seconds for which a token is good
MOST_SKEW = 300  # seconds by which the clocks of both sides may differ
MOST_BYTES = 2_000_000  # of a request

T = TypeVar("T", bound=msgspec.Struct)


class GatewayRefusal(msgspec.Struct, frozen=True):
    """Why a request was not taken: a word that a gateway can act on, and two sentences for people.

    `now` is the console's time, by which a gateway finds out how far its own clock is off.
    """

    code: str
    message: str
    fix: str
    now: int


#: The words, and the HTTP status of each. What a gateway does with one is its own affair.
STATUSES = {
    "request": 400,  # not as it must be
    "signature": 401,  # not signed, or not by the key that it names
    "unknown": 401,  # by a machine that is not enrolled here
    "clock": 401,  # made at another time than now
    "replayed": 401,  # taken once already
    "code": 403,  # an enrolment code that does not count
    "revoked": 403,  # by a machine that is shut out
    "protocol": 426,
    "away": 503,  # not now, as the console's own database cannot be reached
}


class EnrolRequest(msgspec.Struct, frozen=True):
    """A machine's wish to serve; it is signed with the key that it brings along."""

    code: str
    machine: str
    public_key: dict[str, str]
    version: str
    protocol: int


class Enrolled(msgspec.Struct, frozen=True):
    """The machine serves from now on, as this member of that gateway."""

    member: str
    gateway: str


class StatusRequest(msgspec.Struct, frozen=True):
    """Ask for the status of this member."""


class MemberStatus(msgspec.Struct, frozen=True):
    """The member as the console knows it."""

    gateway: str
    machine: str
    console_version: str


class ClaimRequest(msgspec.Struct, frozen=True):
    """A worker that is free. Both sides must have the same protocol; the version is for people."""

    worker: str
    version: str
    protocol: int


class ClaimAnswer(msgspec.Struct, frozen=True):
    """A run, and for how many seconds it is given; or nothing."""

    run_id: str | None = None
    job: msgspec.Raw = msgspec.Raw(b"null")  # read with the settings' own checks
    lease: float = 0.0


class HeartbeatRequest(msgspec.Struct, frozen=True):
    """The progress of a worker's run."""

    worker: str
    progress: Progress | None = None
    lines: tuple[LogLine, ...] = ()


class EndRequest(msgspec.Struct, frozen=True):
    """How a worker's run ended."""

    worker: str
    end: Outcome


class HeartbeatResponse(msgspec.Struct, frozen=True):
    """What the worker does with the run."""

    answer: HeartbeatReply


class ProbeRequestBody(msgspec.Struct, frozen=True):
    """Somebody is there to answer a question about a connection."""

    worker: str


class ProbeAnswer(msgspec.Struct, frozen=True):
    """A question; or none, when `id` is."""

    id: str | None = None
    about: str = ""
    connection: msgspec.Raw = msgspec.Raw(b"null")  # read with the settings' own checks


class ProbeResultBody(msgspec.Struct, frozen=True):
    """The answer to a question."""

    worker: str
    found: ProbeResult


class Acknowledged(msgspec.Struct, frozen=True):
    """It was taken in."""


def claims_of(issuer: str, host: str, path: str, body: bytes, moment: int, nonce: str) -> dict[str, str | int]:
    """Return the claims of one request's token: by whom, for which console, what it asks, from when to when, once."""
    return {
        "iss": issuer,
        "aud": host,
        "iat": moment,
        "exp": moment + LIFETIME,
        "jti": nonce,
        "method": "POST",
        "path": path,
        "digest": sha256(body).hexdigest(),
    }


def encoded(message: msgspec.Struct) -> bytes:
    """A message as it travels."""
    return msgspec.json.encode(message)


def decoded(body: bytes, kind: type[T]) -> T:
    """A message that travelled. Raises GatewayRefusedError, which quotes nothing of it."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise GatewayRefusedError(
            f"A message is no {kind.__name__}.",
            "Bring the gateway and the console to the same version.",
            code="request",
        ) from None
