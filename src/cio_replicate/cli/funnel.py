"""What a user asks a copy first: how far the messages of each campaign got, as a query and as a chart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table as Grid
from rich.text import Text

QUERY = """\
SELECT campaigns.name            AS campaign,
       count(metrics__sent)      AS sent,
       count(metrics__delivered) AS delivered,
       count(metrics__opened)    AS opened,
       count(metrics__clicked)   AS clicked
FROM customerio.messages
JOIN customerio.campaigns ON campaigns.id = messages.campaign_id
GROUP BY campaigns.id, campaigns.name
ORDER BY sent DESC
LIMIT 8"""

STAGES = ("clicked", "opened", "delivered", "sent")
BLOCKS, LETTERS = "█▓▒░", "#=-."
STYLES = ("bright_cyan", "cyan", "blue", "dim")
WIDTH = 28


@dataclass(frozen=True, slots=True)
class Campaign:
    """One campaign's messages, by how far they got."""

    name: str
    sent: int
    delivered: int
    opened: int
    clicked: int


def campaigns(rows: Iterable[Sequence[Any]]) -> list[Campaign]:
    """The rows of the query's answer."""
    return [Campaign(str(row[0]), *map(int, row[1:5])) for row in rows]


def bar(one: Campaign, most: int, width: int = WIDTH) -> list[int]:
    """The lengths of a bar's pieces, in the order of `STAGES`: each stage lies on top of the one before it.

    A campaign that sent `most` fills the width; a stage that anything reached is at least visible when there is room.
    """
    reached, lengths, before = 0, [], 0
    for stage in STAGES:
        count = min(getattr(one, stage), one.sent)
        reached = max(reached, round(count / most * width) if most else 0, min(1, count) if not before else 0)
        reached = min(reached, width)
        lengths.append(reached - before)
        before = reached
    return lengths


def chart(every: Sequence[Campaign], *, unicode: bool) -> Grid:
    """The campaigns, each with its bar and its shares."""
    marks = BLOCKS if unicode else LETTERS
    most = max((one.sent for one in every), default=0)
    grid = Grid(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column("campaign", no_wrap=True, overflow="ellipsis", max_width=20)
    grid.add_column(_legend(marks), no_wrap=True, min_width=WIDTH)
    for name in ("sent", "deliv.", "open", "click"):
        grid.add_column(name, justify="right", no_wrap=True)
    for one in every:
        text = Text()
        for length, mark, style in zip(bar(one, most), marks, STYLES, strict=True):
            text.append(mark * length, style)
        shares = (share(count, one.sent) for count in (one.delivered, one.opened, one.clicked))
        grid.add_row(Text(one.name), text, f"{one.sent:,}", *shares)
    return grid


def share(part: int, whole: int) -> str:
    """A part as a percentage."""
    return f"{part / whole:.0%}" if whole else ""


def _legend(marks: str) -> Text:
    legend = Text()
    for stage, mark, style in zip(STAGES, marks, STYLES, strict=True):
        legend.append(mark, style)
        legend.append(f"{stage} ", "not bold dim")
    return legend
