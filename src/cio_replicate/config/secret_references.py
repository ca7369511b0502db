"""Secrets by reference: a setting says where a secret is kept, and this finds it there."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.base.text import Secret

FORMS = "env:NAME, file:/path or keyring:service/user"
MOST_BYTES = 1_000_000  # a key is small; what is larger is another file

_REFERENCE = re.compile(r"(env|env-file|file|keyring|stored):(.+)", re.DOTALL)
_STORED = re.compile(r"[a-z0-9][a-z0-9/_-]{0,150}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


def is_reference(text: str) -> bool:
    """Whether this says where a secret is kept; if not, it may be the secret itself, and must not be shown."""
    match = _REFERENCE.fullmatch(text)
    if match is None or not text.isprintable():
        return False
    if match[1].startswith("env"):
        return _VARIABLE.fullmatch(match[2]) is not None
    if match[1] == "stored":
        return is_stored_name(match[2])
    return match[1] == "file" or _entry(match[2]) is not None


def is_stored_name(text: str) -> bool:
    """Whether a secret in the control database can be called so."""
    return _STORED.fullmatch(text) is not None


def stored_variable(name: str) -> str:
    """The variable in which a process that executes a run is given a secret of the control database."""
    return "CIO_REPLICATE_STORED_" + "".join(one if one.isalnum() else f"_{ord(one):x}_" for one in name).upper()


def resolved(reference: str, environment: Mapping[str, str], setting: str) -> Secret:
    """The secret that is kept there; never empty. `setting` names what it is for in a refusal.

    Raises InvalidSettings, which never shows what was found, nor a `reference` that is none.
    """
    require_reference(reference, setting)
    form, _, place = reference.partition(":")
    if form == "env":
        return _secret(_variable(place, environment, setting), f"the environment variable {place}", setting)
    if form == "stored":
        return _secret(_stored(place, environment, setting), f"the stored secret {place}", setting)
    if form == "keyring":
        return _secret(_from_keyring(place, setting), f"the keyring's entry {place}", setting)
    file = Path(os.path.expanduser(_variable(place, environment, setting) if form == "env-file" else place))  # noqa: PTH111 - Path's own fails for an unknown user
    return _secret(_content(file, setting), f"the file {file}", setting)


def require_reference(text: str, setting: str) -> None:
    """Raises InvalidSettings, not showing the text, unless it says where a secret is kept."""
    if not is_reference(text):
        raise InvalidSettings(
            f"For {setting}, a value was given instead of where it is kept.",
            f"Write {FORMS}; what stands on a command line can be read by others.",
        )


def conventional(reference: str, environment: Mapping[str, str], setting: str) -> Secret | None:
    """The secret that is kept there, or None when the variable that it names is not set. Raises InvalidSettings."""
    return resolved(reference, environment, setting) if environment.get(reference.partition(":")[2]) else None


def caution(reference: str, environment: Mapping[str, str]) -> str | None:
    """A sentence when the secret lies in a file that every user of this machine may read."""
    form, _, place = reference.partition(":")
    path = environment.get(place, "") if form == "env-file" else place if form == "file" else ""
    if not path:
        return None
    try:
        mode = os.stat(os.path.expanduser(path)).st_mode  # noqa: PTH111, PTH116 - Path's own fails for an unknown user
    except (OSError, ValueError):
        return None
    if not (stat.S_ISREG(mode) and mode & stat.S_IROTH):
        return None
    return f"The file {path} holds a secret and every user of this machine may read it: chmod 600 mends that."


def _variable(name: str, environment: Mapping[str, str], setting: str) -> str:
    value = environment.get(name)
    if value is None:
        raise InvalidSettings(
            f"The environment variable {name}, which {setting} names, is not set.",
            f"Export {name}, or name another place: {FORMS}.",
        )
    return value


def _stored(name: str, environment: Mapping[str, str], setting: str) -> str:
    value = environment.get(stored_variable(name))
    if value is None:
        raise InvalidSettings(
            f"The secret stored:{name}, which {setting} names, is not there.",
            "Store it with `cio-replicate secret put`; only runs that the console starts can use stored secrets.",
        )
    return value


def _content(file: Path, setting: str) -> str:
    try:
        with file.open("rb") as source:
            content = source.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InvalidSettings(
                f"The file {file}, which {setting} names, is too large for a secret.", "Name another."
            )
        return content.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        cause = error.strerror or type(error).__name__
    except UnicodeDecodeError:
        cause = "it holds no text"
    except ValueError:
        cause = "that is no path"
    raise InvalidSettings(
        f"The file {file}, which {setting} names, cannot be read ({cause}).", "Check its path and its permissions."
    )


def _entry(place: str) -> tuple[str, str] | None:
    """The service and the user of a keyring's entry; a service may hold slashes, a user may not."""
    service, _, user = place.rpartition("/")
    return (service, user) if service and user else None


def _from_keyring(place: str, setting: str) -> str:
    try:
        import keyring  # noqa: PLC0415 - an extra
        from keyring.errors import KeyringError  # noqa: PLC0415 - an extra
    except ImportError:
        raise InvalidSettings(
            f"For {setting}, reading the keyring needs the extra: pip install 'cio-replicate[keyring]'.",
            "Install it, or name another place: env:NAME or file:/path.",
        ) from None
    service, user = _entry(place) or ("", "")
    try:
        value = keyring.get_password(service, user)
    except KeyringError as error:
        raise InvalidSettings(
            f"For {setting}, the keyring cannot be read ({type(error).__name__}).",
            "Unlock it or set one up, or name another place: env:NAME or file:/path.",
        ) from None
    if value is None:
        raise InvalidSettings(
            f"The keyring has no entry {place}, which {setting} names.", f"Make it: keyring set {service} {user}."
        )
    return value


def _secret(value: str, place: str, setting: str) -> Secret:
    if not value:
        raise InvalidSettings(f"For {setting}, {place} is empty.", "Put the secret there, or name another place.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidSettings(
            f"For {setting}, what {place} holds is no text.", "Put the secret there anew, in UTF-8."
        ) from None
    return Secret(value)
