"""How numbers, times and states read on a page: English, in the visitor's time zone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from markupsafe import Markup, escape

NONE = "–"
MINUTE, HOUR, DAY = 60, 3_600, 86_400


@dataclass(frozen=True, slots=True)
class StatusLabel:
    """How the state of something is shown: never by its colour alone."""

    word: str
    mark: str
    tone: str  # good, bad, busy, calm, warn


STATES = {
    "queued": StatusLabel("waiting", "◷", "calm"),
    "running": StatusLabel("running", "▶", "busy"),
    "complete": StatusLabel("complete", "✓", "good"),
    "failed": StatusLabel("failed", "✕", "bad"),
    "refused": StatusLabel("refused", "✕", "bad"),
    "interrupted": StatusLabel("interrupted", "!", "warn"),
    "cancelled": StatusLabel("cancelled", "■", "calm"),
    "paused": StatusLabel("paused", "‖", "calm"),
    "waiting": StatusLabel("waiting", "◷", "calm"),
    "asking": StatusLabel("asking", "…", "busy"),
    "reading": StatusLabel("reading", "▶", "busy"),
    "loading": StatusLabel("loading", "▼", "busy"),
    "proved": StatusLabel("proved", "✓", "good"),
    "consistent": StatusLabel("consistent", "✓", "good"),
    "short": StatusLabel("short", "✕", "bad"),
    "unproved": StatusLabel("not proved", "?", "warn"),
    "none": StatusLabel("never run", "○", "calm"),
}


def state(name: str | None) -> StatusLabel:
    """How a state is shown; one that is not known by its own name."""
    return STATES.get(name or "none") or StatusLabel(str(name), "•", "calm")


def zone_of(name: str) -> ZoneInfo:
    """A time zone; UTC when this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def moment(seconds: float | None, zone: str, *, with_seconds: bool = False) -> Markup | str:
    """A moment as `<time>`: 31 January 2026, 14:05."""
    if seconds is None:
        return NONE
    there = datetime.fromtimestamp(seconds, zone_of(zone))
    exact = iso(seconds)
    clock = there.strftime("%H:%M:%S" if with_seconds else "%H:%M")
    text = f"{there.day} {there.strftime('%B %Y')}, {clock}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(exact, f"{exact}, {there.tzname()} shown", text)


def since(seconds: float | None, now: float, zone: str) -> Markup | str:
    """A moment by how long ago it is, or how soon it comes; its `title` has it in full."""
    if seconds is None:
        return NONE
    there = datetime.fromtimestamp(seconds, zone_of(zone))
    exact = iso(seconds)
    full = f"{there.day} {there.strftime('%B %Y')}, {there.strftime('%H:%M')} {there.tzname()}"
    away = now - seconds
    text = "now" if abs(away) < 5 else f"{span(away)} ago" if away > 0 else f"in {span(-away)}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(exact, full, text)


def span(seconds: float | None) -> str:
    """A length of time in its two largest units: 2 h 05 min."""
    if seconds is None:
        return NONE
    whole = round(seconds)
    if whole < MINUTE:
        return f"{seconds:.1f} s" if 0 < seconds < 10 else f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE:02} s" if whole < 10 * MINUTE else f"{whole // MINUTE} min"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE:02} min"
    days, hours = whole // DAY, whole % DAY // HOUR
    return f"{days} d {hours} h" if hours and days < 10 else f"{days} d"


def number(value: float | None) -> str:
    """A number with commas; whole ones without a fraction."""
    if value is None:
        return NONE
    return f"{int(value):,}" if value == int(value) else f"{value:,.1f}"


def round_number(value: float | None) -> str:
    """A number without its fraction."""
    return NONE if value is None else f"{round(value):,}"


def iso(seconds: float) -> str:
    """A moment for a `datetime` attribute."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def hour(seconds: float, zone: str) -> str:
    """The time of day of a moment, to the second."""
    return datetime.fromtimestamp(seconds, zone_of(zone)).strftime("%H:%M:%S")


def percent(share: float | None) -> str:
    """A share from 0 to 1 in percent."""
    return NONE if share is None else f"{100 * share:.0f} %"


def counted(count: int, word: str, many: str = "") -> str:
    """A number and its word, in the right number: 1 table, 2 tables."""
    return f"{count:,} {word if count == 1 else many or word + 's'}"


def codes(text: str) -> Markup:
    """A sentence with what stands in backquotes as code. What is markup already stays as it is."""
    if isinstance(text, Markup):
        return text
    pieces = text.split("`")
    marked = [Markup("<code>{}</code>").format(piece) if odd else escape(piece) for odd, piece in _odd(pieces)]
    return Markup("").join(marked)


def _odd(pieces: list[str]) -> Iterator[tuple[bool, str]]:
    for number, piece in enumerate(pieces):
        yield number % 2 == 1 and number < len(pieces) - 1, piece
