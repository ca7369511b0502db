"""Logging in by an identity provider: OpenID Connect's code flow with PKCE, done by Authlib and joserfc."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from cio_replicate.base.errors import AccessError, InvalidSettings
from cio_replicate.base.runtime import Clock
from cio_replicate.base.text import Secret
from cio_replicate.config.secret_references import resolved
from cio_replicate.database.actor import Role

ISSUER, CLIENT, SECRET, NEWCOMERS, TITLE = (
    f"CIO_REPLICATE_OIDC_{name}" for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET_FROM", "NEWCOMERS", "TITLE")
)
PATH = "/login/oidc/back"
PATIENCE, MOST_WAITING, SECONDS = 600.0, 1_000, 10
ALGORITHMS = ["RS256", "ES256", "PS256", "EdDSA"]
LEEWAY = 60  # seconds that the clocks of the provider and this machine may differ


@dataclass(frozen=True, slots=True)
class ProviderIdentity:
    """Who the provider says it is: `subject` is theirs for good, `name` is how they are called.

    `verified`: the name is an e-mail address of which the provider has seen that it is theirs.
    """

    subject: str
    name: str
    verified: bool


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A login that has begun; `holder` is what only the browser that began it holds."""

    holder: str
    nonce: str
    verifier: str
    until: float


class Oidc:
    """One identity provider. Logins that have begun are kept in memory, for ten minutes and a bounded number."""

    def __init__(
        self, issuer: str, client: str, secret: Secret, newcomers: Role | None, title: str, clock: Clock
    ) -> None:
        self.issuer, self.title, self.newcomers = issuer.rstrip("/"), title, newcomers
        self._client, self._secret, self._clock = client, secret, clock
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, site_url: str) -> tuple[str, str]:
        """Where the browser goes, and what it holds until it is back. Raises AccessError."""
        about = self._about()
        state, holder, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(4))
        with self._session(site_url) as session:
            url, _ = session.create_authorization_url(
                about["authorization_endpoint"],
                state=state,
                nonce=nonce,
                code_challenge=create_s256_code_challenge(verifier),
                code_challenge_method="S256",
            )
        with self._lock:
            self._waiting[state] = _Waiting(holder, nonce, verifier, self._clock.monotonic() + PATIENCE)
            while len(self._waiting) > MOST_WAITING:
                self._waiting.popitem(last=False)
        return str(url), holder

    def end(self, site_url: str, state: str, holder: str, code: str) -> ProviderIdentity:
        """Who has come back from the provider. Raises AccessError."""
        with self._lock:
            waiting = self._waiting.pop(state, None)
        if (
            waiting is None
            or waiting.until < self._clock.monotonic()
            or not secrets.compare_digest(waiting.holder.encode(), holder.encode())
        ):
            raise AccessError("This login was not begun here, or too long ago.", "Begin again.")
        about = self._about()
        try:
            with self._session(site_url) as session:
                tokens = session.fetch_token(
                    about["token_endpoint"], code=code, code_verifier=waiting.verifier, timeout=SECONDS
                )
            keys = self._fetched(about["jwks_uri"])
            claims = self._claims(str(tokens["id_token"]), keys, str(about["issuer"]), waiting.nonce)
        except AccessError:
            raise
        except Exception as error:  # noqa: BLE001 - the libraries' errors are of many kinds, and their words may quote tokens
            raise self._failed(type(error).__name__) from None
        name = str(claims.get("email") or claims.get("preferred_username") or claims["sub"])
        verified = bool(claims.get("email")) and claims.get("email_verified") is True
        return ProviderIdentity(f"{self.issuer} {claims['sub']}", name, verified)

    def _claims(
        self,
        token: str,
        keys: Any,  # noqa: ANN401 - a document of keys
        issuer: str,
        nonce: str,
    ) -> Mapping[str, Any]:
        """What a token says. `issuer` is the provider as it writes itself: some end with a slash."""
        try:
            claims = jwt.decode(token, KeySet.import_key_set(keys), algorithms=ALGORITHMS).claims
            registry = jwt.JWTClaimsRegistry(
                leeway=LEEWAY,
                now=lambda: int(self._clock.now()),
                iss={"essential": True, "value": issuer},
                aud={"essential": True, "value": self._client},
                sub={"essential": True},
                exp={"essential": True},
                nonce={"essential": True, "value": nonce},
            )
            registry.validate(claims)
        except JoseError as error:
            raise self._failed(type(error).__name__) from None
        return claims

    def _about(self) -> Mapping[str, Any]:
        about: Mapping[str, Any] = self._fetched(f"{self.issuer}/.well-known/openid-configuration")
        if str(about.get("issuer", "")).rstrip("/") != self.issuer:
            raise self._failed("it names another issuer")
        return about

    def _fetched(self, url: str) -> Any:  # noqa: ANN401 - a document of the provider
        _require_protected(url)
        try:
            answer = requests.get(url, timeout=SECONDS, allow_redirects=False)
            answer.raise_for_status()
            return answer.json()
        except (requests.RequestException, ValueError) as error:
            raise self._failed(type(error).__name__) from None

    def _session(self, site_url: str) -> OAuth2Session:
        return OAuth2Session(
            self._client, self._secret.reveal(), scope="openid email profile", redirect_uri=f"{site_url}{PATH}"
        )

    def _failed(self, cause: str) -> AccessError:
        return AccessError(f"{self.title} did not say who you are ({cause}).", "Try again, or log in by password.")


def oidc_of(environment: Mapping[str, str], clock: Clock) -> Oidc | None:
    """The provider that the environment names, if any. Raises Refused."""
    issuer = environment.get(ISSUER, "").strip()
    if not issuer:
        return None
    _require_protected(issuer)
    client, reference = environment.get(CLIENT, "").strip(), environment.get(SECRET, "").strip()
    if not client or not reference:
        raise InvalidSettings(f"{ISSUER} is set, but not {CLIENT} and {SECRET}.", "Set all three, or none of them.")
    newcomers = environment.get(NEWCOMERS, "").strip().lower()
    if newcomers not in ("", *Role):
        raise InvalidSettings(f"{NEWCOMERS} names no role.", f"Write {', '.join(Role)}, or nothing.")
    title = environment.get(TITLE, "").strip() or str(urlsplit(issuer).hostname)
    role = Role(newcomers) if newcomers else None
    return Oidc(issuer, client, resolved(reference, environment, SECRET), role, title, clock)


def _require_protected(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise InvalidSettings(f"The identity provider's address {url!r} is not protected.", "It begins with https://.")
