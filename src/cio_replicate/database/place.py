"""Where the control database is, and the key that its secrets are encrypted with, which is never beside it."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import platformdirs

from cio_replicate.base.errors import SettingsError
from cio_replicate.config.addresses import destination
from cio_replicate.config.destination_kind import Address
from cio_replicate.pipeline.staging import default_root
from cio_replicate.sinks.sql.server_kinds import POSTGRESQL

STORE_VARIABLE, KEY_VARIABLE = "CIO_REPLICATE_STORE", "CIO_REPLICATE_KEY"
SQLITE = "sqlite"
_TAKEN = (SQLITE, POSTGRESQL.scheme)


def store_url(given: str | None, environment: Mapping[str, str]) -> str:
    """The address of the control database: as it was given, as the environment names it, or a file of the user's."""
    return given or environment.get(STORE_VARIABLE) or f"{SQLITE}:///{default_file()}"


def default_file() -> Path:
    """The file that is used unless another place is named."""
    return platformdirs.user_data_path("cio-replicate", appauthor=False) / "console.db"


def store_address(url: str, environment: Mapping[str, str]) -> Address:
    """The address of a control database, its password found. Raises SettingsError, never showing a secret."""
    if url.partition(":")[0].lower() not in (*_TAKEN, *POSTGRESQL.aliases):
        raise SettingsError(
            "The control database can only be SQLite or PostgreSQL.",
            "Write sqlite:////folder/console.db or postgresql://USER@HOST/DATABASE?password=env:NAME.",
        )
    return destination(url, environment)


def key_file(address: Address) -> Path:
    """The file that holds the key of a control database unless another place is named: one for each database.

    It lies in the folder for state and not beside the database, so that a copy of the one is not a copy of the other.
    """
    if address.kind.scheme == SQLITE and address.file == default_file():
        return default_root() / "console.key"
    return default_root() / f"console-{sha256(str(address).encode()).hexdigest()[:10]}.key"
