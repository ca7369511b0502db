"""What a destination is: the words for a row of the table of destinations, and an address in one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

from cio_replicate.base.text import Secret

S3 = "s3"  # `parquet+s3://`: what stands behind the plus


class SinkFamily(StrEnum):
    """What writes to a kind of destination."""

    DUCKDB = "duckdb"  # one transaction of our own
    WAREHOUSE = "warehouse"  # SQL, through dlt
    PARQUET = "parquet"  # plain files, one or a few per table
    DELTA = "delta"  # Delta tables
    ICEBERG = "iceberg"  # Iceberg tables


class UrlStyle(StrEnum):
    """What an address of a kind points at, which says how its text is read."""

    FILE = "file"  # scheme:///file
    FOLDER = "folder"  # scheme:///folder, or scheme+s3://bucket/prefix
    SERVER = "server"  # scheme://user@host:port/database
    NAME = "name"  # scheme://database


class UrlUser(StrEnum):
    """Whether an address of a kind names a user."""

    NONE = "none"
    OPTIONAL = "optional"
    NEEDED = "needed"


class OptionSyntax(StrEnum):
    """What the value of an option looks like."""

    TEXT = "text"
    NUMBER = "number"
    URL = "url"  # http:// or https://, without credentials
    BUCKET = "bucket"  # s3://bucket/prefix
    FOLDER = "folder"  # a folder of this machine, made absolute, or s3://bucket/prefix


@dataclass(frozen=True, slots=True)
class UrlOption:
    """What may stand behind the question mark of an address.

    A secret is written as a reference to where it is kept, never as its value. `references` are where it is looked
    for when nothing is written, the first that holds something wins; they are not looked at when another secret of
    the same `login` is written, so that no two ways to log in are mixed.
    """

    name: str
    about: str  # a sentence
    needed: bool = False
    default: str | None = None
    form: OptionSyntax = OptionSyntax.TEXT
    choices: tuple[str, ...] = ()
    identifies: bool = False  # whether another value means another place
    secret: bool = False
    references: tuple[str, ...] = ()
    login: str = "login"
    goes_with: tuple[str, ...] = ()  # options that must be there when this one is


@dataclass(frozen=True, slots=True)
class OpenHint:
    """How to look at the copy: lines in a language."""

    language: str  # as behind the fence of a code block
    code: str


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class DestinationKind:
    """One row: what `--to` looks like, what it needs, and what is known of it."""

    scheme: str  # what `--to` begins with, before `://`
    title: str
    engine: SinkFamily = SinkFamily.WAREHOUSE
    form: str  # the whole form of `--to`
    place: UrlStyle = UrlStyle.SERVER
    about: str  # a sentence
    example: str  # a `--to` with every option that is needed
    look: tuple[OpenHint, ...]
    extra: str | None = None  # `pip install cio-replicate[extra]`; None: nothing more is needed
    proved: bool = False  # whether our own tests write to a real one; else it is configured as dlt documents it
    aliases: tuple[str, ...] = ()  # other schemes that mean the same
    host_is: str = "host"  # what stands before the first slash
    path_is: str = "database"  # what stands behind it
    path_default: str | None = None  # None: it must be written
    user: UrlUser = UrlUser.NONE
    user_default: str = ""
    port: int | None = None  # the usual one; None: an address has no port
    socket: bool = False  # whether the host may be the folder of a Unix socket, its slashes written %2F
    options: tuple[UrlOption, ...] = ()
    one_of: tuple[str, ...] = ()  # options of which at least one must be there, or have a reference that holds one
    notes: tuple[str, ...] = ()  # sentences: what is special

    def __repr__(self) -> str:
        return f"Kind({self.scheme})"

    def option(self, name: str) -> UrlOption | None:
        """The option of that name."""
        return next((option for option in self.options if option.name == name), None)


@dataclass(frozen=True, slots=True)
class Address:
    """A destination as `--to` names it. `str()` says which place it is, without any secret.

    `options` holds the defaults of those that were not written; the ones without a default are absent. `secrets`
    holds the values that were found. For files, `host` is a bucket, or empty when they are on this machine.
    """

    kind: DestinationKind
    path: str  # what stands behind the host: a database, or a folder or bucket and prefix for files
    host: str = ""
    port: int | None = None
    user: str = ""
    options: Mapping[str, str] = field(default_factory=dict, hash=False)
    secrets: Mapping[str, Secret] = field(default_factory=dict, compare=False)
    cautions: tuple[str, ...] = field(default=(), compare=False)  # sentences to show: a key that others may read

    def __str__(self) -> str:
        """The place: the same for every way to write it, whoever logs in and however; it names the state folder."""
        return self._written(user="", options=[name for name in self._changed() if self._option(name).identifies])

    @property
    def shown(self) -> str:
        """The whole address for people, which can be given again: user and options too, but no secret."""
        return self._written(user=self.user, options=list(self._changed()))

    @property
    def file(self) -> Path:
        """The file or the folder, when it is on this machine."""
        return Path(self.path)

    def _written(self, user: str, options: list[str]) -> str:
        tail = "&".join(f"{name}={_quoted(self.options[name], '&')}" for name in sorted(options))
        return self._place(user) + (f"?{tail}" if tail else "")

    def _place(self, user: str) -> str:
        alone = self.kind.place is UrlStyle.FILE and not self.kind.options  # nothing can stand behind the path
        scheme, path = self.kind.scheme, self.path if alone else _quoted(self.path, "?")
        if self.kind.place is UrlStyle.NAME:
            return f"{scheme}://{path}"
        if self.kind.place is not UrlStyle.SERVER:
            return f"{scheme}+{S3}://{self.host}/{path}".rstrip("/") if self.host else f"{scheme}:///{path}"
        host = f"[{_quoted(self.host, ']?/')}]" if ":" in self.host else _quoted(self.host, "/@:?")
        port = f":{self.port}" if self.port not in (None, self.kind.port) else ""
        login = f"{_quoted(user, '/@:?')}@" if user and user != self.kind.user_default else ""
        return f"{scheme}://{login}{host}{port}/{_quoted(self.path, '/?')}"

    def _changed(self) -> list[str]:
        return [name for name, value in self.options.items() if value != self._option(name).default]

    def _option(self, name: str) -> UrlOption:
        known = (option for option in (*self.kind.options, *S3_OPTIONS) if option.name == name)
        return next(known, UrlOption(name, ""))


def _quoted(text: str, also: str) -> str:
    """`text` with what would be read as something else written in percent; letters of all languages stay."""
    return "".join(
        quote(character, safe="") if character in "% " + also or not character.isprintable() else character
        for character in text
    )


def secret(
    name: str, about: str, *references: str, needed: bool = False, login: str = "login", goes_with: tuple[str, ...] = ()
) -> UrlOption:
    """The option for a secret, which is looked for in these places."""
    return UrlOption(name, about, needed, secret=True, references=references, login=login, goes_with=goes_with)


def password(*references: str, needed: bool = False, about: str = "The user's password.") -> UrlOption:
    """The option for a password, which is looked for in these places."""
    return secret("password", about, *references, needed=needed)


_ID, _KEY = ("access_key_id",), ("secret_access_key",)
_NO_ID = "The id of the access key; without one, the profile or the role of the machine is used."
_TOKEN = "The token that belongs to a temporary access key."  # noqa: S105
S3_OPTIONS = (
    UrlOption(
        "endpoint",
        "Another server than Amazon's that speaks the S3 protocol, such as `http://127.0.0.1:9000`.",
        form=OptionSyntax.URL,
        identifies=True,
    ),
    UrlOption("region", "The region of the bucket; without it, the one that your AWS settings name."),
    secret("access_key_id", _NO_ID, "env:AWS_ACCESS_KEY_ID", login=S3, goes_with=_KEY),
    secret(
        "secret_access_key", "The secret part of the access key.", "env:AWS_SECRET_ACCESS_KEY", login=S3, goes_with=_ID
    ),
    secret("session_token", _TOKEN, "env:AWS_SESSION_TOKEN", login=S3, goes_with=_ID),
)


def connect_timeout(seconds: int) -> UrlOption:
    """The option for how long to wait for the server."""
    about = "How many seconds to wait for the server."
    return UrlOption("connect_timeout", about, default=str(seconds), form=OptionSyntax.NUMBER)


def options_of(kind: DestinationKind, storage: str = "") -> tuple[UrlOption, ...]:
    """The options that an address of this kind takes, with files in that storage."""
    return (*kind.options, *S3_OPTIONS) if storage == S3 else kind.options
