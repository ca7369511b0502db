"""Coming in and going out: links, passwords, sessions and their ends, and what others cannot do with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cio_replicate.console.sessions import ABSOLUTE, IDLE
from cio_replicate.console.web.services import TRIES_OF_A_NAME, TRIES_OF_AN_ADDRESS
from cio_replicate.database import audit_log
from cio_replicate.database.actor import LOCAL, Role
from tests.web.visiting import ORIGIN, PASSWORD, Browser, Console, console_of, error_of, title_of

CHOSEN = {"password": PASSWORD, "again": PASSWORD, "zone": "Europe/Berlin"}


@pytest.fixture
def behind_tls(tmp_path: Path) -> Iterator[Console]:
    """A console that browsers reach by TLS."""
    with console_of(tmp_path, "https://console.example.com") as made:
        yield made


def test_the_first_link_makes_one_admin_and_no_second(console: Console) -> None:
    """Whoever opens the first link becomes the admin; the link, and every other of its kind, counts no more then."""
    link = console.services.people.first_link()
    browser = console.browser()
    assert title_of(browser.get(f"/welcome/{link}")) == "Welcome"
    assert browser.enter(f"/welcome/{link}", name="ada", **CHOSEN).headers["location"] == "/"
    assert title_of(browser.get("/")) == "Overview"
    assert [(one.name, one.role, one.zone) for one in console.services.people.all()] == [
        ("ada", Role.ADMIN, "Europe/Berlin")
    ]
    assert console.browser().post(f"/welcome/{link}", name="eve", **CHOSEN).status_code == 410
    assert console.services.people.first_link() is None


def test_a_new_first_link_takes_the_place_of_the_last(console: Console) -> None:
    """While there is no user each start makes a new link, and only that one counts."""
    old, new = console.services.people.first_link(), console.services.people.first_link()
    assert console.browser().get(f"/welcome/{old}").status_code == 410
    assert console.browser().get(f"/welcome/{new}").status_code == 200


def test_there_is_no_default_password(console: Console) -> None:
    """A new console has no user, and so nobody can log in."""
    assert console.services.people.all() == []
    for name in ("admin", "root", ""):
        assert console.browser().log_in(name, "admin").status_code == 401


@pytest.mark.parametrize(
    ("password", "again", "said"),
    [
        ("short", "short", "too short"),
        ("aaaaaaaaaaaaaa", "aaaaaaaaaaaaaa", "repeats a few characters"),
        ("adaadaadaada", "adaadaadaada", "repeats a few characters"),
        ("abcdefghijklmno", "abcdefghijklmno", "can be guessed"),
        ("password123456", "password123456", "can be guessed"),
        (PASSWORD, "another one entirely", "differ"),
    ],
)
def test_a_weak_password_is_refused_with_what_to_do(console: Console, password: str, again: str, said: str) -> None:
    """A password that is short, simple or typed twice differently is not taken, and the link still counts."""
    link = console.services.people.first_link()
    answer = console.browser().post(f"/welcome/{link}", name="ada", password=password, again=again)
    assert answer.status_code == 422
    assert said in error_of(answer)
    assert console.services.people.all() == []


def test_an_invitation_counts_once_and_for_a_week(console: Console) -> None:
    """An invited user chooses a password by the link, once, within 7 days; the name and the role are settled."""
    link = console.services.people.invite("vera", Role.VIEWER, LOCAL)
    browser = console.browser()
    assert browser.enter(f"/welcome/{link}", name="somebody else", **CHOSEN).status_code == 303
    assert [(one.name, one.role) for one in console.services.people.all()] == [("vera", Role.VIEWER)]
    assert console.browser().get(f"/welcome/{link}").status_code == 410
    late = console.services.people.invite("olga", Role.OPERATOR, LOCAL)
    console.stage.clock.time += 7 * 86_400 + 1
    assert console.browser().get(f"/welcome/{late}").status_code == 410


def test_a_new_password_by_a_link_ends_all_sessions(console: Console) -> None:
    """Who loses control of an account gets it back by a link: sessions of before end, the old password is gone."""
    user = console.user("ada", Role.ADMIN)
    thief = console.browser()
    thief.log_in("ada")
    link = console.services.people.invite_again(user, LOCAL)
    new = "quite another one here"
    assert console.browser().enter(f"/welcome/{link}", password=new, again=new).status_code == 303
    assert thief.get("/").status_code == 401
    assert console.browser().log_in("ada").status_code == 401


def test_a_wrong_name_and_a_wrong_password_are_answered_alike(console: Console) -> None:
    """Neither the words, nor the status, nor the work that is done tell whether there is a user of that name."""
    console.user("ada", Role.ADMIN)
    wrong_password = console.browser().log_in("ada", "not the right one at all")
    wrong_name = console.browser().log_in("eve", "not the right one at all")
    assert wrong_password.status_code == wrong_name.status_code == 401
    assert wrong_password.text.replace("ada", "eve") == wrong_name.text


def test_tries_of_a_name_are_limited_but_never_for_good(console: Console) -> None:
    """After a handful of tries the right password is not looked at either, until some time has gone by."""
    console.user("ada", Role.ADMIN)
    for _ in range(TRIES_OF_A_NAME - 1):
        assert console.services.by_name.wait("ada") == 0
    assert console.browser().log_in("ada", "not the right one at all").status_code == 401
    refused = console.browser().log_in("ADA ")
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) <= 31
    console.stage.clock.time += 31
    assert console.browser().log_in("ada").status_code == 303


def test_tries_of_an_address_are_limited_whatever_the_name(console: Console) -> None:
    """Whoever tries one password with many names is stopped as well."""
    for _ in range(TRIES_OF_AN_ADDRESS - 1):
        assert console.services.by_address.wait("testclient") == 0
    codes = [console.browser().log_in(name, "one password for all").status_code for name in ("ada", "olga", "vera")]
    assert codes == [401, 429, 429]
    console.stage.clock.time += 6
    assert console.browser().log_in("eve", "one password for all").status_code == 401


def test_a_login_gets_a_session_of_its_own(console: Console) -> None:
    """A cookie that was there before a login is not gone on with, so that nobody can hand somebody a session."""
    console.user("ada", Role.ADMIN)
    browser = console.browser()
    browser.cookies.set("cio-session", "planted")
    browser.log_in("ada")
    values = [cookie.value for cookie in browser.cookies.jar if cookie.name == "cio-session"]
    assert "planted" not in values[-1:]
    browser.cookies.clear()
    browser.cookies.set("cio-session", "planted")
    assert browser.get("/").status_code == 401


def test_only_a_digest_of_the_cookie_is_kept(console: Console) -> None:
    """Who reads the database cannot go on with anybody's session, token or link."""
    from tests.console.stores import everything  # noqa: PLC0415 - of another kind of store

    token = console.token(Role.ADMIN)
    link = console.services.people.invite("vera", Role.VIEWER, LOCAL)
    browser = console.visitor(Role.OPERATOR)
    cookie = browser.cookies.get("cio-session")
    kept = everything(console.stage)  # type: ignore[arg-type] # it only asks for the database
    assert [secret for secret in (token, link, cookie, PASSWORD) if secret in kept] == []


