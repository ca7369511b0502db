"""The destinations as a page: `python -m cio_replicate.cli.describe_destinations > docs/destinations.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence

from cio_replicate.cli.written_page import write_or_check
from cio_replicate.config.destination_kind import S3_OPTIONS, DestinationKind, UrlOption, UrlStyle, UrlUser
from cio_replicate.sinks.kinds import KINDS

COMMAND = "python -m cio_replicate.cli.describe_destinations"
NONE = "–"
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


def page(kinds: Sequence[DestinationKind] = KINDS) -> str:
    """The whole page, in Markdown."""
    return "\n".join(_lines(kinds)) + "\n"


def section(kind: DestinationKind) -> Iterator[str]:
    """All there is to say about one kind."""
    yield from (f"## {kind.title}", "", kind.about, "", "```", f"--to '{kind.example}'", "```", "")
    facts = {
        "Form": " or ".join(f"`{form}`" for form in forms(kind)),
        "Install": f"`{_install(kind)}`" if kind.extra else "nothing more",
        "Known to work": PROVED if kind.proved else CONFIGURED,
    }
    yield " · ".join(f"**{label}** {value}" for label, value in facts.items())
    yield ""
    yield from (*(f"- {sentence}" for sentence in (*facts_of(kind), *kind.notes)), "")
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


def facts_of(kind: DestinationKind) -> Iterator[str]:
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


def _lines(kinds: Sequence[DestinationKind]) -> Iterator[str]:
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
        yield from section(kind)


def _options(options: Iterable[UrlOption]) -> Iterator[str]:
    yield from _grid(
        ("Option", "Is", "When it is not written"),
        ((f"`{option.name}`", _what(option), _without(option)) for option in options),
    )


def _what(option: UrlOption) -> str:
    return (
        option.about
        + (f" One of {_codes(option.choices)}." if option.choices else "")
        + (f" Goes with {_codes(option.goes_with)}." if option.goes_with else "")
        + (" Takes the place where it is kept." if option.secret else "")
    )


def _without(option: UrlOption) -> str:
    if option.references:
        return f"{_codes(option.references)}{', or refused' if option.needed else ''}"
    if option.needed:
        return "refused"
    return f"`{option.default}`" if option.default is not None else NONE


def _install(kind: DestinationKind) -> str:
    return f"pip install 'cio-replicate[{kind.extra}]'"


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for cells in (header, ["---"] * len(header), *rows):
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page to standard output; with `--check FILE`, return 1 when that file is not the page."""
    return write_or_check(page(), "the table of destinations", COMMAND, arguments)


if __name__ == "__main__":
    sys.exit(main())
