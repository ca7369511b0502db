"""What stands behind the question mark of `--to`: options checked, defaults filled in, secrets found."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from urllib.parse import unquote

from cio_replicate.base.errors import SettingsError
from cio_replicate.base.text import Secret
from cio_replicate.config.destination_kind import DestinationKind, OptionSyntax, UrlOption
from cio_replicate.config.secret_references import FORMS, caution, conventional, is_reference, resolved

_BUCKET = re.compile(r"s3://[A-Za-z0-9][A-Za-z0-9._-]+(/[^\s?#]*)?")
_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#@]*)?")


@dataclass(frozen=True, slots=True)
class UrlOptions:
    """The options of an address: values with the defaults, secrets, and what to warn of."""

    values: Mapping[str, str]
    secrets: Mapping[str, Secret]
    cautions: tuple[str, ...]


def decoded(text: str) -> str:
    """`text` without percent codes. Raises SettingsError when what comes out is no printable text."""
    try:
        plain = unquote(text, errors="strict")
    except UnicodeError:
        plain = "\0"
    if not plain.isprintable():
        raise SettingsError(
            "The destination holds characters that cannot be printed, or percent codes that mean none.",
            "Write a percent sign as %25, and leave out line breaks and the like.",
        )
    return plain


def taken(
    kind: DestinationKind, known: Sequence[UrlOption], query: str, environment: Mapping[str, str] | None
) -> UrlOptions:
    """The options of a query, among those that are known to the kind. Raises SettingsError, never showing a value.

    Without an environment secrets are not looked for: what may be found where the run is counts as found.
    """
    by_name = {option.name: option for option in known}
    written = _written(kind, by_name, query)
    values = {option.name: option.default for option in known if option.default is not None}
    values |= {name: _checked(kind, by_name[name], text) for name, text in written.items() if not by_name[name].secret}
    places = {name: reference for name, reference in written.items() if by_name[name].secret}
    if environment is None:
        present = {*values, *places, *(option.name for option in known if option.references)}
        _insist_on_company(kind, by_name, written, present)
        _insist(kind, known, present)
        return UrlOptions(values, {}, ())
    secrets = {name: resolved(place, environment, f"the option {name}") for name, place in places.items()}
    usual = _usual(known, written, environment)
    _insist_on_company(kind, by_name, written, {*values, *secrets, *usual})
    while alone := [name for name in usual if not {*values, *secrets, *usual}.issuperset(by_name[name].goes_with)]:
        del usual[alone[0]]  # half a key that happens to be there is no reason to stop
    places |= {name: place for name, (place, _) in usual.items()}
    secrets |= {name: secret for name, (_, secret) in usual.items()}
    _insist(kind, known, {*values, *secrets})
    said = (caution(place, environment) for place in places.values())
    return UrlOptions(values, secrets, tuple(sentence for sentence in said if sentence))


def _written(kind: DestinationKind, by_name: Mapping[str, UrlOption], query: str) -> dict[str, str]:
    pieces = [piece.partition("=") for piece in query.split("&") if piece]
    for name, _, value in pieces:  # first of all: what follows a plain secret may be its second half
        if name in by_name and by_name[name].secret and not is_reference(decoded(value)):
            raise SettingsError(
                f"The option {name} of {kind.scheme} takes no secret itself, but the place where it is kept.",
                f"Write {name}= and {FORMS}; what stands on a command line can be read by others.",
            )
    written: dict[str, str] = {}
    for name, equals, value in pieces:
        if name not in by_name:
            raise _unknown(kind, name if equals else "", [*by_name])
        if name in written:
            raise SettingsError(f"The option {name} of {kind.scheme} is given twice.", "Give it once.")
        written[name] = decoded(value)
        if not written[name]:
            raise SettingsError(
                f"The option {name} of {kind.scheme} is empty.", "Give it a value, or leave it out for the default."
            )
    return written


def _unknown(kind: DestinationKind, name: str, known: Sequence[str]) -> SettingsError:
    near = get_close_matches(name, known, n=1)
    shown = f"no option {name!r}" if near else "not one of the options that stand there"  # which may be a password
    return SettingsError(
        f"The destination {kind.scheme} has {shown}.",
        (f"Write {near[0]} if that is meant; it takes" if near else "It takes")
        + (f": {', '.join(known)}." if known else " no option here."),
    )


def _checked(kind: DestinationKind, option: UrlOption, text: str) -> str:
    """The value of an option that is no secret, as it is kept."""
    wanted = ""
    in_a_bucket = option.form is OptionSyntax.BUCKET or (option.form is OptionSyntax.FOLDER and "://" in text)
    if option.choices and text not in option.choices:
        wanted = f"one of: {', '.join(option.choices)}"
    elif option.form is OptionSyntax.NUMBER and not re.fullmatch(r"[1-9][0-9]{0,5}", text):
        wanted = "a whole number above 0"
    elif option.form is OptionSyntax.URL and not _URL.fullmatch(text):
        wanted = "an address such as http://127.0.0.1:9000, without credentials"
    elif in_a_bucket and not _BUCKET.fullmatch(text):
        wanted = "a bucket and a prefix, as s3://bucket/prefix"
    if wanted:  # the value itself may be a secret in the wrong place
        raise SettingsError(f"The value of the option {option.name} of {kind.scheme} cannot be.", f"Write {wanted}.")
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
    for name in written:
        for other in by_name[name].goes_with:
            if other not in present:
                raise SettingsError(f"The option {name} of {kind.scheme} needs {other} too.", _fix(by_name[other]))


def _insist(kind: DestinationKind, known: Sequence[UrlOption], present: Collection[str]) -> None:
    for option in known:
        if option.needed and option.name not in present:
            raise SettingsError(f"The destination {kind.scheme} needs the option {option.name}.", _fix(option))
    if kind.one_of and not any(name in present for name in kind.one_of):
        first = next(option for option in known if option.name == kind.one_of[0])
        raise SettingsError(
            f"The destination {kind.scheme} needs one of the options {', '.join(kind.one_of)}.", _fix(first)
        )


def _fix(option: UrlOption) -> str:
    if not option.secret:
        return f"Write {option.name}=… behind the question mark: {option.about[0].lower()}{option.about[1:]}"
    variables = [reference.partition(":")[2] for reference in option.references]
    return (f"Export {variables[0]}, or write" if variables else "Write") + f" {option.name}= and {FORMS}."
