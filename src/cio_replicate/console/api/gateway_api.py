"""The API that gateways call: verify a member's signature, answer for its gateway, and the route."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from litestar import Response, Router, post
from litestar.concurrency import sync_to_thread
from litestar.enums import MediaType
from litestar.params import FromPath
from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from cio_replicate.base.errors import CioReplicateError, GatewayRefusedError, Unavailable
from cio_replicate.base.runtime import Clock
from cio_replicate.base.version import __version__
from cio_replicate.console import gateways
from cio_replicate.console.notifications import note
from cio_replicate.console.web.authorization import GATEWAY, AnyRequest
from cio_replicate.database.connection import Database, keep_latest
from cio_replicate.database.tables import gateway_members, gateway_nonces
from cio_replicate.jobs import gateway_protocol as wire
from cio_replicate.jobs.gateway_protocol import ALGORITHM, LIFETIME, MOST_BYTES, ROOT, SCHEME, claims_of
from cio_replicate.jobs.local_engine import LEASE, LocalEngine
from cio_replicate.jobs.ports import PROTOCOL, JobQueue

MOST_TOKEN = 4_000  # characters
AHEAD = LIFETIME  # seconds that a clock may be ahead of ours without a word


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as it came: what it asks, the header that proves it, and its body."""

    path: str  # below the gateways' own root
    authorization: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class VerifiedMember:
    """The member whose key has signed a request."""

    member: str
    gateway: str
    machine: str
    version: str


def verified(database: Database, request: SignedRequest, hosts: Collection[str], now: int) -> VerifiedMember:
    """Return who sent the request. A request is taken once, within a minute, by the console that it is for.

    `hosts` are the names of this console. Notes that the member was seen. Raises GatewayRefusedError.
    """
    token = _token(request.authorization)
    issuer = _key_id(token)
    with database.reading() as connection:
        row = connection.execute(select(gateway_members).where(gateway_members.c.id == issuer)).one_or_none()
    if row is None:
        raise GatewayRefusedError(
            "The console does not know this machine.",
            "Enrol it with a new code: cio-replicate gateway code NAME, where the console runs.",
            code="unknown",
        )
    claims = _claims(token, json.loads(row.public_key))
    require_same(claims, request, issuer, hosts, now)
    with database.updating() as connection:
        member = gateway_members.c.id == issuer, gateway_members.c.revoked_at.is_(None)
        if not connection.execute(gateway_members.update().where(*member).values(seen_at=now)).rowcount:
            raise GatewayRefusedError(
                f"The console has shut out this machine of the gateway {row.gateway}.",
                "If it is to serve again, enrol it with a new code.",
                code="revoked",
            )
        _take_once(connection, issuer, claims, now)
    return VerifiedMember(issuer, row.gateway, row.machine, row.version)


def proven_key(
    database: Database, request: SignedRequest, public_key: Mapping[str, str], hosts: Collection[str], now: int
) -> str:
    """Return the public key that a machine sends, as it is stored, if the request is signed by its private key.

    Raises GatewayRefusedError.
    """
    token = _token(request.authorization)
    if public_key.get("kty") != "OKP" or public_key.get("crv") != "Ed25519" or "d" in public_key:
        raise GatewayRefusedError("That is no public Ed25519 key.", "Update cio-replicate there.", code="request")
    claims = _claims(token, public_key)
    thumbprint = str(OKPKey.import_key(dict(public_key)).thumbprint())
    require_same(claims, request, thumbprint, hosts, now)
    with database.updating() as connection:
        _take_once(connection, thumbprint, claims, now)
    return json.dumps({name: public_key[name] for name in ("crv", "kty", "x")}, sort_keys=True)


def require_same(
    claims: Mapping[str, Any],  # Any: what a token says is looked at here
    request: SignedRequest,
    issuer: str,
    hosts: Collection[str],
    now: int,
) -> None:
    """Compare what a token says with the request that it came with. Raises GatewayRefusedError."""
    made, nonce, host = claims.get("iat"), claims.get("jti"), claims.get("aud")
    if not isinstance(made, int) or not isinstance(nonce, str) or not isinstance(host, str):
        raise _unsigned("lacks what it must say")
    if host not in hosts:
        raise _unsigned("is for another console")
    if claims != claims_of(issuer, host, request.path, request.body, made, nonce):
        raise _unsigned("is for another request")
    if not made - AHEAD <= now < made + LIFETIME:
        raise GatewayRefusedError(
            f"The clock of this machine is {_apart(made - now)} the console's.",
            "Set both by NTP: timedatectl set-ntp true.",
            code="clock",
        )


