"""Write the pages of this folder that come from the code: `make pages`, or `make pages ARGS=--check`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from cio_replicate.app.settings import IMPATIENT
from cio_replicate.base import errors
from cio_replicate.base.errors import CioReplicateError
from cio_replicate.cli import failure
from cio_replicate.config.destination_kind import S3_OPTIONS, DestinationKind, UrlOption, UrlStyle, UrlUser
from cio_replicate.config.documents import json_schema
from cio_replicate.schema.system_tables import SYSTEM_COLUMNS
from cio_replicate.schema.table import Column, ColumnType, Method, Table
from cio_replicate.sinks.kinds import KINDS
from cio_replicate.source.catalog import TABLES, facts_of
from cio_replicate.source.client import RetryPolicy
from cio_replicate.source.strategies import strategy_class
from cio_replicate.source.stream import MOST_RESTARTS

FOLDER = Path(__file__).parent
COMMAND = "make pages"
NONE = "–"

# --- tables.md -------------------------------------------------------------------------------------------------------

_TYPES = {
    ColumnType.STRING: "text of any length",
    ColumnType.INTEGER: "a whole number of 64 bits",
    ColumnType.NUMBER: "a number in double precision",
    ColumnType.BOOLEAN: "true or false",
    ColumnType.TIMESTAMP: "a moment in UTC; the API sends unix seconds",
    ColumnType.JSON: "an array or an object, its text as received",
}

_METHODS = {
    Method.INCREMENTAL: "the rows whose replication key is not before the start date",
    Method.FULL: "every row that is read",
}


def tables_page(tables: Sequence[Table] = TABLES) -> str:
    """Return docs/tables.md."""
    return "\n".join(_table_lines(tables)) + "\n"


def overview(tables: Iterable[Table]) -> Iterator[str]:
    """One line of a table per table: what it reads, how, and what it holds."""
    yield from _grid(
        ("Table", "Reads", "Method", "Key", "Replication key", "Holds"),
        (
            (
                f"[`{table.name}`](#{table.name})",
                f"`{table.http_method} {table.path}`",
                table.method,
                _codes(table.key),
                _code(table.replication_key),
                table.about,
            )
            for table in tables
        ),
    )


def table_section(table: Table) -> Iterator[str]:
    """All there is to say about one table."""
    facts = {
        "Reads": f"[`{table.http_method} {table.path}`]({table.reference})",
        "Method": table.method,
        "Key": _codes(table.key),
        "Replication key": _code(table.replication_key),
    }
    yield from (f"## `{table.name}`", "", table.about, "")
    yield " · ".join(f"**{label}** {value}" for label, value in facts.items() if value != NONE)
    yield ""
    if sentences := [*table.notes, *facts_of(table)]:
        yield from (*(f"- {sentence}" for sentence in sentences), "")
    yield from _columns(table.columns, table.key)


def _table_lines(tables: Sequence[Table]) -> Iterator[str]:
    by_time = _codes(table.name for table in tables if strategy_class(table).by_time)
    yield from (f"<!-- Written by `{COMMAND}`: change the tables, not this page. -->", "", "# Tables", "")
    yield f"The {len(tables)} tables that can be copied, with every column that Customer.io is known to send."
    yield ""
    yield from overview(tables)
    yield ""
    yield from (
        f"- *{method.capitalize()}* compares {_METHODS[method]} with the copy, and writes those that differ."
        for method in Method
    )
    yield from (
        "- The **key** tells rows apart. The **replication key** is the column whose highest value is remembered.",
        f"- Only {by_time} can be asked for by time; every other list is read whole, whatever its method, unless",
        "  the table says otherwise.",
        "",
        "Unless a table says otherwise, its list comes in one answer, the start date does not apply to it, and a row",
        "that a complete read no longer finds is marked deleted.",
        "",
        "## How values become columns",
        "",
    )
    yield from _grid(("Type", "Holds"), ((kind, _TYPES[kind]) for kind in ColumnType))
    yield from (
        "",
        "- An object with known fields becomes a column per field, its name and the field's joined by two underscores:",
        "  `customer_identifiers__email`.",
        "- A field that is not listed here becomes a new column when it is first sent.",
        "- Any column can be null: the API leaves fields out freely.",
        "- *Personal* columns may tell who a person is. With `--erase` they are blanked once that person is gone, with",
        "  `_cio_extra` and every column that is not listed here: [Erasure](how-it-works.md#erasure).",
        "",
        "## Columns of every table",
        "",
    )
    yield from _columns(SYSTEM_COLUMNS)
    for table in tables:
        yield ""
        yield from table_section(table)


def _columns(columns: Iterable[Column], key: Sequence[str] = ()) -> Iterator[str]:
    yield from _grid(
        ("Column", "Type", "Holds"),
        ((_code(column.name), _kind(column, key), _about(column)) for column in columns),
    )


def _kind(column: Column, key: Sequence[str]) -> str:
    marks = (*(("key",) if column.name in key else ()), *(("personal",) if column.personal else ()))
    return ", ".join((column.type.value, *marks))


def _about(column: Column) -> str:
    in_the_api = ".".join(column.path)
    renamed = "__".join(column.path) != column.name
    return f"{column.about} In the API: `{in_the_api}`." if renamed else column.about


# --- destinations.md -------------------------------------------------------------------------------------------------

PROVED = "tested here against a real one"
CONFIGURED = "configured as dlt documents it; not tested by us"

_INTRO = """\
A destination is where the copy goes: a database, a warehouse, or files in a folder or on S3. `--to` names it by an
address, and `--dataset` names the schema in it that holds the tables, or what comes closest to a schema there.

