"""Parse a destination address (`--to`), its options and secrets, and name the cause and the fix when it is wrong."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import quote, unquote

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.base.text import Secret
from cio_replicate.config.destination_kind import (
    S3,
    Address,
    DestinationKind,
    OptionSyntax,
    UrlOption,
    UrlStyle,
    UrlUser,
    options_of,
)
from cio_replicate.config.secret_references import FORMS, caution, conventional, is_reference, resolved
from cio_replicate.sinks.kinds import KINDS, schemes
from cio_replicate.sinks.lake.file_kinds import DUCKDB

# What stands behind the question mark of an address: options checked, defaults filled in, secrets found.


_BUCKET_OPTION = re.compile(r"s3://[A-Za-z0-9][A-Za-z0-9._-]+(/[^\s?#]*)?")
_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#@]*)?")


def _decoded(text: str) -> str:
    """`text` without percent codes. Raises InvalidSettings when what comes out is no printable text."""
    try:
        plain = unquote(text, errors="strict")
    except UnicodeError:
        plain = "\0"
    if not plain.isprintable():
        raise InvalidSettings(
            "The destination holds characters that cannot be printed, or percent codes that mean none.",
            "Write a percent sign as %25, and leave out line breaks and the like.",
        )
    return plain


def _with_options(
    address: Address, known: Sequence[UrlOption], query: str, environment: Mapping[str, str] | None
) -> Address:
    """The address with the options of a query, among those that are known: values with the defaults, and secrets.

    Raises InvalidSettings, never showing a value. Without an environment secrets are not looked for: what may be found
    where the run is counts as found.
    """
    kind, by_name = address.kind, {option.name: option for option in known}
    written = _written(kind, by_name, query)
    values = {option.name: option.default for option in known if option.default is not None}
    values |= {name: _checked(kind, by_name[name], text) for name, text in written.items() if not by_name[name].secret}
    places = {name: reference for name, reference in written.items() if by_name[name].secret}
    if environment is None:
        present = {*values, *places, *(option.name for option in known if option.references)}
        _insist_on_company(kind, by_name, written, present)
        _insist(kind, known, present)
        return replace(address, options=values)
    secrets = {name: resolved(place, environment, f"the option {name}") for name, place in places.items()}
    usual = _usual(known, written, environment)
    _insist_on_company(kind, by_name, written, {*values, *secrets, *usual})
    while alone := [name for name in usual if not {*values, *secrets, *usual}.issuperset(by_name[name].goes_with)]:
        del usual[alone[0]]  # half a key that happens to be there is no reason to stop
    places |= {name: place for name, (place, _) in usual.items()}
    secrets |= {name: secret for name, (_, secret) in usual.items()}
    _insist(kind, known, {*values, *secrets})
    said = (caution(place, environment) for place in places.values())
    cautions = tuple(sentence for sentence in said if sentence)
    return replace(address, options=values, secrets=secrets, cautions=cautions)


def _written(kind: DestinationKind, by_name: Mapping[str, UrlOption], query: str) -> dict[str, str]:
    pieces = [piece.partition("=") for piece in query.split("&") if piece]
    for name, _, value in pieces:  # first of all: what follows a plain secret may be its second half
        if name in by_name and by_name[name].secret and not is_reference(_decoded(value)):
            raise InvalidSettings(
                f"The option {name} of {kind.scheme} takes no secret itself, but the place where it is kept.",
                f"Write {name}= and {FORMS}; what stands on a command line can be read by others.",
            )
    written: dict[str, str] = {}
    for name, equals, value in pieces:
        if name not in by_name:
            raise _unknown_option(kind, name if equals else "", [*by_name])
        if name in written:
            raise InvalidSettings(f"The option {name} of {kind.scheme} is given twice.", "Give it once.")
        written[name] = _decoded(value)
        if not written[name]:
            raise InvalidSettings(
                f"The option {name} of {kind.scheme} is empty.", "Give it a value, or leave it out for the default."
            )
    return written


def _unknown_option(kind: DestinationKind, name: str, known: Sequence[str]) -> InvalidSettings:
    near = get_close_matches(name, known, n=1)
    shown = f"no option {name!r}" if near else "not one of the options that stand there"  # which may be a password
    return InvalidSettings(
        f"The destination {kind.scheme} has {shown}.",
        (f"Write {near[0]} if that is meant; it takes" if near else "It takes")
        + (f": {', '.join(known)}." if known else " no option here."),
    )


def _checked(kind: DestinationKind, option: UrlOption, text: str) -> str:
    """The value of an option that is no secret, as an address holds it."""
    wanted = ""
    in_a_bucket = option.form is OptionSyntax.BUCKET or (option.form is OptionSyntax.FOLDER and "://" in text)
    if option.choices and text not in option.choices:
        wanted = f"one of: {', '.join(option.choices)}"
    elif option.form is OptionSyntax.NUMBER and not re.fullmatch(r"[1-9][0-9]{0,5}", text):
        wanted = "a whole number above 0"
    elif option.form is OptionSyntax.URL and not _URL.fullmatch(text):
        wanted = "an address such as http://127.0.0.1:9000, without credentials"
    elif in_a_bucket and not _BUCKET_OPTION.fullmatch(text):
        wanted = "a bucket and a prefix, as s3://bucket/prefix"
    if wanted:  # the value itself may be a secret in the wrong place
        raise InvalidSettings(f"The value of the option {option.name} of {kind.scheme} cannot be.", f"Write {wanted}.")
    if option.form is OptionSyntax.URL or in_a_bucket:
        return text.rstrip("/")
    if option.form is OptionSyntax.FOLDER:
        return os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111 - Path's own fails for an unknown user
    return text


def _usual(
    known: Sequence[UrlOption], written: Mapping[str, str], environment: Mapping[str, str]
) -> dict[str, tuple[str, Secret]]:
    """The secrets that were not written but are where they usually are: where that is, and what."""
    logins = {option.login for option in known if option.secret and option.name in written}
    found: dict[str, tuple[str, Secret]] = {}
    for option in known:
        for place in option.references if option.login not in logins else ():
            secret = conventional(place, environment, f"the option {option.name}")
            if secret is not None:
                found[option.name] = (place, secret)
                break
    return found


def _insist_on_company(
    kind: DestinationKind, by_name: Mapping[str, UrlOption], written: Mapping[str, str], present: Collection[str]
) -> None:
    pairs = ((name, other) for name in written for other in by_name[name].goes_with)
    for name, other in pairs:
        if other not in present:
            raise InvalidSettings(f"The option {name} of {kind.scheme} needs {other} too.", _fix(by_name[other]))


def _insist(kind: DestinationKind, known: Sequence[UrlOption], present: Collection[str]) -> None:
    for option in known:
        if option.needed and option.name not in present:
            raise InvalidSettings(f"The destination {kind.scheme} needs the option {option.name}.", _fix(option))
    if kind.one_of and not any(name in present for name in kind.one_of):
        first = next(option for option in known if option.name == kind.one_of[0])
        raise InvalidSettings(
            f"The destination {kind.scheme} needs one of the options {', '.join(kind.one_of)}.", _fix(first)
        )


def _fix(option: UrlOption) -> str:
    if not option.secret:
        return f"Write {option.name}=… behind the question mark: {option.about[0].lower()}{option.about[1:]}"
    variables = [reference.partition(":")[2] for reference in option.references]
    return (f"Export {variables[0]}, or write" if variables else "Write") + f" {option.name}= and {FORMS}."


_SERVER = re.compile(r"(?:\[(?P<six>[^\[\]]*)\]|(?P<name>[^:\[\]]*))(?::(?P<port>.*))?", re.DOTALL)
_NOT_IN_A_HOST = re.compile(r"[\s/@,;\\?#\[\]:]")
_FILE = re.compile(r"/(?!:memory:)[^\0]*[^\0/]")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")


def described(text: str) -> Address:
    """The destination without its secrets, for who only keeps the text: they may be found on another machine alone."""
    return destination(text, None)


def is_relative(text: str) -> bool:
    """Whether a text that names a destination names a file or a folder of whatever folder it is read in."""
    kind, rest = _on_this_machine(text)
    return kind is not None and not _decoded(rest).startswith(("/", "~"))


def made_absolute(text: str, folder: Path) -> str:
    """A text that names a destination, its file or folder in that folder if it is relative."""
    kind, rest = _on_this_machine(text)
    if kind is None or not is_relative(text):
        return text
    place = str(folder) if _is_verbatim(kind) else quote(str(folder))
    return f"{text.partition('://')[0]}:///{place}/{rest}"


def _on_this_machine(text: str) -> tuple[DestinationKind | None, str]:
    """The kind and the path of a destination whose place is a file or a folder of this machine."""
    scheme, _, rest = text.partition("://")
    kind = schemes().get(scheme.lower())
    if kind is None or kind.place not in (UrlStyle.FILE, UrlStyle.FOLDER):
        return None, ""
    return kind, rest.removeprefix("/")


def _is_verbatim(kind: DestinationKind) -> bool:
    return kind.place is UrlStyle.FILE and not kind.options


def destination(text: str, environment: Mapping[str, str] | None = os.environ) -> Address:
    """The destination that a text names, with the secrets that are found in an environment.

    Raises InvalidSettings for every text that names none; it never shows a secret that the text may hold.
    """
    scheme, separator, rest = text.partition("://")
    name, plus, storage = scheme.lower().partition("+")
    kind = schemes().get(name) if separator else None
    if kind is None:
        raise _unknown(text, name)
    if plus and (kind.place is not UrlStyle.FOLDER or storage != S3):
        others = f", or {kind.scheme}+s3://BUCKET/PREFIX for S3" if kind.place is UrlStyle.FOLDER else ""
        raise InvalidSettings(
            f"The destination {kind.scheme} knows no storage of the name behind the plus sign.",
            f"Write it as {kind.form}{others}.",
        )
    if _is_verbatim(kind):
        return _file(kind, text, rest)
    place, _, query = rest.partition("?")
    address = _placed(kind, text, place, in_a_bucket=bool(plus))
    return _with_options(address, options_of(kind, storage), query, environment)


def duckdb_file(file: Path) -> Address:
    """The address of the DuckDB file at an absolute path."""
    return Address(DUCKDB, str(file))


def _unknown(text: str, scheme: str) -> InvalidSettings:
    near = get_close_matches(scheme, schemes(), n=1)
    return InvalidSettings(
        f"The destination {_shown(text)!r} is not known.",
        f"Write {schemes()[near[0]].form} if that is meant, or duckdb:///file.duckdb (a DuckDB file)."
        if near
        else "Write it as duckdb:///file.duckdb (a DuckDB file), or begin it with one of: "
        f"{', '.join(kind.scheme for kind in KINDS)}.",
    )


def _shown(text: str) -> str:
    """`text` where nothing in it can be a secret; else what it begins with, as far as that is a scheme."""
    if not re.search(r"[@?;=]|://[^/]*:", text):
        return text
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]{0,29}://", text)
    return f"{scheme[0] if scheme else ''}***"


def _placed(kind: DestinationKind, text: str, place: str, *, in_a_bucket: bool) -> Address:
    _refuse_password(kind, place)
    if kind.place is UrlStyle.FILE:
        return _file(kind, text, _decoded(place))
    if kind.place is UrlStyle.FOLDER:
        return _bucket(kind, place) if in_a_bucket else _folder(kind, place)
    return _named(kind, place) if kind.place is UrlStyle.NAME else _server(kind, place)


def _refuse_password(kind: DestinationKind, place: str) -> None:
    """A password before the host may hold anything, so everything before the last @ is taken for the login."""
    login, at, _ = place.rpartition("@")
    if kind.place in (UrlStyle.FILE, UrlStyle.FOLDER) and place.startswith("/"):
        return  # a path on this machine may hold an @
    if at and (kind.user is UrlUser.NONE or re.search(r"[:/]|%3a|%2f", login, re.IGNORECASE)):
        secret = next((option.name for option in options_of(kind, S3) if option.secret), "")
        raise InvalidSettings(
            f"The destination {kind.scheme} holds credentials before its {kind.host_is}.",
            f"Leave them out and write behind a question mark where they are kept: {secret}= and {FORMS}.",
        )


# --- places on this machine, and buckets -----------------------------------------------------------------------------


def _file(kind: DestinationKind, text: str, place: str) -> Address:
    if not _FILE.fullmatch(place):
        ending = kind.example.partition("?")[0].rpartition(".")[2]
        raise InvalidSettings(
            f"The destination {_shown(text)!r} names no file.",
            f"Write {kind.scheme}:///file.{ending} for one in this folder, {kind.scheme}:////path/file.{ending} "
            "for another.",
        )
    file = _absolute(place[1:])
    if os.path.isdir(file):  # noqa: PTH112 - Path's own fails where one may not look
        raise InvalidSettings(f"The destination {file} is a folder.", "Name a file in it.")
    return Address(kind, str(file))


def _folder(kind: DestinationKind, place: str) -> Address:
    path = _decoded(place)
    if not path.startswith("/") or path == "/":
        raise InvalidSettings(
            f"The destination {kind.scheme} names no folder.",
            f"Write {kind.scheme}:///folder for one in this folder, {kind.scheme}:////path/folder for another, "
            f"{kind.scheme}+s3://bucket/prefix for S3.",
        )
    folder = _absolute(path[1:])
    if os.path.isfile(folder):  # noqa: PTH113 - Path's own fails where one may not look
        raise InvalidSettings(f"The destination {folder} is a file.", "Name a folder.")
    return Address(kind, str(folder))


def _bucket(kind: DestinationKind, place: str) -> Address:
    bucket, _, prefix = (_decoded(part) for part in place.partition("/"))
    if not _BUCKET.fullmatch(bucket):
        raise InvalidSettings(
            f"The destination {kind.scheme}+s3 names no bucket.", f"Write it as {kind.scheme}+s3://bucket/prefix."
        )
    return Address(kind, prefix.strip("/"), bucket)


def _absolute(path: str) -> Path:
    return Path(os.path.expanduser(path)).absolute()  # noqa: PTH111 - Path's own fails for an unknown user


# --- servers and services --------------------------------------------------------------------------------------------


def _named(kind: DestinationKind, place: str) -> Address:
    name = _decoded(place.removesuffix("/"))
    if not name or "/" in name:
        raise InvalidSettings(f"The destination {kind.scheme} names no {kind.path_is}.", f"Write it as {kind.form}.")
    return Address(kind, name)


def _server(kind: DestinationKind, place: str) -> Address:
    login, _, rest = place.rpartition("@")
    server, _, path = rest.partition("/")
    user = _decoded(login) or kind.user_default
    host, port = _host_and_port(kind, server)
    name = path.removesuffix("/")
    missing = "user" if kind.user is UrlUser.NEEDED and not user else ""
    missing = kind.host_is if not host else missing
    if not name or "/" in name:
        missing = missing or (kind.path_is if name or kind.path_default is None else "")
    if missing:
        raise InvalidSettings(f"The destination {kind.scheme} names no {missing}.", f"Write it as {kind.form}.")
    return Address(kind, _decoded(name) or kind.path_default or "", host, port, user)


def _host_and_port(kind: DestinationKind, server: str) -> tuple[str, int | None]:
    """The host in lower case, since its name is the same in upper case, and the port, which may be the usual one."""
    parts = _SERVER.fullmatch(server)
    host = _decoded((parts["six"] or parts["name"] or "") if parts else "[")
    if parts and parts["six"] is not None:
        sound = _is_ipv6(host)
    else:
        sound = not _NOT_IN_A_HOST.search(host) or (kind.socket and host.startswith("/"))
    if not parts or not sound:
        raise InvalidSettings(
            f"The destination {kind.scheme} has a {kind.host_is} that cannot be.",
            f"Write it as {kind.form}, an IPv6 address in brackets.",
        )
    if parts["port"] is None:
        return _lowered(kind, host), kind.port
    if kind.port is None:
        raise InvalidSettings(f"The destination {kind.scheme} takes no port.", f"Write it as {kind.form}.")
    if not re.fullmatch(r"[0-9]{1,5}", parts["port"]) or not 1 <= int(parts["port"]) <= 65535:
        raise InvalidSettings(  # what stands there may be a password whose @ is missing
            f"The destination {kind.scheme} has a port that is no number from 1 to 65535.",
            f"Write it as {kind.form}, usually with port {kind.port}.",
        )
    return _lowered(kind, host), int(parts["port"])


def _lowered(kind: DestinationKind, host: str) -> str:
    return host.lower() if kind.host_is in ("host", "account", "region") and not host.startswith("/") else host


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.IPv6Address(host) is not None
    except ValueError:
        return False
