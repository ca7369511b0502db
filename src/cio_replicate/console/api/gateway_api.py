"""Who sent a gateway's request, and that it was this request, now, and once: by the signature of the member's key."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from cio_replicate.base.errors import GatewayRefusedError
from cio_replicate.database.connection import Database
from cio_replicate.database.tables import gateway_members, gateway_nonces
from cio_replicate.jobs.gateway_protocol import ALGORITHM, LIFETIME, SCHEME, claims_of

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
    """Who sent it. A request is taken once, within a minute, by the console that it is for.

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
    with database.writing() as connection:
        revoked = connection.scalar(select(gateway_members.c.revoked_at).where(gateway_members.c.id == issuer))
        if revoked is not None:
            raise GatewayRefusedError(
                f"The console has shut out this machine of the gateway {row.gateway}.",
                "If it is to serve again, enrol it with a new code.",
                code="revoked",
            )
        _take_once(connection, issuer, claims, now)
        connection.execute(gateway_members.update().where(gateway_members.c.id == issuer).values(seen_at=now))
    return VerifiedMember(issuer, row.gateway, row.machine, row.version)


def proven_key(
    database: Database, request: SignedRequest, public_key: Mapping[str, str], hosts: Collection[str], now: int
) -> str:
    """The public key that a machine brings along, as it is kept, if the request is signed by its other half.

    Raises GatewayRefusedError.
    """
    token = _token(request.authorization)
    if public_key.get("kty") != "OKP" or public_key.get("crv") != "Ed25519" or "d" in public_key:
        raise GatewayRefusedError("That is no public Ed25519 key.", "Update cio-replicate there.", code="request")
    claims = _claims(token, public_key)
    thumbprint = str(OKPKey.import_key(dict(public_key)).thumbprint())
    require_same(claims, request, thumbprint, hosts, now)
    with database.writing() as connection:
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
    connection.execute(gateway_nonces.delete().where(gateway_nonces.c.expires_at < now))  # nobody can send them again
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
