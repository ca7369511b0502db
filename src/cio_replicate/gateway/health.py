"""How a gateway is: written by itself every few seconds, read by whoever wants to know whether it lives."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

HEALTH_FILE = "health.json"
EVERY = 5.0  # seconds between two notes
FRESH = 60.0  # seconds after which a note is too old to say anything
AWAY = 120.0  # seconds without a word of the console after which the gateway counts as cut off


class GatewayHealth(msgspec.Struct, kw_only=True):
    """A note. Moments are unix seconds; `heard_at` is when the console last answered."""

    at: int
    pid: int
    version: str
    console: str
    gateway: str
    member: str
    started_at: int
    heard_at: int | None = None
    running: int = 0
    untold: int = 0  # ends of runs that the console does not have yet
    trouble: str = ""


def note(folder: Path, health: GatewayHealth) -> None:
    """Write a note. A full disk is no reason to stop a run."""
    with suppress(OSError):
        new = folder / f"{HEALTH_FILE}.new"
        new.write_bytes(msgspec.json.encode(health))
        new.replace(folder / HEALTH_FILE)


def noted(folder: Path) -> GatewayHealth | None:
    """The last note, if there is one that can be read."""
    try:
        return msgspec.json.decode((folder / HEALTH_FILE).read_bytes(), type=GatewayHealth)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def trouble_of(health: GatewayHealth | None, now: float, *, running: bool) -> str | None:
    """What is wrong, in a sentence; None when the gateway runs and the console answers it."""
    if not running or health is None:
        return "The gateway is not running."
    if now - health.at > FRESH:
        return f"The gateway has not noted anything for {now - health.at:.0f} seconds."
    if health.trouble:
        return health.trouble
    if health.heard_at is None:
        return "The console has not answered yet."
    if now - health.heard_at > AWAY:
        return f"The console has not answered for {now - health.heard_at:.0f} seconds."
    return None
