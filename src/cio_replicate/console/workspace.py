"""Which connections reach the same workspace, so that their runs share its request budget: known without a network."""

from __future__ import annotations

import hmac
import secrets as randomness
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection, select

from cio_replicate.base.errors import SettingsError
from cio_replicate.config import connection_options as checked
from cio_replicate.config.access import USUAL, access_token_from
from cio_replicate.config.documents import ConnectionSettings
from cio_replicate.config.secret_references import stored_variable
from cio_replicate.config.stored import stored_names
from cio_replicate.console.keys import EncryptionKeys
from cio_replicate.console.secrets import OWN, revealed, write_own
from cio_replicate.database.tables import secrets
from cio_replicate.source.region import HOSTS

FINGERPRINTS = f"{OWN}fingerprints"  # the key of the digests: it outlives a rotation, so that digests stay comparable
CUSTOMER_IO = "customer.io"  # all of its regions: a token is known to one of them alone


@dataclass(frozen=True, slots=True)
class KnownWorkspace:
    """What is known of a connection from before: its settings, and its workspace by them."""

    settings: ConnectionSettings
    workspace: str


def workspace_of(
    connection: Connection,
    keys: EncryptionKeys,
    environment: Mapping[str, str],
    settings: ConnectionSettings,
    now: int,
    known: KnownWorkspace | None = None,
) -> str:
    """The same text for settings with the same access token at the same API; call it in a transaction that writes.

    Where the token cannot be found from here, as on a data gateway, it is known by where it is kept there, unless it
    was found once at that place. What is returned tells nothing of a token to whoever has the database alone.
    """
    host = _host(settings)
    try:
        token = None if settings.gateway is not None else _token(connection, keys, environment, settings)
    except SettingsError:
        token = None
    if token is None:
        if known is not None and _place(known.settings) == _place(settings):
            return known.workspace
        return f"reference:{sha256(_place(settings).encode()).hexdigest()[:40]}"
    key = _key(connection, keys, now)
    return f"token:{hmac.new(key.encode(), (host + token).encode(), sha256).hexdigest()[:40]}"


def _place(settings: ConnectionSettings) -> str:
    """Where the token is, and for which API."""
    return "\n".join((_host(settings), settings.gateway or "", settings.access_token_from or USUAL))


def _host(settings: ConnectionSettings) -> str:
    url = checked.api_url(settings.api_url) if settings.api_url is not None else None
    return CUSTOMER_IO if url is None or url in HOSTS.values() else url


def _token(
    connection: Connection, keys: EncryptionKeys, environment: Mapping[str, str], settings: ConnectionSettings
) -> str:
    stored = revealed(connection, keys, stored_names(settings))
    found = {stored_variable(name): value for name, value in stored.items()}
    return access_token_from(settings.access_token_from, {**environment, **found}).reveal()


def _key(connection: Connection, keys: EncryptionKeys, now: int) -> str:
    if connection.scalar(select(secrets.c.name).where(secrets.c.name == FINGERPRINTS)) is None:
        write_own(connection, keys, FINGERPRINTS, randomness.token_hex(32), now)
    return revealed(connection, keys, [FINGERPRINTS])[FINGERPRINTS]
