"""Whether a destination can be written from this machine: tried out with a small table that is dropped again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cio_replicate.base.errors import LoadError, SettingsError
from cio_replicate.base.runtime import Clock
from cio_replicate.config import connection_options as settings
from cio_replicate.config.destination_kind import Address
from cio_replicate.config.documents import stored_names_in
from cio_replicate.config.secret_references import stored_variable
from cio_replicate.console import secrets
from cio_replicate.console.secrets import EncryptionKeys
from cio_replicate.database.actor import Actor, Role
from cio_replicate.database.audit_log import record
from cio_replicate.database.connection import Database
from cio_replicate.sinks.addresses import destination
from cio_replicate.sinks.registry import destination_at

MOST = 5  # places that are tried out at once


@dataclass(frozen=True, slots=True)
class DestinationProbe:
    """What came of trying a place out: the cause and the fix are empty when it can be written."""

    shown: str
    cause: str = ""
    fix: str = ""


class DestinationProbes:
    """Tries destinations out. Stored secrets that an address names are used for it, and shown nowhere."""

    def __init__(
        self, database: Database, keys: EncryptionKeys, clock: Clock, environment: Mapping[str, str] | None = None
    ) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._environment = os.environ if environment is None else environment

    def try_out(self, urls: Sequence[str], dataset: str, by: Actor) -> list[DestinationProbe]:
        """One answer for each address, in their order; what is wrong with one is in its answer."""
        by.require(Role.ADMIN)
        if not urls:
            return [DestinationProbe("", "The task has no destination.", "Write where the copy goes.")]
        return [self._tried(url, dataset, by) for url in urls[:MOST]]

    def _tried(self, url: str, dataset: str, by: Actor) -> DestinationProbe:
        shown = url.partition(":")[0][:40]
        try:
            address = destination(url, self._with_secrets(url, by))
            shown = address.shown
            _write(address, settings.dataset(dataset))
        except (SettingsError, LoadError) as error:
            return DestinationProbe(shown, error.message, error.fix)
        return DestinationProbe(shown)

    def _with_secrets(self, url: str, by: Actor) -> Mapping[str, str]:
        with self._database.writing() as transaction:
            found = secrets.revealed(transaction, self._keys, stored_names_in(url))
            record(transaction, int(self._clock.now()), by, "destination.try", url.partition("?")[0])
        return {**self._environment, **{stored_variable(name): value for name, value in found.items()}}


def _write(address: Address, dataset: str) -> None:
    """Make, write, read back and drop a small table; the working files are thrown away again."""
    with tempfile.TemporaryDirectory() as folder:
        place = destination_at(address, dataset, Path(folder))
        try:
            place.try_out()
        finally:
            place.close()