```
cio-replicate sync --start-date 2024-01-31 --to duckdb:///workspace.duckdb
cio-replicate sync --start-date 2024-01-31 --to 'postgresql://loader@db.internal/analytics?sslmode=require'
```

`cio-replicate check --to …` tells whether the destination can be reached and written. Put an address with a question
mark into quotes, since the shell has its own use for it.

## How an address is written

- `scheme://USER@HOST:PORT/DATABASE?option=value&option=value`. The port may be left out where there is a usual one. An
  IPv6 address stands in brackets.
- A file or folder on this machine stands behind three slashes: `parquet:///lake` is in the working folder,
  `parquet:////data/lake` begins at the root, `parquet:///~/lake` in your home folder.
- A character that would be read as something else is written in percent: `%2F` for a slash in a name, `%3F` for a
  question mark, `%25` for the percent sign.
- The same place is the same destination however its address is written: who logs in, and most options, do not matter.
  What was read and loaded before is found again.

## Where passwords and keys come from

An address holds no password, key or token: what stands on a command line can be read by every user of the machine, and
stays in the shell's history. An option for one takes the place where it is kept:

| Written | Kept in |
| --- | --- |
| `env:NAME` | the environment variable of that name |
| `file:/path` | a file; one line break at its end does not count |
| `env-file:NAME` | a file whose path is in the environment variable of that name |
| `keyring:service/user` | the system's keyring, by `keyring set service user` (extra `keyring`) |

```
cio-replicate sync --start-date 2024-01-31 --to 'postgresql://loader@db.internal/analytics?password=file:/run/secrets/loader'
```

Where there is a usual place, such as `PGPASSWORD`, it is looked at when the option is not written; the tables below
name these places. Once one secret is written, the usual places of those that belong to the same login are not looked
at, so that no two logins are mixed. A password in the address, a secret written out, a variable that is not set, a file
that is not there, and an empty secret are refused before anything is read, and never shown. A file that every user may
read is warned of.

The access token of Customer.io's API can be kept in the same places: `--access-token-from keyring:customer.io/main`.

