"""Pictures of every page, light, dark and as wide as a phone: `python -m tests.web.screenshots FOLDER`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.web.every_page import PAGES
from tests.web.walking import (
    PHONE,
    SLOW,
    WIDE,
    Served,
    browser,
    context,
    enter,
    furnish,
    log_in,
    make_connection,
    make_task,
    served,
)

LOOKS = {"light": (WIDE, "light"), "dark": (WIDE, "dark"), "phone": (PHONE, "light")}


def main(folder: Path) -> None:
    """Walk through a console once, then take all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made, served(Path(made)) as console, browser() as started:
        run, failed = _walk(console, started, folder)
        for look, (size, scheme) in LOOKS.items():
            window = context(started, size, scheme)
            page = window.new_page()
            log_in(page, console.url)
            for name, path in PAGES.items():
                page.goto(console.url + path.format(run=run, failed=failed))
                page.screenshot(path=folder / f"{name}-{look}.png", full_page=True)
            window.close()


def _walk(console: Served, started: Browser, folder: Path) -> tuple[str, str]:
    """The way of a newcomer, with pictures of what is seen only once; the first run, and one that failed."""
    page = context(started).new_page()
    page.goto(console.link)
    page.screenshot(path=folder / "welcome-light.png", full_page=True)
    enter(page, console.link)
    page.screenshot(path=folder / "overview-empty-light.png", full_page=True)
    make_connection(page, console.simulator.url)
    make_task(page, console.folder / "copy.duckdb")
    page.get_by_role("button", name="Run now").first.click()
    expect(page.get_by_role("progressbar").nth(5)).to_be_visible(timeout=SLOW)
    page.screenshot(path=folder / "run-live-light.png", full_page=True)
    page.get_by_role("link", name="Proof").wait_for(timeout=SLOW)
    address = page.url.removeprefix(console.url)
    for _ in range(3):
        page.goto(f"{console.url}/tasks/shop-to-duckdb")
        page.get_by_role("button", name="Run now").first.click()
        page.get_by_role("link", name="Proof").wait_for(timeout=SLOW)
    for what in ("verify", "plan"):
        page.goto(f"{console.url}/tasks/shop-to-duckdb/{what}")
        page.get_by_role("button", name=f"{what.capitalize()} now").click()
        page.get_by_role("status").wait_for(timeout=SLOW)
        for look, size in (("light", WIDE), ("phone", PHONE)):
            page.set_viewport_size({"width": size[0], "height": size[1]})
            page.screenshot(path=folder / f"{what}-found-{look}.png", full_page=True)
        page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    failed = furnish(page, console.url, console.folder)
    page.context.clear_cookies()
    page.goto(f"{console.url}/login")
    page.screenshot(path=folder / "login-light.png", full_page=True)
    page.context.close()
    return address, failed


if __name__ == "__main__":
    main(Path(sys.argv[1]))