def test_a_session_ends_when_it_is_not_used(console: Console) -> None:
    """After eight hours without a page one logs in anew; a page in between keeps it."""
    browser = console.visitor(Role.VIEWER)
    console.stage.clock.time += IDLE - 60
    assert browser.get("/").status_code == 200
    console.stage.clock.time += IDLE - 60
    assert browser.get("/").status_code == 200
    console.stage.clock.time += IDLE + 1
    assert browser.get("/").status_code == 401


def test_a_session_ends_after_a_week_in_any_case(console: Console) -> None:
    """A session that is always used ends all the same."""
    browser = console.visitor(Role.VIEWER)
    codes = []
    for _ in range(ABSOLUTE // (IDLE // 2)):
        console.stage.clock.time += IDLE // 2
        codes.append(browser.get("/").status_code)
    assert set(codes[:-1]) == {200}
    assert codes[-1] == 401


def test_logging_out_ends_the_session_on_the_server(console: Console) -> None:
    """A cookie that was copied before is worth nothing after."""
    browser = console.visitor(Role.VIEWER)
    copied = browser.cookies.get("cio-session")
    assert browser.post("/logout").headers["location"] == "/login"
    other = console.browser()
    other.cookies.set("cio-session", copied)
    assert other.get("/").status_code == 401


def test_who_is_shut_out_is_out_at_once(console: Console) -> None:
    """A user who is shut out, or whose role changes, notices with the next page."""
    browser = console.visitor(Role.ADMIN)
    console.user("ada", Role.ADMIN)
    user = next(one for one in console.services.people.all() if one.name == "admin person")
    console.services.people.change_role(user.id, Role.VIEWER, LOCAL)
    assert browser.get("/users").status_code == 403
    console.services.people.disable(user.id, LOCAL)
    assert browser.get("/").status_code == 401
    assert console.browser().log_in("admin person").status_code == 401


def test_an_admin_is_always_left(console: Console) -> None:
    """The last admin can neither give up the role, nor be shut out, nor be removed."""
    admin = console.visitor(Role.ADMIN)
    user = console.services.people.all()[0].id
    for path, fields in (
        (f"/users/{user}/role", {"role": "viewer"}),
        (f"/users/{user}/shut-out", {}),
        (f"/users/{user}/remove", {}),
    ):
        answer = admin.post(path, **fields)
        assert (answer.status_code, "No admin would be left." in answer.text) == (409, True)
    assert [(one.role, one.disabled) for one in console.services.people.all()] == [(Role.ADMIN, False)]


def test_nothing_is_done_with_a_user_that_has_no_name(console: Console) -> None:
    """An address that nothing stands behind shuts nobody out."""
    admin = console.visitor(Role.ADMIN)
    viewer = console.visitor(Role.VIEWER)
    user = next(one.id for one in console.services.people.all() if one.role is Role.VIEWER)
    assert admin.post(f"/users/{user}/anything").status_code == 404
    assert viewer.get("/").status_code == 200


def test_with_tls_the_cookie_is_bound_to_this_host(behind_tls: Console) -> None:
    """Behind TLS the cookie has the prefix that keeps other hosts from setting it, and never travels unprotected."""
    link = behind_tls.services.people.first_link()
    headers = {"host": "console.example.com", "origin": "https://console.example.com"}
    answer = behind_tls.client().post(
        f"https://console.example.com/welcome/{link}",
        data={"name": "ada", **CHOSEN},
        headers=headers,
        follow_redirects=False,
    )
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-cio-session=")
    assert all(word in cookie for word in ("HttpOnly", "Secure", "SameSite=lax", "Path=/"))
    assert "Domain" not in cookie
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


def test_on_loopback_the_cookie_is_kept_from_scripts_and_other_sites(console: Console) -> None:
    """Without TLS the cookie is still out of reach of scripts, and not sent with what other sites ask."""
    console.user("ada", Role.ADMIN)
    cookie = console.browser().post("/login", name="ada", password=PASSWORD).headers["set-cookie"]
    assert cookie.startswith("cio-session=")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


@pytest.mark.parametrize(
    "wanted",
    ["//evil.example", "https://evil.example", "/\\evil.example", "\\/evil.example", "/\tx", "javascript:alert(1)", ""],
)
def test_logging_in_never_leads_to_another_site(console: Console, wanted: str) -> None:
    """What a link says to go on with is a page of this console, or the first page."""
    console.user("ada", Role.ADMIN)
    assert console.browser().log_in("ada", next=wanted).headers["location"] == "/"


def test_logging_in_leads_where_one_wanted_to_go(console: Console) -> None:
    """A page that needs a login shows the form to log in, and then comes."""
    console.user("ada", Role.ADMIN)
    browser = console.browser()
    asked = browser.get("/runs")
    assert (asked.status_code, title_of(asked), 'value="/runs"' in asked.text) == (401, "Log in", True)
    assert browser.log_in("ada", next="/runs").headers["location"] == "/runs"


def test_a_form_of_another_site_does_nothing(console: Console) -> None:
    """A form without this session's token, or from another origin, is refused, even with the cookie."""
    browser = console.visitor(Role.ADMIN)
    right = browser.csrf
    assert browser.post("/gateways", name="one", origin="https://evil.example").status_code == 403
    assert browser.post("/gateways", name="one", origin="null").status_code == 403
    assert browser.post("/gateways", name="one", origin=None).status_code == 403
    browser.csrf = "another session's token"
    assert browser.post("/gateways", name="one").status_code == 403
    browser.csrf = ""
    assert browser.post("/gateways", name="one").status_code == 403
    browser.csrf = right
    assert browser.post("/gateways", name="one").status_code == 200


def test_logging_in_from_another_site_is_refused(console: Console) -> None:
    """Nobody is logged in by a form of another site, into an account of its choice."""
    console.user("eve", Role.VIEWER)
    answer = console.browser().post("/login", name="eve", password=PASSWORD, origin="https://evil.example")
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


def test_a_form_comes_as_a_form(console: Console) -> None:
    """What another site could send without asking, such as text or JSON, is not taken for a form."""
    browser = console.visitor(Role.ADMIN)
    client = console.client()
    client.cookies = browser.cookies
    headers = {"origin": ORIGIN, "content-type": "text/plain"}
    assert client.post("/gateways", content=f"csrf={browser.csrf}&name=one", headers=headers).status_code == 400


def test_another_host_is_not_answered(console: Console) -> None:
    """A name that leads here without being the console's own, as in rebinding, gets nothing."""
    for host in ("evil.example", "127.0.0.1.evil.example", "", "evil.example:8765", "[::1", "127.0.0.1@evil.example"):
        answer = console.client().get("/login", headers={"host": host})
        assert (answer.status_code, "evil" in answer.text) == (421, False)
    assert console.client().get("/login", headers={"host": "LOCALHOST:1"}).status_code == 200


def test_every_login_and_change_is_in_the_audit_log(console: Console) -> None:
    """Who came in, who failed to, and what was changed by whom stands there, without a password or a token."""
    console.user("admin person", Role.ADMIN)
    admin = console.browser()
    admin.log_in("admin person")
    console.browser().log_in("admin person", "not the right one at all")
    console.browser().log_in(PASSWORD, "typed into the wrong field")
    admin.post("/users", name="vera", role="viewer")
    admin.post("/logout")
    with console.stage.database.reading() as connection:
        found = [(one.who, one.did, one.what) for one in audit_log.entries(connection)]
    assert set(found) >= {
        ("admin person", "login", "admin person"),
        ("admin person", "login.refused", "admin person"),
        ("somebody", "login.refused", "somebody"),
        ("admin person", "user.invite", "vera"),
        ("admin person", "logout", "admin person"),
    }
    assert PASSWORD not in str(found)


def test_ones_own_password_can_be_changed(console: Console) -> None:
    """With the present one; other sessions end, this one goes on."""
    here, elsewhere = console.visitor(Role.VIEWER), console.browser()
    elsewhere.log_in("viewer person")
    new = "quite another one here"
    wrong = here.post("/account/password", old="not it at all", new=new, again=new)
    assert "present password is not right" in error_of(wrong)
    assert here.post("/account/password", old=PASSWORD, new=new, again=new).status_code == 303
    assert here.get("/").status_code == 200
    assert elsewhere.get("/").status_code == 401
    assert console.browser().log_in("viewer person", new).status_code == 303


def test_dates_are_shown_in_ones_own_zone(console: Console) -> None:
    """The same moment is shown by the clock of whoever looks."""
    browser: Browser = console.visitor(Role.ADMIN)
    assert "1 January 2026, 01:00" in browser.get("/audit").text.replace(":00</time>", "</time>")
    assert browser.post("/account/zone", zone="America/New_York").status_code == 303
    assert "31 December 2025, 19:00" in browser.get("/audit").text
    assert "There is no time zone" in error_of(browser.post("/account/zone", zone="Mars/Base"))
