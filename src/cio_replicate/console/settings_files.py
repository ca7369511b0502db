"""Settings in files: read one or a folder of them, compare them with what is stored, apply and write them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from datetime import date, time
from pathlib import Path
from typing import Any

import tomlkit
from sqlalchemy import Connection

from cio_replicate.base.errors import Conflict, InvalidSettings
from cio_replicate.config.documents import Documents, documents, plain
from cio_replicate.console.apply_settings import (
    Change,
    ChangeContext,
    checked_name,
    difference,
    perform,
    require_all_usable,
)
from cio_replicate.database.actor import Role
from cio_replicate.database.rows import SettingsKind, documents_of, entries

MOST_BYTES = 5_000_000


def read(place: Path, now: float) -> Documents:
    """Return all that a file says, or all `*.toml` of a folder together. Raises Refused, naming the file and the entry.

    What comes back can be shown: no setting of it is a secret.
    """
    files = sorted(place.glob("*.toml")) if place.is_dir() else [place]
    if not files:
        raise InvalidSettings(
            f"The folder {place} has no file that ends in .toml.", "Write one, or name another folder."
        )
    merged, origin = Documents(), dict[tuple[SettingsKind, str], Path]()
    for file in files:
        _merge(merged, _read_one(file, now), file, origin)
    return merged


def wanted_changes(transaction: Connection, wanted: Documents, *, prune: bool) -> list[Change]:
    """What `apply` would do now; with `prune`, it also deletes what the files do not say."""
    return difference(documents_of(transaction), wanted, prune=prune)


def apply(
    transaction: Connection, shown: list[Change], wanted: Documents, means: ChangeContext, *, prune: bool
) -> None:
    """Bring about the changes that were shown. Raises Refused when they would be others by now."""
    means.by.require(Role.ADMIN)
    if wanted_changes(transaction, wanted, prune=prune) != shown:
        raise Conflict("The settings were changed by somebody else meanwhile.", "Look at the difference again.")
    perform(transaction, shown, means)


def written(stored: Documents) -> str:
    """Settings as a file, which `read` takes back: only what is not as it is by default, and never a secret."""
    document = tomlkit.document()
    for section in fields(stored):
        entries: Mapping[str, Any] = getattr(stored, section.name)
        if not entries:
            continue
        outer = tomlkit.table(is_super_table=True)  # has no heading of its own
        for name, settings in entries.items():
            outer.add(name, _table(plain(settings)))
        document.add(section.name, outer)
    return tomlkit.dumps(document)


def _read_one(file: Path, now: float) -> Documents:
    try:
        found = documents(_as_texts(tomllib.loads(_text(file))))
        for kind, name, _ in entries(found):
            checked_name(name, kind)
        require_all_usable(found, now)
    except OSError as error:
        cause = error.strerror or type(error).__name__
        raise InvalidSettings(f"The file {file} cannot be read ({cause}).", "Check its path and permissions.") from None
    except UnicodeDecodeError:
        raise InvalidSettings(f"The file {file} is no text in UTF-8.", "Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettings(f"The file {file} is no TOML: {_place(error)}.", "Correct it there.") from None
    except RecursionError:
        raise InvalidSettings(
            f"The file {file} is nested too deeply.", "Write it as the documentation shows."
        ) from None
    except InvalidSettings as error:
        raise InvalidSettings(f"The file {file} cannot be used: {error.cause}", error.fix) from None
    return found


def _text(file: Path) -> str:
    with file.open("rb") as source:
        text = source.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise InvalidSettings("It is too large for settings.", "Name another, or a folder of files.")
    return text.decode()


def _as_texts(value: Any) -> Any:  # noqa: ANN401 - what a file holds
    """The same with dates as texts: TOML also writes them without quotation marks."""
    if isinstance(value, dict):
        return {name: _as_texts(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_as_texts(one) for one in value]
    return value.isoformat() if isinstance(value, date | time) else value


def _place(error: tomllib.TOMLDecodeError) -> str:
    """What is wrong and where, without the text that stands there, which may hold a secret."""
    said, _, where = str(error).rpartition(" (at ")
    cause = re.sub("'[^']{3,}'|\"[^\"]{3,}\"", "…", said).lower() or "it cannot be read"
    return f"{cause}, at {where.rstrip(')')}"


def _merge(merged: Documents, found: Documents, file: Path, origin: dict[tuple[SettingsKind, str], Path]) -> None:
    for kind, name, settings in entries(found):
        first = origin.setdefault((kind, name), file)
        if first != file:
            raise InvalidSettings(
                f"The entry {kind}s.{name} stands in two files, {first} and {file}.", "Keep one of them."
            )
        kind.settings_in(merged)[name] = settings


def _table(values: Mapping[str, Any]) -> tomlkit.items.Table:
    table = tomlkit.table()
    for name, value in values.items():
        if isinstance(value, Mapping):
            inline = tomlkit.inline_table()
            inline.update(value)
            table.add(name, inline)
        else:
            table.add(name, value)
    return table
