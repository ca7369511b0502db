"""The options of a run: what one setting is, and every group of settings, each declared once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from cio_replicate.config.table_options import FULL_EVERY_DAYS, RECENT_DAYS, PeopleRefresh

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

# What is said of one setting: its option, its label, what it means; every face derives from this.


WORKSPACE, COPY = "Where the data comes from", "Where the copy goes"
AGAIN, CHANGES, COLUMNS = "What later runs read again", "How changes reach the copy", "What the columns hold"


@dataclass(frozen=True, slots=True)
class Setting:
    """What is said of a field of a group of settings, in its annotation.

    `option` is how the command line calls it, `label` how a form does, `shown` stands for the value in a help text, and
    `choices` are the only values that there are.
    """

    option: str
    label: str
    about: str
    shown: str = ""
    group: str = WORKSPACE
    choices: tuple[str, ...] = ()


Kind = Literal["text", "number", "whole number", "yes or no", "texts", "group"]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a group of settings, as a form or a document shows it. `default` is None where it must be given."""

    name: str
    setting: Setting
    kind: Kind
    required: bool
    default: Any


def fields_of(group: type) -> Iterator[Field]:
    """The fields of a dataclass of settings that are declared with a `Setting`, in their order."""
    hints = get_type_hints(group, include_extras=True)
    for one in fields(group):
        hint = hints[one.name]
        setting = next((extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Setting)), None)
        if setting is not None:
            default = one.default_factory() if one.default_factory is not MISSING else one.default
            required = default is MISSING
            yield Field(one.name, setting, _kind(hint.__origin__), required, None if required else default)


def gathered(kind: type[T], *groups: DataclassInstance, **more: object) -> T:
    """A dataclass of settings with the fields that the groups have, and with `more`."""
    names = {one.name for one in fields(kind)}
    found = {one.name: getattr(group, one.name) for group in groups for one in fields(group) if one.name in names}
    return kind(**{**found, **more})


def _kind(hint: Any) -> Kind:  # noqa: ANN401 - a type
    if get_origin(hint) in (Union, UnionType):
        hint = next(one for one in get_args(hint) if one is not type(None))
    kinds: dict[Any, Kind] = {str: "text", float: "number", int: "whole number", bool: "yes or no"}
    if get_origin(hint) is list:
        return "texts"
    return kinds.get(hint, "group")


StartDate = Annotated[
    str,
    Setting(
        "--start-date",
        "Start date",
        "The earliest day to replicate, such as 2024-01-31; tables that know no time ignore it.",
        shown="DATE",
    ),
]
Region = Annotated[
    str,
    Setting(
        "--region",
        "Region",
        "Where the workspace lives; auto asks both regions which one knows the token.",
        shown="us|eu|auto",
        choices=("auto", "us", "eu"),
    ),
]
ApiUrl = Annotated[
    str | None,
    Setting(
        "--api-url",
        "API address",
        "Another address than Customer.io's own, such as the simulator's; --region is then not used.",
        shown="URL",
    ),
]
MaxRps = Annotated[
    float,
    Setting(
        "--max-rps",
        "Requests per second",
        "Requests per second at most. The API gives 10 to the whole workspace: fewer leave room for others.",
        shown="NUMBER",
    ),
]
BudgetShare = Annotated[
    str,
    Setting(
        "--budget-share",
        "Share of the budget",
        "The share of --max-rps that this may take, such as 50%; the rest stays for other programs.",
        shown="PERCENT",
    ),
]
Only = Annotated[
    str | None,
    Setting(
        "--tables",
        "Tables",
        "Only these tables, by name; `cio-replicate tables` lists them.",
        shown="A,B",
    ),
]
Exclude = Annotated[
    str | None,
    Setting(
        "--exclude",
        "All tables but",
        "All tables but these; not with --tables.",
        shown="A,B",
    ),
]
Customers = Annotated[
    str,
    Setting(
        "--customers",
        "People",
        "Read everybody on every run, or list everybody and ask only for those who are new or whom the "
        "activity log names; then everybody all the same every --full-every days.",
        shown="full|changes",
        group=AGAIN,
        choices=("full", "changes"),
    ),
]
RecentDays = Annotated[
    int,
    Setting(
        "--recent-days",
        "Days of recent messages",
        "Messages created within so many days are read on every run; older ones when they get 30, 60, 90 and "
        "180 days old, so that late opens and conversions arrive.",
        shown="DAYS",
        group=AGAIN,
    ),
]
FullEvery = Annotated[
    int,
    Setting(
        "--full-every",
        "Days between whole reads",
        "Read the whole activity log, and with --customers changes everybody, at least so often.",
        shown="DAYS",
        group=AGAIN,
    ),
]
AccessTokenFrom = Annotated[
    str | None,
    Setting(
        "--access-token-from",
        "Access token",
        "Where the access token is kept: env:NAME, file:/path or keyring:service/user; if not given, "
        "env:CIO_ACCESS_TOKEN.",
        shown="REFERENCE",
    ),
]
_TO = Setting(
    "--to",
    "Destinations",
    "Where the copy is, such as duckdb:///file.duckdb or postgresql://user@host/database; `cio-replicate "
    "destinations` lists all kinds. Given several times, one read fills them all.",
    shown="URL",
    group=COPY,
)
To = Annotated[list[str], _TO]
MaybeTo = Annotated[list[str] | None, _TO]
Dataset = Annotated[
    str,
    Setting(
        "--dataset",
        "Dataset",
        "The schema, or folder, that holds the tables.",
        shown="NAME",
        group=COPY,
    ),
]
StateDir = Annotated[
    Path | None,
    Setting(
        "--state-dir",
        "State folder",
        "Where landed pages and the record of runs are kept; a folder of your own user if not given.",
        shown="DIR",
        group=COPY,
    ),
]
Modes = Annotated[
    list[str] | None,
    Setting(
        "--mode",
        "Change mode",
        "apply, the usual one: insert, update, delete. full: replaced by each run. changes: as apply, and "
        "each change is a row in TABLE__changes. history: each version of a row is kept.",
        shown="[TABLE=]MODE",
        group=CHANGES,
    ),
]
DeleteWays = Annotated[
    list[str] | None,
    Setting(
        "--deletes",
        "Deleted rows",
        "What becomes of a row that is gone at the source: marked in _cio_deleted_at, or removed.",
        shown="[TABLE=]soft|hard",
        group=CHANGES,
    ),
]
SchemaChanges = Annotated[
    list[str] | None,
    Setting(
        "--schema-changes",
        "Unknown fields",
        "What a field does that is not known: it becomes a column, fails its table, or is left out and counted.",
        shown="[TABLE=]evolve|freeze|ignore",
        group=CHANGES,
    ),
]
Erase = Annotated[
    bool,
    Setting(
        "--erase",
        "Erase people who are gone",
        "Blank what may be personal of people who are deleted at the source, in all rows of the copy about "
        "them, and record it in _cio_erasures.",
        group=CHANGES,
    ),
]
ColumnTexts = Annotated[
    list[str] | None,
    Setting(
        "--columns",
        "Columns",
        "include, exclude, hash, mask or rename columns before anything is written, such as "
        "customers:exclude=devices,attributes.ssn or messages:rename=created:sent_at; * means all tables.",
        shown="TABLE:ACTION=NAMES",
        group=COLUMNS,
    ),
]
Salt = Annotated[
    str | None,
    Setting(
        "--salt",
        "Secret for hashes",
        "Where the secret is kept that hashes are made with: env:NAME, file:/path or keyring:service/user.",
        shown="REFERENCE",
        group=COLUMNS,
    ),
]
TablePrefix = Annotated[
    str,
    Setting(
        "--table-prefix",
        "Table prefix",
        "Begins each table's name.",
        shown="TEXT",
        group=COLUMNS,
    ),
]
ColumnPrefix = Annotated[
    str,
    Setting(
        "--column-prefix",
        "Column prefix",
        "Begins each column's name.",
        shown="TEXT",
        group=COLUMNS,
    ),
]
ColumnCase = Annotated[
    str,
    Setting(
        "--column-case",
        "Letters of names",
        "The letters of the names of tables and columns.",
        shown="as-is|lower|upper",
        group=COLUMNS,
        choices=("as-is", "lower", "upper"),
    ),
]
KeepLanded = Annotated[
    bool,
    Setting(
        "--keep-landed",
        "Keep the pages that were read",
        "Keep the pages that were read, so that `load` can fill another destination without a request.",
        group=COPY,
    ),
]


