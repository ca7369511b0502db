"""The options that several commands share, each declared once, and what they say when put together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cio_replicate.settings.again import FULL_EVERY_DAYS, RECENT_DAYS, PeopleMode

WORKSPACE, COPY, OUTPUT = "Where the data comes from", "Where the copy goes", "What is shown"
AGAIN = "What later runs read again"

StartDate = Annotated[
    str,
    typer.Option(
        "--start-date",
        metavar="DATE",
        help="The earliest day to replicate, such as 2024-01-31; tables that know no time ignore it.",
        rich_help_panel=WORKSPACE,
    ),
]
Region = Annotated[
    str,
    typer.Option(
        "--region",
        metavar="us|eu|auto",
        help="Where the workspace lives; auto asks both regions which one knows the token.",
        rich_help_panel=WORKSPACE,
    ),
]
ApiUrl = Annotated[
    str | None,
    typer.Option(
        "--api-url",
        metavar="URL",
        help="Another address than Customer.io's own, such as the simulator's; --region is then not used.",
        rich_help_panel=WORKSPACE,
    ),
]
MaxRps = Annotated[
    float,
    typer.Option(
        "--max-rps",
        metavar="NUMBER",
        help="Requests per second at most. The API gives 10 to the whole workspace: fewer leave room for others.",
        rich_help_panel=WORKSPACE,
    ),
]
BudgetShare = Annotated[
    str,
    typer.Option(
        "--budget-share",
        metavar="PERCENT",
        help="The share of --max-rps that this may take, such as 50%; the rest stays for other programs.",
        rich_help_panel=WORKSPACE,
    ),
]
Only = Annotated[
    str | None,
    typer.Option(
        "--tables",
        metavar="A,B",
        help="Only these tables, by name; `cio-replicate tables` lists them.",
        rich_help_panel=WORKSPACE,
    ),
]
Exclude = Annotated[
    str | None,
    typer.Option(
        "--exclude", metavar="A,B", help="All tables but these; not with --tables.", rich_help_panel=WORKSPACE
    ),
]

Customers = Annotated[
    str,
    typer.Option(
        "--customers",
        metavar="full|changes",
        help="Read everybody on every run, or list everybody and ask only for those who are new or whom the activity "
        "log names; then everybody all the same every --full-every days.",
        rich_help_panel=AGAIN,
    ),
]
RecentDays = Annotated[
    int,
    typer.Option(
        "--recent-days",
        metavar="DAYS",
        help="Messages created within so many days are read on every run; older ones when they get 30, 60, 90 and 180 "
        "days old, so that late opens and conversions arrive.",
        rich_help_panel=AGAIN,
    ),
]
FullEvery = Annotated[
    int,
    typer.Option(
        "--full-every",
        metavar="DAYS",
        help="Read the whole activity log, and with --customers changes everybody, at least so often.",
        rich_help_panel=AGAIN,
    ),
]

_TO = typer.Option(
    "--to",
    metavar="duckdb:///FILE",
    help="The DuckDB file of the copy: duckdb:///file.duckdb in this folder, duckdb:////path/file.duckdb elsewhere.",
    rich_help_panel=COPY,
)
To = Annotated[str, _TO]
MaybeTo = Annotated[str | None, _TO]
Dataset = Annotated[
    str,
    typer.Option(
        "--dataset", metavar="NAME", help="The schema in the file that holds the tables.", rich_help_panel=COPY
    ),
]
StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        metavar="DIR",
        help="Where landed pages and the record of runs are kept; a folder of your own user if not given.",
        rich_help_panel=COPY,
    ),
]

Json = Annotated[
    bool,
    typer.Option(
        "--json",
        metavar="",
        help="Write one JSON document to standard output and everything else to standard error.",
        rich_help_panel=OUTPUT,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", metavar="", help="Show only problems.", rich_help_panel=OUTPUT)]


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be read, as the user wrote it."""

    start_date: str | None
    region: str
    api_url: str | None
    max_rps: float
    tables: str | None
    exclude: str | None
    budget_share: str = "100%"


@dataclass(frozen=True, slots=True)
class Again:
    """What later runs read again, as the user wrote it."""

    customers: str = PeopleMode.FULL.value
    recent_days: int = RECENT_DAYS
    full_every: int = FULL_EVERY_DAYS
    full_refresh: str | None = None


@dataclass(frozen=True, slots=True)
class Copy:
    """Where the copy is, as the user wrote it."""

    to: str | None
    dataset: str
    state_dir: Path | None


@dataclass(frozen=True, slots=True)
class Output:
    """What is shown."""

    json: bool
    quiet: bool = False