def _take_once(connection: Connection, issuer: str, claims: Mapping[str, Any], now: int) -> None:  # Any: see above
    keep_latest(connection, gateway_nonces.c.nonce, gateway_nonces.c.expires_at, now)
    nonce = sha256(f"{issuer} {claims['jti']}".encode()).hexdigest()
    try:
        connection.execute(gateway_nonces.insert().values(nonce=nonce, expires_at=claims["exp"] + AHEAD))
    except IntegrityError:
        raise GatewayRefusedError(
            "This request was taken before.",
            "Nothing is to be done, unless somebody repeats what they overheard.",
            code="replayed",
        ) from None


def _token(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    if scheme != SCHEME or not token.isascii() or not 0 < len(token) <= MOST_TOKEN:
        raise _unsigned("is missing")
    return token


def _key_id(token: str) -> str:
    try:
        found = jws.extract_compact(token.encode()).headers().get("kid")
    except (JoseError, ValueError, TypeError, AttributeError):
        found = None
    if not isinstance(found, str):
        raise _unsigned("is none")
    return found


def _claims(token: str, public_key: Mapping[str, str]) -> Mapping[str, Any]:  # Any: see above
    try:
        key = OKPKey.import_key(dict(public_key))
        return jwt.decode(token, key, algorithms=[ALGORITHM]).claims
    except (JoseError, ValueError, TypeError):
        raise _unsigned("does not match the machine's key") from None


def _unsigned(cause: str) -> GatewayRefusedError:
    return GatewayRefusedError(
        f"The signature of the request {cause}.",
        "Look at the address that the gateway was given, and at what stands between it and the console.",
        code="signature",
    )


def _apart(seconds: int) -> str:
    distance = abs(seconds)
    said = f"{distance} seconds" if distance < 120 else f"{distance // 60} minutes"
    return f"{said} {'ahead of' if seconds > 0 else 'behind'}"


LONGEST_WORKER, LONGEST_MACHINE, LONGEST_VERSION = 60, 200, 50

_BEAT, _END = re.compile(r"runs/([0-9a-f]{32})/beat"), re.compile(r"runs/([0-9a-f]{32})/end")
_INQUIRY = re.compile(r"inquiries/([0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class GatewayEndpoint:
    """Answers requests of gateways. `queue_of` gives the queue that hands out the runs of one gateway, and no others.

    `hosts` are the names that the console answers to: a token for another host is not for it.
    """

    database: Database
    queue_of: Callable[[str], JobQueue]
    hosts: Collection[str]
    clock: Clock

    def respond(self, request: SignedRequest) -> tuple[int, bytes]:
        """Return the status and the body of the answer, also to a request that is refused."""
        now = int(self.clock.now())
        try:
            return 200, wire.encoded(self._answer(request, now))
        except GatewayRefusedError as error:
            code, message, fix = error.code, error.cause, error.fix
        except Unavailable:
            code, message, fix = "away", "The console cannot reach its database.", "The request is made again."
        except CioReplicateError as error:
            code, message, fix = "request", error.cause, error.fix
        return wire.STATUSES.get(code, 400), wire.encoded(wire.GatewayRefusal(code, message, fix, now))

    def _answer(self, request: SignedRequest, now: int) -> msgspec.Struct:
        if request.path == wire.ENROL:
            return self._enrol(request, now)
        sender = verified(self.database, request, self.hosts, now)
        if request.path == wire.STANDING:
            return wire.MemberStatus(sender.gateway, sender.machine, __version__)
        if request.path == wire.CLAIM:
            return self._claim(sender, wire.decoded(request.body, wire.ClaimRequest))
        if request.path == wire.INQUIRY:
            return self._inquiry(sender, wire.decoded(request.body, wire.ProbeRequestBody), now)
        if (asked := _INQUIRY.fullmatch(request.path)) is not None:
            result = wire.decoded(request.body, wire.ProbeResultBody)
            with self.database.updating() as connection:
                gateways.answer(connection, asked[1], _worker(sender, result.worker), result.found, now)
            return wire.Acknowledged()
        queue = self.queue_of(sender.gateway)
        if (run := _BEAT.fullmatch(request.path)) is not None:
            beat = wire.decoded(request.body, wire.HeartbeatRequest)
            worker = _worker(sender, beat.worker)
            return wire.HeartbeatResponse(queue.heartbeat(worker, run[1], beat.progress, beat.lines))
        if (run := _END.fullmatch(request.path)) is not None:
            ended = wire.decoded(request.body, wire.EndRequest)
            return wire.HeartbeatResponse(queue.end(_worker(sender, ended.worker), run[1], ended.end))
        raise GatewayRefusedError(
            "The console has no such address.", "Bring the gateway and the console to the same version.", code="request"
        )

    def _enrol(self, request: SignedRequest, now: int) -> wire.Enrolled:
        wish = wire.decoded(request.body, wire.EnrolRequest)
        _require_protocol(wish.protocol, wish.version)
        gateways.require_code(self.database, wish.code, now)
        key = proven_key(self.database, request, wish.public_key, self.hosts, now)
        machine = _plain(wish.machine, LONGEST_MACHINE) or "unnamed"
        member, gateway = gateways.enrol(
            self.database, wish.code, machine, key, _plain(wish.version, LONGEST_VERSION), now
        )
        return wire.Enrolled(member, gateway)

    def _claim(self, sender: VerifiedMember, wish: wire.ClaimRequest) -> wire.ClaimAnswer:
        version = _plain(wish.version, LONGEST_VERSION)
        if version != sender.version:
            with self.database.updating() as connection:
                mine = gateway_members.c.id == sender.member
                connection.execute(gateway_members.update().where(mine).values(version=version))
        _require_protocol(wish.protocol, wish.version)
        claim = self.queue_of(sender.gateway).claim(_worker(sender, wish.worker))
        if claim is None:
            return wire.ClaimAnswer()
        job = msgspec.structs.replace(claim.job, stored={})
        return wire.ClaimAnswer(job.run_id, msgspec.Raw(msgspec.json.encode(job)), claim.lease)

    def _inquiry(self, sender: VerifiedMember, wish: wire.ProbeRequestBody, now: int) -> wire.ProbeAnswer:
        with self.database.updating() as connection:
            taken = gateways.take(connection, sender.gateway, _worker(sender, wish.worker), now)
        if taken is None:
            return wire.ProbeAnswer()
        return wire.ProbeAnswer(taken.id, taken.about.value, msgspec.Raw(msgspec.json.encode(taken.connection)))


def gateway_endpoint(database: Database, hosts: Collection[str], clock: Clock, lease: int = LEASE) -> GatewayEndpoint:
    """Return the endpoint of a console that answers to these hosts. No queue of a gateway can reveal a secret."""

    def queue_of(gateway: str) -> LocalEngine:
        return LocalEngine(database, clock, note, gateway=gateway, lease=lease)

    return GatewayEndpoint(database, queue_of, hosts, clock)


def _worker(sender: VerifiedMember, name: str) -> str:
    """Return the name of a member's worker, made unique by the member's id."""
    if not re.fullmatch(rf"[A-Za-z0-9._-]{{1,{LONGEST_WORKER}}}", name):
        raise GatewayRefusedError("A worker cannot be called so.", "Update the gateway.", code="request")
    return f"{sender.member}/{name}"


def _require_protocol(theirs: int, version: str) -> None:
    if theirs == PROTOCOL:
        return
    older = "gateway" if theirs < PROTOCOL else "console"
    raise GatewayRefusedError(
        f"The gateway (version {_plain(version, LONGEST_VERSION)}, protocol {theirs}) and the console "
        f"(version {__version__}, protocol {PROTOCOL}) do not understand each other.",
        f"Update cio-replicate where the {older} runs.",
        code="protocol",
    )


def _plain(text: str, most: int) -> str:
    """Return a text that a gateway chose as it may be shown."""
    return "".join(one for one in text if one.isprintable())[:most].strip()


def gateway_router(endpoint: GatewayEndpoint) -> Router:
    """Return the routes for gateways, which have no session: each request proves by itself who sends it."""

    @post("/{path:path}", opt={"needs": GATEWAY}, include_in_schema=False, request_max_body_size=MOST_BYTES)
    async def answer(request: AnyRequest, path: FromPath[str]) -> Response[Any]:
        """Answer a gateway."""
        signed = SignedRequest(path.strip("/"), request.headers.get("authorization"), await request.body())
        status, body = await sync_to_thread(endpoint.respond, signed)
        return Response(body, status_code=status, media_type=MediaType.JSON)

    return Router(ROOT, route_handlers=[answer])
