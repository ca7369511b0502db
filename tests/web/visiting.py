"""A console without a server, and browsers and programs that call it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any

import httpx
from litestar import Litestar
from litestar.datastructures import State
from litestar.testing import TestClient
from sqlalchemy import select, update

from cio_replicate.console.oidc import Oidc
from cio_replicate.console.users import hashed
from cio_replicate.console.web.application import inner
from cio_replicate.console.web.http_security import SecurityHeaders, site
from cio_replicate.console.web.services import WebServices
from cio_replicate.database.actor import LOCAL, Role
from cio_replicate.database.tables import invitations, users
from tests.console.stage import Stage, stage

ORIGIN = "http://127.0.0.1:8765"
PASSWORD = "four odd words here"
CSRF = re.compile(r'name="csrf" value="([^"]+)"')
TITLE = re.compile(r"<title>(.*?) · cio-replicate</title>", re.DOTALL)
ERROR = re.compile(r'<div class="note bad"[^>]*>(.*?)</div>', re.DOTALL)

Answer = httpx.Response


class Browser:
    """One browser: it keeps cookies, says where its forms come from, and follows nothing by itself."""

    def __init__(self, client: TestClient[Any]) -> None:
        self._client = client
        self.csrf = ""

    def get(self, path: str, **headers: str) -> Answer:
        """Open an address."""
        return self._client.get(path, headers=headers, follow_redirects=False)

    def post(self, path: str, origin: str | None = ORIGIN, **fields: str | list[str]) -> Answer:
        """Send a form."""
        headers = {"content-type": "application/x-www-form-urlencoded"}
        if origin is not None:
            headers |= {"origin": origin, "sec-fetch-site": "same-origin"}
        sent = {"csrf": self.csrf, **fields} if self.csrf else fields
        return self._client.post(path, data=sent, headers=headers, follow_redirects=False)

    def enter(self, path: str, **fields: str) -> Answer:
        """Send a form that begins a session, and learn the session's token."""
        answer = self.post(path, **fields)
        if answer.status_code == 303:
            self._learn_token()
        return answer

    def log_in(self, name: str, password: str = PASSWORD, **more: str) -> Answer:
        """Log in by password."""
        return self.enter("/login", name=name, password=password, **more)

    def begin(self, services: WebServices, user_id: str) -> None:
        """Hold a session of this user, as logging in begins one but for the time to compare the password."""
        self._client.cookies.set(services.site.session_cookie, services.sessions.begin(user_id))
        self._learn_token()

    def _learn_token(self) -> None:
        found = CSRF.search(self.get("/account").text)
        self.csrf = found[1] if found else ""

    @property
    def cookies(self) -> Any:
        """What it keeps."""
        return self._client.cookies


class Console:
    """A console over a stage, on whose clock time goes by."""

    def __init__(self, made: Stage, services: WebServices) -> None:
        self.stage = made
        self.services = services
        self.app = SecurityHeaders(_shared(services), services.site)

    def twin(self) -> Console:
        """Another console over the same control database, as another machine has it."""
        database, mine = self.stage.another(), self.services
        return Console(self.stage, WebServices(database, mine.keys, mine.clock, mine.site, mine.oidc))

    def browser(self) -> Browser:
        """Another browser, which has never been here."""
        return Browser(self.client())

    def client(self) -> TestClient[Any]:
        """A program that calls."""
        return TestClient(self.app, base_url=ORIGIN, raise_server_exceptions=False)

    def user(self, name: str, role: Role) -> str:
        """A user with the usual password, as an invitation makes one but for the time to hash it; their id."""
        self.services.people.invite(name, role, LOCAL)
        with self.stage.database.writing() as connection:
            user_id = connection.scalars(select(users.c.id).where(users.c.name == name)).one()
            used = update(invitations).where(invitations.c.user_id == user_id)
            connection.execute(used.values(used_at=int(self.stage.clock.now())))
            chosen = {"password": _usual_hash(), "zone": "Europe/Berlin"}
            connection.execute(update(users).where(users.c.id == user_id).values(**chosen))
        return str(user_id)

    def visitor(self, role: Role) -> Browser:
        """A browser in which somebody of this role is logged in."""
        browser = self.browser()
        browser.begin(self.services, self.user(f"{role} person", role))
        return browser

    def token(self, role: Role) -> str:
        """A token of an admin that may do what the role may."""
        owner = next((one.id for one in self.services.people.all() if one.name == "owner"), None)
        owner = owner or self.user("owner", Role.ADMIN)
        return self.services.tokens.create(owner, "test", role, None, LOCAL)

    def api(self, role: Role | None) -> TestClient[Any]:
        """A program with a token of this role, or without one."""
        client = self.client()
        if role is not None:
            client.headers["authorization"] = f"Bearer {self.token(role)}"
        return client


_PREPARED: list[Litestar] = []


def _shared(services: WebServices) -> Litestar:
    """The console for these services; its handlers, whose preparation takes half a second, are those of all tests."""
    if not _PREPARED:
        _PREPARED.append(inner(services))
    made = copy(_PREPARED[0])
    made.state = State({**_PREPARED[0].state.dict(), "services": services})
    return made


@cache
def _usual_hash() -> str:
    return hashed(PASSWORD, "somebody")


@contextmanager
def console_of(folder: Path, url: str = ORIGIN, oidc: Oidc | None = None, kind: str = "sqlite") -> Iterator[Console]:
    """A console with an empty database."""
    with stage(kind, folder) as made:
        here = site("127.0.0.1", 8765, url if url != ORIGIN else None, (), tls=False)
        services = WebServices(
            made.database, made.keys, made.clock, here, oidc, environment=made.variables, state_dir=folder / "state"
        )
        yield Console(made, services)


def title_of(answer: Answer) -> str:
    """The title of a page."""
    found = TITLE.search(answer.text)
    return unescape(found[1]).strip() if found else ""


def error_of(answer: Answer) -> str:
    """What a page says went wrong, as a person reads it."""
    found = ERROR.search(answer.text)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", found[1])).split()) if found else ""
