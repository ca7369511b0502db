"""The options of a run: what one setting is, and every group of settings, each declared once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from cio_replicate.base.text import worded
from cio_replicate.config.table_options import FULL_EVERY_DAYS, RECENT_DAYS, PeopleRefresh

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


@dataclass(frozen=True, slots=True)
class Setting:
    """The words for a setting: a form shows `label` and `about`, a help text `about` and `shown` for the value.

    `choices` are the only values that there are. `option` is the setting's name on the command line, and `group` the
    panel of the help text; both come from the place in the table unless given.
    """

    label: str
    about: str
    shown: str = ""
    choices: tuple[str, ...] = ()
    option: str = ""
    group: str = ""


REREAD = "What later runs read again"

_GROUPS: dict[str, dict[str, Setting]] = {
    "Where the data comes from": {
        "start_date": Setting(
            "Start date",
            "The earliest day to replicate, such as 2024-01-31; tables that know no time ignore it.",
            "DATE",
        ),
        "region": Setting(
            "Region",
            "Where the workspace lives; auto asks both regions which one knows the token.",
            "us|eu|auto",
            ("auto", "us", "eu"),
        ),
        "api_url": Setting(
            "API address",
            "Another address than Customer.io's own, such as the simulator's; --region is then not used.",
            "URL",
        ),
        "access_token_from": Setting(
            "Access token",
            "Where the access token is kept: env:NAME, file:/path or keyring:service/user; if not given, "
            "env:CIO_ACCESS_TOKEN.",
            "REFERENCE",
        ),
        "max_rps": Setting(
            "Requests per second",
            "Requests per second at most. The API gives 10 to the whole workspace: fewer leave room for others.",
            "NUMBER",
        ),
        "budget_share": Setting(
            "Share of the budget",
            "The share of --max-rps that this may take, such as 50%; the rest stays for other programs.",
            "PERCENT",
        ),
        "tables": Setting("Tables", "Only these tables, by name; `cio-replicate tables` lists them.", "A,B"),
        "exclude": Setting("All tables but", "All tables but these; not with --tables.", "A,B"),
        "gateway": Setting(
            "Data gateway",
            "Runs this connection's tasks inside a private network: the name of a gateway; without one the console's "
            "own machine runs them.",
            "NAME",
        ),
    },
    REREAD: {
        "customers": Setting(
            "People",
            "Read everybody on every run, or list everybody and ask only for those who are new or whom the activity "
            "log names; then everybody all the same every --full-every days.",
            choices=("full", "changes"),
        ),
        "recent_days": Setting(
            "Days of recent messages",
            "Messages created within so many days are read on every run; older ones when they get 30, 60, 90 and 180 "
            "days old, so that late opens and conversions arrive.",
            "DAYS",
        ),
        "full_every": Setting(
            "Days between whole reads",
            "Read the whole activity log, and with --customers changes everybody, at least so often.",
            "DAYS",
        ),
    },
    "Where the copy goes": {
        "to": Setting(
            "Destinations",
            "Where the copy is, such as duckdb:///file.duckdb or postgresql://user@host/database; `cio-replicate "
            "destinations` lists all kinds. Given several times, one read fills them all.",
            "URL",
        ),
        "dataset": Setting("Dataset", "The schema, or folder, that holds the tables.", "NAME"),
        "state_dir": Setting(
            "State folder",
            "Where landed pages and the record of runs are kept; a folder of your own user if not given.",
            "DIR",
        ),
        "keep_landed": Setting(
            "Keep the pages that were read",
            "Keep the pages that were read, so that `load` can fill another destination without a request.",
        ),
    },
    "How changes reach the copy": {
        "mode": Setting(
            "Change mode",
            "apply, the usual one: insert, update, delete. full: replaced by each run. changes: as apply, and each "
            "change is a row in TABLE__changes. history: each version of a row is kept.",
            "[TABLE=]MODE",
        ),
        "deletes": Setting(
            "Deleted rows",
            "What becomes of a row that is gone at the source: marked in _cio_deleted_at, or removed.",
            "[TABLE=]soft|hard",
        ),
        "schema_changes": Setting(
            "Unknown fields",
            "What a field does that is not known: it becomes a column, fails its table, or is left out and counted.",
            "[TABLE=]evolve|freeze|ignore",
        ),
        "erase": Setting(
            "Erase people who are gone",
            "Blank what may be personal of people who are deleted at the source, in all rows of the copy about them, "
            "and record it in _cio_erasures.",
        ),
    },
    "What the columns hold": {
        "columns": Setting(
            "Columns",
            "include, exclude, hash, mask or rename columns before anything is written, such as "
            "customers:exclude=devices,attributes.ssn or messages:rename=created:sent_at; * means all tables.",
            "TABLE:ACTION=NAMES",
        ),
        "salt": Setting(
            "Secret for hashes",
            "Where the secret is kept that hashes are made with: env:NAME, file:/path or keyring:service/user.",
            "REFERENCE",
        ),
        "table_prefix": Setting("Table prefix", "Begins each table's name.", "TEXT"),
        "column_prefix": Setting("Column prefix", "Begins each column's name.", "TEXT"),
        "column_case": Setting(
            "Letters of names", "The letters of the names of tables and columns.", choices=("as-is", "lower", "upper")
        ),
    },
    "What is replicated": {"connection": Setting("Connection", "The connection that is read.", "NAME")},
    "When it runs": {
        "cron": Setting(
            "Cron",
            "When to run, as minute, hour, day of month, month, day of week: `0 3 * * mon-fri` is at 3 on workdays.",
            "'M H D M W'",
        ),
        "every": Setting("Interval", "Run every so often, such as 15m, 6h or 1d; not with --cron.", "15m|6h|1d"),
        "zone": Setting("Time zone", "The time zone that the schedule's hours are in, such as Europe/Berlin.", "ZONE"),
        "begin": Setting("First day", "Not before this moment, such as 2026-01-31T06:00.", "DATE"),
        "end": Setting("Last day", "Not after this moment.", "DATE"),
        "missed": Setting(
            "Missed runs",
            "What becomes of times at which nothing could run, as the machine was off: one run for all of them, or "
            "none.",
            choices=("once", "skip"),
        ),
        "after": Setting("After another task", "Run whenever this task has ended well.", "TASK"),
        "paused": Setting("Paused", "Not run until it is resumed."),
    },
    "When something goes wrong": {
        "retries": Setting("Retries", "How often a failed run is tried again; wrong settings are not.", "NUMBER"),
        "retry_pause": Setting(
            "Pause before a retry",
            "Seconds before the first retry; each further one waits twice as long, a day at most.",
            "SECONDS",
        ),
        "notify": Setting(
            "Notifications",
            "Channels that are told of failures, recoveries, short tables and new columns; may be given several times.",
            "CHANNEL",
        ),
    },
    "Where notifications go": {
        "url": Setting(
            "Address",
            "Where the address of the channel is kept, since it holds a secret: env:NAME, file:/path, "
            "keyring:service/user or stored:NAME. It is written as Apprise does: slack://…, mailto://…, "
            "jsons://host/path.",
            "REFERENCE",
        ),
        "events": Setting(
            "Events",
            "What is told: failure, recovery, short (a table lacks rows), schema (new columns); all if not given.",
            choices=("failure", "recovery", "short", "schema"),
            option="--event",
        ),
    },
}

#: Every setting, by the name of its field in a group of settings and of its key in a file.
SETTINGS: dict[str, Setting] = {
    name: replace(
        one, shown=one.shown or "|".join(one.choices), option=one.option or f"--{name.replace('_', '-')}", group=group
    )
    for group, settings in _GROUPS.items()
    for name, one in settings.items()
}

#: The options by which sentences name settings, and what single commands have besides.
OPTIONS = {name: one.option for name, one in SETTINGS.items()} | {
    "everything": "--all",
    "first": "--from",
    "full_refresh": "--full-refresh",
    "staged": "--from-landing",
    "until": "--until",
}


def as_options(text: str) -> str:
    """A sentence that names settings, with their options."""
    return worded(text, OPTIONS)


Kind = Literal["text", "number", "whole number", "yes or no", "texts"]
_KINDS: dict[Any, Kind] = {str: "text", float: "number", int: "whole number", bool: "yes or no"}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a group of settings, as a form or a document shows it. `default` is None where it must be given."""

    name: str
    setting: Setting
    kind: Kind
    required: bool
    default: Any


