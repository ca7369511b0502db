"""The console in a real browser: from the printed link to the proof, for every eye, every width and every keyboard."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.web.every_page import PAGES
from tests.web.walking import (
    NAME,
    PHONE,
    TOKEN,
    WIDE,
    Served,
    browser,
    context,
    enter,
    furnish,
    log_in,
    make_connection,
    make_task,
    run_task,
    served,
)

pytestmark = pytest.mark.web

#: What axe finds on no page: everything that its rules for WCAG 2.2 A and AA, and for good practice, know.
RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
}


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The command, started with nothing."""
    with served(tmp_path_factory.mktemp("console")) as started:
        yield started


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all."""
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def walked(console: Served, chromium: Browser) -> dict[str, str]:
    """The way of a newcomer, clicked: the printed link, a connection, its metadata, a task, a run, its proof."""
    page = context(chromium).new_page()
    complaints = _complaints(page)
    enter(page, console.link)
    make_connection(page, console.simulator.url)
    page.get_by_text("41 columns").click()
    expect(page.locator("#table-campaigns").get_by_text("_cio_key")).to_be_visible()
    make_task(page, console.folder / "copy.duckdb")
    address = run_task(page, _require_accessible)
    page.get_by_role("link", name="Proof").click()
    expect(page.get_by_text("Every table of the copy holds what it must.")).to_be_visible()
    failed = furnish(page, console.url, console.folder)
    assert complaints == []
    return {"run": address.removeprefix(console.url), "failed": failed}


def _require_accessible(page: Page) -> None:
    found = Axe().run(page, options=RULES).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []


def _complaints(page: Page) -> list[str]:
    """What the browser complains of from now on: errors of scripts, and what the policy does not allow."""
    found: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            found.append(message.text)

    page.on("console", heard)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


def test_a_newcomer_gets_from_the_link_to_a_proved_copy(console: Served, walked: dict[str, str]) -> None:
    """After the walk the copy is there, with what the workspace has, and neither log nor store hold the token."""
    with duckdb.connect(str(console.folder / "copy.duckdb"), read_only=True) as copy:
        rows = copy.execute("SELECT count(*) FROM customerio.customers").fetchone()
    assert rows == (400,)
    kept = [file for file in console.folder.iterdir() if file.name.startswith("console.")]
    assert {file.name for file in kept} >= {"console.db", "console.key", "console.log"}
    assert [file.name for file in kept if TOKEN.encode() in file.read_bytes()] == []
    assert walked["run"].startswith("/runs/")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(console: Served, chromium: Browser, walked: dict[str, str], name: str, scheme: str) -> None:
    """An automated check of accessibility finds nothing on any page, in neither look, and the browser nothing else."""
    window = context(chromium, WIDE, scheme)
    page = window.new_page()
    log_in(page, console.url)
    complaints = _complaints(page)
    page.goto(console.url + PAGES[name].format(**walked))
    page.evaluate("document.querySelectorAll('main details').forEach((one) => { one.open = true; })")
    _require_accessible(page)
    window.close()
    assert [one for one in complaints if "404" not in one] == []


@pytest.mark.parametrize("name", ["login", "welcome"])
def test_axe_finds_nothing_before_a_login(
    console: Served, chromium: Browser, walked: dict[str, str], name: str
) -> None:
    """Nor on the pages that one sees before."""
    assert walked
    window = context(chromium)
    page = window.new_page()
    page.goto(f"{console.url}/login" if name == "login" else console.link)
    _require_accessible(page)
    window.close()


@pytest.mark.parametrize("name", PAGES)
def test_no_page_is_wider_than_a_phone(console: Served, chromium: Browser, walked: dict[str, str], name: str) -> None:
    """On a phone nothing but a table within itself is scrolled sideways, and axe finds nothing there either."""
    window = context(chromium, PHONE)
    page = window.new_page()
    log_in(page, console.url)
    page.goto(console.url + PAGES[name].format(**walked))
    page.evaluate("document.querySelectorAll('main details').forEach((one) => { one.open = true; })")
    wide = page.evaluate("document.documentElement.scrollWidth")
    _require_accessible(page)
    window.close()
    assert wide == PHONE[0]


def test_the_keyboard_leads_past_the_menu_and_shows_where_it_is(
    console: Served, chromium: Browser, walked: dict[str, str]
) -> None:
    """The first key leads to a link past the menu, and whatever has the focus is outlined."""
    window = context(chromium)
    page = window.new_page()
    log_in(page, console.url)
    page.goto(console.url + walked["run"])
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    window.close()


def test_the_look_can_be_chosen_and_stays(console: Served, chromium: Browser, walked: dict[str, str]) -> None:
    """A switch stands before what the machine says, and is remembered in this browser."""
    assert walked
    window = context(chromium)
    page = window.new_page()
    log_in(page, console.url)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Dark look").click()
    expect(page.get_by_role("button", name="Dark look")).to_have_attribute("aria-pressed", "true")
    assert page.evaluate(ground) != light
    page.goto(f"{console.url}/tasks")
    assert page.evaluate(ground) != light
    page.get_by_role("button", name="Light look").click()
    expect(page.get_by_role("button", name="Light look")).to_have_attribute("aria-pressed", "true")
    assert page.evaluate(ground) == light
    window.close()


def test_without_script_every_step_works_too(console: Served, chromium: Browser, walked: dict[str, str]) -> None:
    """Who has no script logs in, sees a run, tests a connection and starts a run by plain forms."""
    assert walked
    window = context(chromium, script=False)
    page = window.new_page()
    log_in(page, console.url)
    page.goto(f"{console.url}/connections/shop-eu")
    page.get_by_role("button", name="Test").click()
    expect(page.get_by_text("The key works")).to_be_visible()
    page.goto(f"{console.url}/tasks/shop-to-duckdb")
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_text("The run is waiting for its turn.")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("cancelled").or_(page.get_by_text("stopping")).first).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert NAME not in page.content()
    window.close()