## Files on S3
"""

_S3 = """\
Parquet files, Delta and Iceberg tables can be on Amazon S3, or on a server that speaks its protocol:
`parquet+s3://BUCKET/PREFIX`. The profile or the role of the machine is used unless there is an access key.
"""


def destinations_page(kinds: Sequence[DestinationKind] = KINDS) -> str:
    """Return docs/destinations.md."""
    return "\n".join(_destination_lines(kinds)) + "\n"


def destination_section(kind: DestinationKind) -> Iterator[str]:
    """All there is to say about one kind."""
    yield from (f"## {kind.title}", "", kind.about, "", "```", f"--to '{kind.example}'", "```", "")
    facts = {
        "Form": " or ".join(f"`{form}`" for form in forms(kind)),
        "Install": f"`{_install(kind)}`" if kind.extra else "nothing more",
        "Known to work": PROVED if kind.proved else CONFIGURED,
    }
    yield " · ".join(f"**{label}** {value}" for label, value in facts.items())
    yield ""
    yield from (*(f"- {sentence}" for sentence in (*address_facts(kind), *kind.notes)), "")
    if kind.options:
        yield from (*_options(kind.options), "")
    yield "To look at the copy:"
    for look in kind.look:
        yield from ("", f"```{look.language}", look.code, "```")


def forms(kind: DestinationKind) -> Iterator[str]:
    """The forms of an address of this kind."""
    yield kind.form
    if kind.place is UrlStyle.FOLDER:
        yield f"{kind.scheme}+s3://BUCKET/PREFIX"


def address_facts(kind: DestinationKind) -> Iterator[str]:
    """What the row says of how an address is read, in sentences."""
    if kind.aliases:
        yield f"{_codes(f'{alias}://' for alias in kind.aliases)} means the same."
    if kind.port is not None:
        yield f"The usual port is {kind.port}."
    if kind.place is UrlStyle.SERVER and kind.path_default is not None:
        yield f"Without a {kind.path_is}, it is `{kind.path_default}`."
    if kind.user is UrlUser.OPTIONAL:
        yield f"Without a user, it is `{kind.user_default}`."
    if kind.one_of:
        yield f"One of {_codes(kind.one_of)} must be given."


def _destination_lines(kinds: Sequence[DestinationKind]) -> Iterator[str]:
    yield from (f"<!-- Written by `{COMMAND}`: change the table of destinations, not this page. -->", "")
    yield from ("# Destinations", "")
    yield f"The {len(kinds)} kinds of place that a copy can be in, and how each is named."
    yield ""
    yield from _grid(
        ("Destination", "`--to`", "Install", "Known to work"),
        (
            (
                f"[{kind.title}](#{_anchor(kind.title)})",
                f"`{kind.form}`",
                f"`{_install(kind)}`" if kind.extra else NONE,
                PROVED if kind.proved else CONFIGURED,
            )
            for kind in kinds
        ),
    )
    yield ""
    yield from (
        f"- *{PROVED.capitalize()}*: the tests of this project write to it, read back and compare.",
        f"- *{CONFIGURED.capitalize()}*: its address and its settings are tested, writing to one is not.",
        "",
        *_INTRO.splitlines(),
        "",
        *_S3.splitlines(),
        "",
    )
    yield from _options(S3_OPTIONS)
    for kind in kinds:
        yield ""
        yield from destination_section(kind)


def _options(options: Iterable[UrlOption]) -> Iterator[str]:
    yield from _grid(
        ("Option", "Is", "When it is not written"),
        ((f"`{option.name}`", _meaning(option), _if_left_out(option)) for option in options),
    )


def _meaning(option: UrlOption) -> str:
    return (
        option.about
        + (f" One of {_codes(option.choices)}." if option.choices else "")
        + (f" Goes with {_codes(option.goes_with)}." if option.goes_with else "")
        + (" Takes the place where it is kept." if option.secret else "")
    )


def _if_left_out(option: UrlOption) -> str:
    if option.references:
        return f"{_codes(option.references)}{', or refused' if option.needed else ''}"
    if option.needed:
        return "refused"
    return f"`{option.default}`" if option.default is not None else NONE


def _install(kind: DestinationKind) -> str:
    return f"pip install 'cio-replicate[{kind.extra}]'"


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


# --- errors.md -------------------------------------------------------------------------------------------------------

PACKAGE = "cio_replicate."

Kind = type[CioReplicateError]
_FIX = "Before anything is kept, the run ends; later, the tables that it concerns fail with exit code 1."
_RETRY = "It is tried again, within bounds; when they are reached, another error of this list says so."
_THEN: dict[Kind, tuple[str, str]] = {  # the first class that an error is of decides
    errors.ChildGoneError: (
        "skip",
        "This part is left out and named in the report; the table goes on and deletes nothing.",
    ),
    errors.CursorRejectedError: ("retry", _RETRY),
    errors.TransientError: ("retry", _RETRY),
    errors.Unavailable: (
        "wait",
        "As for wrong settings; a scheduled run is tried again after a pause, and a gateway goes on by itself.",
    ),
    errors.Refused: ("fix settings", _FIX),
    errors.TableFailed: ("fail table", "The table fails and keeps its position; the others go on."),
    CioReplicateError: ("abort", "The run stops; what is landed and loaded is kept."),
}
_SKIPPED = ("skip", "retry")  # fails nothing


def error_tree(root: Kind = CioReplicateError, depth: int = 0) -> Iterator[tuple[Kind, int]]:
    """Every error class below `root` with its depth, each below the first of its bases."""
    for kind in root.__subclasses__():
        if kind.__module__.startswith(PACKAGE) and kind.__bases__[0] is root:
            yield kind, depth
            yield from error_tree(kind, depth + 1)


def errors_page() -> str:
    """Return docs/errors.md."""
    return "\n".join(_error_lines()) + "\n"


def _error_lines() -> Iterator[str]:
    policy = RetryPolicy()
    yield from (f"<!-- Written by `{COMMAND}`: change the errors, not this page. -->", "", "# Errors", "")
    yield "What can go wrong, what the program does then, and the exit code when nothing worse happens. Each message is"
    yield "one sentence with the cause and one with the fix. A class that stands under another is a kind of it."
    yield from ("", "| Error | What happened | Next | Exit code |", "| --- | --- | --- | --- |")
    for kind, depth in error_tree():
        about = " ".join((kind.__doc__ or "").split()).replace("|", "\\|")
        yield f"| {'↳ ' * depth}`{kind.__name__}` | {about} | {_then(kind)[0]} | {_exit_code(kind)} |"
    yield from ("", "| Next | What the program does |", "| --- | --- |")
    yield from (f"| {name} | {about} |" for name, about in dict(_THEN.values()).items())
    yield from (
        "",
        "## How often a request is tried",
        "",
        (
            f"- {_bounds(policy)}, waiting about {policy.first_wait} seconds, then twice as long each time, up"
            f" to {policy.longest_wait:.0f}. Waiting for other requests of the same run does not count."
            f" `check`, `plan`, `preview` and `verify`: {_bounds(IMPATIENT)}."
        ),
        (
            "- `Retry-After` is honoured, by all requests and not only by the one that was answered so, and a 429 that"
            " has it is tried as often as the time allows. After a 429 fewer requests a second are sent for a while."
        ),
        (
            f"- {policy.attempts_without_header} times when it is answered 429 without `Retry-After`: then a daily"
            " quota is taken to be used up; at once when the answer says so."
        ),
        f"- {policy.attempts_on_shape} times when the answer is not the promised page.",
        f"- {policy.attempts_unreachable} times when nobody has answered yet: then the address is taken to be wrong.",
        f"- A page token that is no longer accepted starts its part of the table again, {MOST_RESTARTS} times.",
        "- A page token that comes twice is asked for once more before it counts.",
        "",
        "## Exit codes",
        "",
        "| Code | Means |",
        "| --- | --- |",
        f"| {failure.COMPLETE} | Every table is complete. |",
        f"| {failure.FAILED} | Some table failed, or the program has a defect. The other tables are loaded. |",
        f"| {failure.REFUSED} | Settings or access are wrong. Nothing was read into the copy. |",
        f"| {failure.INTERRUPTED} | Stopped by Ctrl-C or SIGTERM. What is landed is kept. |",
        f"| {failure.UNREAD} | The program that read standard output, such as `head`, went away. |",
        "",
        f"A defect of the program itself is one line too; with `{failure.DEBUG_VARIABLE}=1` in the environment its",
        "traceback is shown, without the access token.",
    )


def _bounds(policy: RetryPolicy) -> str:
    return f"{policy.attempts} times within {policy.total_seconds:.0f} seconds"


def _then(kind: Kind) -> tuple[str, str]:
    return next(then for one, then in _THEN.items() if issubclass(kind, one))


def _exit_code(kind: Kind) -> int:
    """What the exit code is when this is the worst that happens: what is retried or skipped fails nothing."""
    return failure.COMPLETE if _then(kind)[0] in _SKIPPED else failure.exit_code(kind.__new__(kind))


# --- the other page, and all of them ---------------------------------------------------------------------------------


def schema_page() -> str:
    """Return docs/cio-replicate.schema.json, the JSON Schema of settings in files."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


PAGES: Mapping[str, Callable[[], str]] = {
    "tables.md": tables_page,
    "destinations.md": destinations_page,
    "errors.md": errors_page,
    "cio-replicate.schema.json": schema_page,
}


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """Write every page into `folder`; with `--check`, return 1 when one of them differs, and name it."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Write the pages that come from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; say which pages differ from the code")
    check: bool = parser.parse_args(arguments).check
    late = []
    for name, page in PAGES.items():
        file, text = folder / name, page().encode()
        if file.is_file() and file.read_bytes() == text:
            continue
        late.append(name)
        if not check:
            file.write_bytes(text)
    if late and check:
        sys.stderr.write(f"Not up to date: {', '.join(late)}. Write them with `{COMMAND}`.\n")
    return 1 if late and check else 0


def _grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for cells in (header, ["---"] * len(header), *rows):
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _code(name: str | None) -> str:
    return f"`{name}`" if name else NONE


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    sys.exit(main())