def fields_of(group: type) -> Iterator[Field]:
    """Yield the fields of a dataclass of settings that are settings, in their order."""
    hints = get_type_hints(group)
    for one in fields(group):
        if one.name in SETTINGS:
            default = one.default_factory() if one.default_factory is not MISSING else one.default
            required = default is MISSING
            kind = _kind(hints[one.name])
            yield Field(one.name, SETTINGS[one.name], kind, required, None if required else default)


def gathered(kind: type[T], *groups: DataclassInstance, **more: object) -> T:
    """Return settings of a kind with the fields that the groups have, and with `more`."""
    names = {one.name for one in fields(kind)}
    found = {one.name: getattr(group, one.name) for group in groups for one in fields(group) if one.name in names}
    return kind(**{**found, **more})


def _kind(hint: Any) -> Kind:  # noqa: ANN401 - a type
    hint = next((one for one in get_args(hint) if NoneType in get_args(hint) and one is not NoneType), hint)
    return "texts" if get_origin(hint) is list else _KINDS[hint]


@dataclass(frozen=True, kw_only=True)
class AccessOptions:
    """How the workspace is reached, as the user wrote it."""

    region: str = "auto"
    api_url: str | None = None
    access_token_from: str | None = None
    max_rps: float = 10.0
    budget_share: str = "100%"


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """Which tables, as the user wrote it."""

    tables: str | None = None
    exclude: str | None = None


