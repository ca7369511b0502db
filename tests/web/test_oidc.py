"""Logging in by an identity provider: who comes in, who does not, and what is not believed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.console.oidc import CLIENT as CLIENT_VARIABLE
from cio_replicate.console.oidc import ISSUER, NEWCOMERS, oidc_of
from cio_replicate.console.oidc import SECRET as SECRET_VARIABLE
from cio_replicate.database.actor import LOCAL, Role
from cio_replicate.database.tables import logins
from tests.console.stage import START
from tests.manual_clock import ManualClock
from tests.web.provider import CLIENT, SECRET, Provider, provider
from tests.web.visiting import Answer, Browser, Console, console_of, error_of


@pytest.fixture
def login() -> Iterator[Provider]:
    """A provider, by the clock of the console."""
    with provider() as made:
        made.now = lambda: START
        yield made


@pytest.fixture
def console(tmp_path: Path, login: Provider) -> Iterator[Console]:
    """A console that trusts the provider, and lets newcomers look."""
    with console_of(tmp_path, oidc=oidc_of(_environment(login, newcomers="viewer"), ManualClock(START))) as made:
        yield made


def _environment(login: Provider, newcomers: str = "") -> dict[str, str]:
    return {
        ISSUER: login.url,
        CLIENT_VARIABLE: CLIENT,
        SECRET_VARIABLE: "env:OIDC_SECRET",
        "OIDC_SECRET": SECRET,
        NEWCOMERS: newcomers,
    }


def _come(browser: Browser, login: Provider) -> Answer:
    """The whole way there and back."""
    there = browser.get("/login/oidc").headers["location"]
    return browser.get(login.visit(there))


def test_a_newcomer_becomes_a_user_and_stays_one(console: Console, login: Provider) -> None:
    """Whom the provider knows comes in with the role for newcomers, and is the same user under another address."""
    browser = console.browser()
    answer = _come(browser, login)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert browser.get("/").status_code == 200
    login.claims["email"] = "ada@other.example"
    assert _come(console.browser(), login).status_code == 303
    assert [(one.name, one.role) for one in console.services.people.all()] == [("ada@example.com", Role.VIEWER)]
    assert login.asked["code_challenge_method"] == "S256"


def test_a_provider_may_end_its_name_with_a_slash(console: Console, login: Provider) -> None:
    """As Auth0 does: it is the same provider, and its users come in."""
    login.slash = "/"
    assert _come(console.browser(), login).status_code == 303


def test_who_was_invited_by_address_is_that_user(console: Console, login: Provider) -> None:
    """An invited user may come by the provider in the place of choosing a password, if the address is confirmed."""
    console.services.people.invite("ada@example.com", Role.OPERATOR, LOCAL)
    login.claims["email_verified"] = False
    assert _come(console.browser(), login).status_code == 401
    login.claims["email_verified"] = True
    assert _come(console.browser(), login).status_code == 303
    assert [(one.name, one.role) for one in console.services.people.all()] == [("ada@example.com", Role.OPERATOR)]


def test_nobody_takes_over_a_user_with_a_password(console: Console, login: Provider) -> None:
    """A name that somebody logs in with by password is not the provider's to hand out."""
    console.user("ada@example.com", Role.ADMIN)
    answer = _come(console.browser(), login)
    assert (answer.status_code, "you are no user here" in error_of(answer)) == (401, True)


def test_without_a_role_for_newcomers_nobody_new_comes_in(tmp_path: Path, login: Provider) -> None:
    """The provider says who it is; who may come in is said here."""
    with console_of(tmp_path, oidc=oidc_of(_environment(login), ManualClock(START))) as strict:
        assert _come(strict.browser(), login).status_code == 401
        assert strict.services.people.all() == []


@pytest.mark.parametrize(
    "spoilt",
    [
        {"nonce": "another"},
        {"aud": "another client"},
        {"iss": "https://evil.example"},
        {"exp": int(START) - 120},
        {"sub": None},
    ],
)
def test_what_the_token_says_is_checked(console: Console, login: Provider, spoilt: dict[str, Any]) -> None:
    """A token of another login, for another client, of another issuer, too old or of nobody lets nobody in."""
    login.spoil = lambda claims: {name: one for name, one in (claims | spoilt).items() if one is not None}
    answer = _come(console.browser(), login)
    assert (answer.status_code, "did not say who you are" in error_of(answer)) == (401, True)
    assert console.services.people.all() == []


def test_a_login_is_ended_by_the_browser_that_began_it(console: Console, login: Provider) -> None:
    """An answer that another browser is made to open, or that comes twice or too late, logs nobody in."""
    mine, theirs = console.browser(), console.browser()
    there = mine.get("/login/oidc").headers["location"]
    back = login.visit(there)
    assert theirs.get(back).status_code == 401
    assert mine.get(back).status_code == 401
    again = login.visit(mine.get("/login/oidc").headers["location"])
    assert mine.get(again).status_code == 303
    assert mine.get(again).status_code == 401


def test_a_login_that_was_begun_at_one_console_ends_at_another(console: Console, login: Provider) -> None:
    """Several consoles may answer at one address; a login ends once, at any of them, in the browser that began it."""
    browser, twin = console.browser(), console.twin()
    back = login.visit(browser.get("/login/oidc").headers["location"])
    mine, theirs = twin.browser(), twin.browser()
    mine.cookies.update(browser.cookies)
    assert mine.get(back).status_code == 303
    assert [one.get(back).status_code for one in (browser, mine, theirs)] == [401, 401, 401]


def test_a_login_that_was_begun_too_long_ago_does_not_end(console: Console, login: Provider) -> None:
    """After ten minutes it begins again."""
    browser = console.browser()
    back = login.visit(browser.get("/login/oidc").headers["location"])
    with console.stage.database.updating() as transaction:
        transaction.execute(logins.update().values(expires_at=int(START) - 1))
    assert browser.get(back).status_code == 401


def test_a_token_signed_by_somebody_else_is_refused(console: Console, login: Provider) -> None:
    """Only the provider's own keys count."""
    login.key = RSAKey.generate_key(2048, {"kid": "one"})
    assert _come(console.browser(), login).status_code == 401


def test_settings_of_the_provider_are_complete_and_protected(login: Provider) -> None:
    """What is missing or would send the secret unprotected is said before the console starts."""
    clock = ManualClock(START)
    assert oidc_of({}, clock) is None
    for wrong in ({CLIENT_VARIABLE: ""}, {ISSUER: "http://login.example.com"}, {NEWCOMERS: "king"}):
        with pytest.raises(InvalidSettings):
            oidc_of(_environment(login) | wrong, clock)
