"""The options that several commands share, each declared once, in the groups in which commands take them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import typer

from cio_replicate.settings.again import FULL_EVERY_DAYS, RECENT_DAYS, PeopleMode

WORKSPACE, COPY, OUTPUT = "Where the data comes from", "Where the copy goes", "What is shown"
AGAIN, CHANGES, COLUMNS = "What later runs read again", "How changes reach the copy", "What the columns hold"

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

AccessTokenFrom = Annotated[
    str | None,
    typer.Option(
        "--access-token-from",
        metavar="REFERENCE",
        help="Where the access token is kept: env:NAME, file:/path or keyring:service/user; if not given, "
        "env:CIO_ACCESS_TOKEN.",
        rich_help_panel=WORKSPACE,
    ),
]

_TO = typer.Option(
    "--to",
    metavar="URL",
    help="Where the copy is, such as duckdb:///file.duckdb or postgresql://user@host/database; `cio-replicate "
    "destinations` lists all kinds. Given several times, one read fills them all.",
    rich_help_panel=COPY,
)
To = Annotated[list[str], _TO]
MaybeTo = Annotated[list[str] | None, _TO]
Dataset = Annotated[
    str,
    typer.Option(
        "--dataset", metavar="NAME", help="The schema, or folder, that holds the tables.", rich_help_panel=COPY
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


Modes = Annotated[
    list[str] | None,
    typer.Option(
        "--mode",
        metavar="[TABLE=]MODE",
        help="apply, the usual one: insert, update, delete. full: replaced by each run. changes: as apply, and each "
        "change is a row in TABLE__changes. history: each version of a row is kept.",
        rich_help_panel=CHANGES,
    ),
]
DeleteWays = Annotated[
    list[str] | None,
    typer.Option(
        "--deletes",
        metavar="[TABLE=]soft|hard",
        help="What becomes of a row that is gone at the source: marked in _cio_deleted_at, or removed.",
        rich_help_panel=CHANGES,
    ),
]
SchemaChanges = Annotated[
    list[str] | None,
    typer.Option(
        "--schema-changes",
        metavar="[TABLE=]evolve|freeze|ignore",
        help="What a field does that is not known: it becomes a column, fails its table, or is left out and counted.",
        rich_help_panel=CHANGES,
    ),
]
Erase = Annotated[
    bool,
    typer.Option(
        "--erase",
        metavar="",
        help="Blank what may be personal of people who are deleted at the source, in all rows of the copy about them, "
        "and record it in _cio_erasures.",
        rich_help_panel=CHANGES,
    ),
]
ColumnTexts = Annotated[
    list[str] | None,
    typer.Option(
        "--columns",
        metavar="TABLE:ACTION=NAMES",
        help="include, exclude, hash, mask or rename columns before anything is written, such as "
        "customers:exclude=devices,attributes.ssn or messages:rename=created:sent_at; * means all tables.",
        rich_help_panel=COLUMNS,
    ),
]
Salt = Annotated[
    str | None,
    typer.Option(
        "--salt",
        metavar="REFERENCE",
        help="Where the secret is kept that hashes are made with: env:NAME, file:/path or keyring:service/user.",
        rich_help_panel=COLUMNS,
    ),
]
TablePrefix = Annotated[
    str, typer.Option("--table-prefix", metavar="TEXT", help="Begins each table's name.", rich_help_panel=COLUMNS)
]
ColumnPrefix = Annotated[
    str, typer.Option("--column-prefix", metavar="TEXT", help="Begins each column's name.", rich_help_panel=COLUMNS)
]
ColumnCase = Annotated[
    str,
    typer.Option(
        "--column-case",
        metavar="as-is|lower|upper",
        help="The letters of the names of tables and columns.",
        rich_help_panel=COLUMNS,
    ),
]
KeepLanded = Annotated[
    bool,
    typer.Option(
        "--keep-landed",
        metavar="",
        help="Keep the pages that were read, so that `load` can fill another destination without a request.",
        rich_help_panel=COPY,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How the workspace is reached, as the user wrote it."""

    region: Region = "auto"
    api_url: ApiUrl = None
    access_token_from: AccessTokenFrom = None
    max_rps: MaxRps = 10.0
    budget_share: BudgetShare = "100%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(Access):
    """What is to be read, as the user wrote it."""

    tables: Only = None
    exclude: Exclude = None

    @classmethod
    def of(cls, access: Access, names: Iterable[str]) -> Source:
        """These tables, by that access."""
        return cls(tables=",".join(names), **{one.name: getattr(access, one.name) for one in fields(Access)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """From when on."""

    start_date: StartDate


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """What later runs read again, as the user wrote it."""

    customers: Customers = PeopleMode.FULL.value
    recent_days: RecentDays = RECENT_DAYS
    full_every: FullEvery = FULL_EVERY_DAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What the columns of a copy hold and are called, as the user wrote it."""

    columns: ColumnTexts = None
    salt: Salt = None
    table_prefix: TablePrefix = ""
    column_prefix: ColumnPrefix = ""
    column_case: ColumnCase = "as-is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaping(Looks):
    """How the copy takes changes in, as the user wrote it."""

    mode: Modes = None
    deletes: DeleteWays = None
    schema_changes: SchemaChanges = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling(Shaping):
    """As that, where a copy is filled: also what becomes of people who are gone, as the user wrote it."""

    erase: Erase = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """In which dataset the copy is, and where this machine keeps its own record of it."""

    dataset: Dataset = "customerio"
    state_dir: StateDir = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(Place):
    """Where the copy is."""

    to: To


@dataclass(frozen=True, slots=True, kw_only=True)
class MaybeCopy(Place):
    """Where the copy is, if there is one."""

    to: MaybeTo = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AsJson:
    """Whether a program reads what is shown."""

    json: Json = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(AsJson):
    """What is shown."""

    quiet: Quiet = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be copied, from where, to where and how, as the user wrote it."""

    since: Since
    copy: Place
    source: Source
    shaping: Shaping
    again: Again