@dataclass(frozen=True, kw_only=True)
class SourceOptions(TableOptions, AccessOptions):
    """What is to be read, as the user wrote it."""


@dataclass(frozen=True, kw_only=True)
class StartDateOptions:
    """From when on."""

    start_date: str


@dataclass(frozen=True, kw_only=True)
class RereadOptions:
    """What later runs read again, as the user wrote it."""

    customers: str = PeopleRefresh.FULL.value
    recent_days: int = RECENT_DAYS
    full_every: int = FULL_EVERY_DAYS


@dataclass(frozen=True, kw_only=True)
class ColumnOptions:
    """What the columns of a copy hold and are called, as the user wrote it."""

    columns: list[str] | None = None
    salt: str | None = None
    table_prefix: str = ""
    column_prefix: str = ""
    column_case: str = "as-is"


@dataclass(frozen=True, kw_only=True)
class WriteModeOptions(ColumnOptions):
    """How the copy takes changes in, as the user wrote it."""

    mode: list[str] | None = None
    deletes: list[str] | None = None
    schema_changes: list[str] | None = None


@dataclass(frozen=True, kw_only=True)
class CopyOptions(WriteModeOptions):
    """As that, where a copy is filled: also what becomes of people who are gone, as the user wrote it."""

    erase: bool = False


@dataclass(frozen=True, kw_only=True)
class DatasetOptions:
    """In which dataset the copy is."""

    dataset: str = "customerio"


@dataclass(frozen=True, kw_only=True)
class StateOptions(DatasetOptions):
    """In which dataset the copy is, and where this machine keeps its own record of it."""

    state_dir: Path | None = None


@dataclass(frozen=True, kw_only=True)
class DestinationOptions(StateOptions):
    """Where the copy is."""

    to: list[str]


@dataclass(frozen=True, kw_only=True)
class OptionalDestinationOptions(StateOptions):
    """Where the copy is, if there is one."""

    to: list[str] | None = None
