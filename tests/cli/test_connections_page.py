"""The page about connections: what it tells to type works, in the order in which it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from cio_replicate.console import settings_files
from cio_replicate.source.catalog import TABLES
from tests.cli.running import TOKEN, run

TEXT = (Path(__file__).parents[2] / "docs" / "connections.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECRETS = {"$APP_API_KEY": TOKEN, "$WAREHOUSE_PASSWORD": "hunter2", "$TEAM_URL": "json://127.0.0.1:9/hunter2"}


def test_everything_on_the_page_can_be_typed(folder: Path, url: str) -> None:
    """All commands, one after another, with the file that the page shows; none is refused, and no secret is shown."""
    (toml,) = [body for language, body in FENCE.findall(TEXT) if language == "toml"]
    (folder / "cio-replicate.toml").write_text(toml)
    lines = [line for language, body in FENCE.findall(TEXT) if not language for line in body.splitlines()]
    shown = ""
    for line in lines:
        words = shlex.split(line, comments=True)
        said = ""
        if words[0] == "printf":
            said, words = SECRETS[words[2]], words[4:]
        words, into = _parted(words)
        if words[1:3] == ["connection", "create"]:
            words += ["--api-url", url, "--max-rps", "500"]
        ended = run(folder, *words[1:], token=None, said=said)
        assert (ended.code, ended.err) == (0, ""), line
        shown += ended.out
        for name in into:
            (folder / name).write_text(ended.out)
    assert len(lines) > 25
    assert "hunter2" not in shown
    assert TOKEN not in shown
    for part in (
        f"{len(TABLES)} tables can be read",
        "url: stored:channel/team → env:TEAM_URL",
        "Nothing to do",
        "delete task often",
    ):
        assert part in shown
    assert set(settings_files.read(folder / "cio-replicate.toml", 2e9).tasks) == {"nightly", "reports"}


def _parted(words: list[str]) -> tuple[list[str], list[str]]:
    """A command, and the file that its output goes to."""
    at = words.index(">") if ">" in words else len(words)
    return words[:at], words[at + 1 :]
