"""An identity provider on this machine: OpenID Connect, as far as the console uses it; its user always agrees."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "console", "marked-client-secret"


class Provider:
    """What the provider says of its one user, and what it was asked. A test changes both."""

    def __init__(self) -> None:
        self.key = self.published = RSAKey.generate_key(2048, {"kid": "one"})
        self.url = ""
        self.slash = ""  # what some providers end their name with, beyond the address
        self.claims: dict[str, Any] = {"sub": "4711", "email": "ada@example.com", "email_verified": True}
        self.spoil: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
        self.asked: dict[str, str] = {}
        self.now: Callable[[], float] = time.time

    def visit(self, url: str) -> str:
        """The user agrees: the path that the browser is sent back to."""
        self.asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        back = urlsplit(self.asked["redirect_uri"])
        return f"{back.path}?state={self.asked['state']}&code=one-time-code"

    def answer(self, path: str, form: dict[str, str], authorization: str) -> dict[str, Any] | None:
        """A document of the provider; None for what is refused."""
        if path == "/.well-known/openid-configuration":
            places = {"authorization_endpoint": "auth", "token_endpoint": "token", "jwks_uri": "keys"}
            return {"issuer": self.url + self.slash} | {name: f"{self.url}/{place}" for name, place in places.items()}
        if path == "/keys":
            return {"keys": [self.published.as_dict(private=False)]}
        login = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).decode()
        if (
            path != "/token"
            or authorization != f"Basic {login}"
            or challenge.rstrip("=") != self.asked["code_challenge"]
        ):
            return None
        now = int(self.now())
        claims = {
            "iss": self.url + self.slash,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": self.asked["nonce"],
            **self.claims,
        }
        token = jwt.encode({"alg": "RS256", "kid": "one"}, self.spoil(claims), self.key)
        return {"access_token": "unused", "token_type": "Bearer", "id_token": token}


@contextmanager
def provider() -> Iterator[Provider]:
    """A provider that listens."""
    made = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            self._answer({name: values[0] for name, values in parse_qs(body).items()})

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as the library calls it
            """Say nothing."""

        def _answer(self, form: dict[str, str]) -> None:
            found = made.answer(self.path, form, self.headers.get("authorization", ""))
            body = json.dumps(found or {"error": "invalid_grant"}).encode()
            self.send_response(200 if found is not None else 400)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        serving.join(5)