@dataclass(frozen=True, kw_only=True)
class AccessOptions:
    """How the workspace is reached, as the user wrote it."""

    region: Region = "auto"
    api_url: ApiUrl = None
    access_token_from: AccessTokenFrom = None
    max_rps: MaxRps = 10.0
    budget_share: BudgetShare = "100%"


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """Which tables, as the user wrote it."""

    tables: Only = None
    exclude: Exclude = None


@dataclass(frozen=True, kw_only=True)
class SourceOptions(TableOptions, AccessOptions):
    """What is to be read, as the user wrote it."""


@dataclass(frozen=True, kw_only=True)
class StartDateOptions:
    """From when on."""

    start_date: StartDate


@dataclass(frozen=True, kw_only=True)
class RereadOptions:
    """What later runs read again, as the user wrote it."""

    customers: Customers = PeopleRefresh.FULL.value
    recent_days: RecentDays = RECENT_DAYS
    full_every: FullEvery = FULL_EVERY_DAYS


@dataclass(frozen=True, kw_only=True)
class ColumnOptions:
    """What the columns of a copy hold and are called, as the user wrote it."""

    columns: ColumnTexts = None
    salt: Salt = None
    table_prefix: TablePrefix = ""
    column_prefix: ColumnPrefix = ""
    column_case: ColumnCase = "as-is"


@dataclass(frozen=True, kw_only=True)
class WriteModeOptions(ColumnOptions):
    """How the copy takes changes in, as the user wrote it."""

    mode: Modes = None
    deletes: DeleteWays = None
    schema_changes: SchemaChanges = None


@dataclass(frozen=True, kw_only=True)
class CopyOptions(WriteModeOptions):
    """As that, where a copy is filled: also what becomes of people who are gone, as the user wrote it."""

    erase: Erase = False


@dataclass(frozen=True, kw_only=True)
class DatasetOptions:
    """In which dataset the copy is."""

    dataset: Dataset = "customerio"


@dataclass(frozen=True, kw_only=True)
class StateOptions(DatasetOptions):
    """In which dataset the copy is, and where this machine keeps its own record of it."""

    state_dir: StateDir = None


@dataclass(frozen=True, kw_only=True)
class DestinationOptions(StateOptions):
    """Where the copy is."""

    to: To


@dataclass(frozen=True, kw_only=True)
class OptionalDestinationOptions(StateOptions):
    """Where the copy is, if there is one."""

    to: MaybeTo = None
