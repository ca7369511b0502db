"""The console as its user has it: the installed command, a made-up workspace, and a browser that walks through it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from cio_replicate.source.catalog import TABLES
from customerio_simulator import Simulator, WorkspaceSpec

TOKEN = "marked-7f3a9c51-token"
NAME, PASSWORD = "ann@example.com", "four odd words here"
WIDE, PHONE = (1280, 900), (390, 844)
SLOW = 60_000  # milliseconds that a run, or what asks the API, may take


@dataclass(frozen=True)
class Served:
    """A console that was just started, and the workspace that it can read."""

    link: str
    simulator: Simulator
    folder: Path

    @property
    def url(self) -> str:
        """Its address."""
        return "/".join(self.link.split("/")[:3])


@contextmanager
def served(folder: Path, messages: int = 20_000) -> Iterator[Served]:
    """Start the command with an empty store; its first line is the link of the first user."""
    command = [str(Path(sys.executable).parent / "cio-replicate"), "console", "--port", "0"]
    command += ["--store", f"sqlite:///{folder / 'console.db'}", "--state-dir", str(folder / "state")]
    environment = {**os.environ, "CIO_REPLICATE_KEY": f"file:{folder / 'console.key'}"}
    spec = WorkspaceSpec(seed=3, messages=messages, people=400)
    with (
        Simulator(spec, token=TOKEN, rps=10, others_rps=5.0) as simulator,
        (folder / "console.log").open("wb") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment, text=True) as process,
    ):
        assert process.stdout is not None
        try:
            yield Served(process.stdout.readline().strip(), simulator, folder)
        finally:
            process.terminate()
            assert process.wait(60) == 0


@contextmanager
def browser() -> Iterator[Browser]:
    """Debian's Chromium, driven by Playwright."""
    chromium = shutil.which("chromium")
    assert chromium is not None, "Chromium is missing: make test-web installs it"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            yield started
        finally:
            started.close()


def context(
    started: Browser, size: tuple[int, int] = WIDE, scheme: str = "light", *, script: bool = True
) -> BrowserContext:
    """A window of its own, in Berlin."""
    return started.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
        timezone_id="Europe/Berlin",
        locale="en-GB",
        java_script_enabled=script,
        reduced_motion="reduce",
    )


def log_in(page: Page, url: str) -> None:
    """Log in as the first user."""
    page.goto(f"{url}/login")
    page.get_by_label("Name", exact=True).fill(NAME)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def enter(page: Page, link: str) -> None:
    """Open the printed link, and become the first user."""
    page.goto(link)
    page.get_by_label("Name", exact=True).fill(NAME)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The same password again").fill(PASSWORD)
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def make_connection(page: Page, api_url: str, name: str = "shop-eu") -> None:
    """From the first page to the metadata of a new connection, its key tested on the way."""
    page.get_by_role("link", name="Create the first connection").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Earliest day to copy", exact=True).fill("2024-01-31")
    page.get_by_label("App API key", exact=True).fill(TOKEN)
    page.get_by_text("requests per second, another address of the API").click()
    page.get_by_label("API address").fill(api_url)
    page.get_by_role("button", name="Test it first").click()
    expect(page.get_by_text(f"The key works: it may read all {len(TABLES)} tables.")).to_be_visible(timeout=SLOW)
    page.get_by_role("button", name="Create the connection").click()
    expect(page.get_by_role("heading", name=f"{len(TABLES)} tables")).to_be_visible(timeout=SLOW)


def make_task(page: Page, file: Path, name: str = "shop-to-duckdb") -> None:
    """From the metadata to a task that copies every table, on a schedule."""
    page.get_by_role("link", name="Choose tables for a task").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Kind", exact=True).select_option(label="DuckDB")
    page.get_by_label("Addresses", exact=True).fill(f"duckdb:///{file}")
    page.get_by_role("button", name="Check that it can be written").click()
    expect(page.get_by_text("copy.duckdb can be written.")).to_be_visible(timeout=SLOW)
    page.get_by_label("Every so often").check()
    expect(page.get_by_text("It runs next at these times")).to_be_visible()
    page.get_by_role("button", name="Create the task").click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()


def run_task(page: Page, watch: Callable[[Page], None]) -> str:
    """Let the task run, watch it while it goes on, and wait for its proof; the address of the run."""
    page.get_by_role("button", name="Run now").first.click()
    expect(page.get_by_role("progressbar").first).to_be_visible(timeout=SLOW)
    watch(page)
    expect(page.get_by_role("link", name="Proof")).to_be_visible(timeout=SLOW)
    return page.url


def furnish(page: Page, url: str, folder: Path) -> str:
    """Something on every other page too, and a run that is refused, since nobody answers; the address of that run."""
    page.goto(f"{url}/gateways")
    page.get_by_label("Name", exact=True).fill("vienna")
    page.get_by_role("button", name="Make it, and show its code").click()
    expect(page.get_by_text("Start the gateway vienna with this code")).to_be_visible()
    page.goto(f"{url}/channels")
    page.get_by_label("Name", exact=True).fill("team")
    page.get_by_label("Address", exact=True).fill("json://127.0.0.1:9/hook")
    page.get_by_role("button", name="Make the channel").click()
    page.goto(f"{url}/users")
    page.get_by_label("Name", exact=True).fill("vera@example.com")
    page.get_by_role("button", name="Make an invitation link").click()
    expect(page.get_by_text("Send this link to vera@example.com")).to_be_visible()
    page.goto(f"{url}/account")
    page.get_by_label("What will use it").fill("prometheus")
    page.get_by_role("button", name="Make a token").click()
    expect(page.get_by_text("This is the token; it is shown this once.")).to_be_visible()
    page.goto(f"{url}/new-connection")
    page.get_by_label("Name", exact=True).fill("away")
    page.get_by_label("Earliest day to copy", exact=True).fill("2024-01-31")
    page.get_by_label("App API key", exact=True).fill(TOKEN)
    page.get_by_text("requests per second, another address of the API").click()
    page.get_by_label("API address").fill("http://127.0.0.1:9")
    page.get_by_label("Open metadata").uncheck()
    page.get_by_role("button", name="Create the connection").click()
    page.get_by_role("link", name="New task").click()
    page.get_by_label("Name", exact=True).fill("away-to-duckdb")
    page.get_by_label("Addresses", exact=True).fill(f"duckdb:///{folder / 'away.duckdb'}")
    page.get_by_label("Retries").fill("0")
    page.get_by_role("button", name="Create the task").click()
    page.get_by_role("button", name="Run now").first.click()
    expect(page.get_by_role("button", name="Retry")).to_be_visible(timeout=SLOW)
    return page.url.removeprefix(url)
