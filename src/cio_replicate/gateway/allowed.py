"""What a gateway's own owner lets the console ask for: where the access token may go, and where rows may."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from cio_replicate.base.errors import SettingsError
from cio_replicate.config.addresses import described
from cio_replicate.config.connection_options import api_url
from cio_replicate.config.console import LOOPBACK, host_of
from cio_replicate.config.destination_kind import Address, UrlStyle
from cio_replicate.config.documents import ConnectionSettings
from cio_replicate.source.region import HOSTS


@dataclass(frozen=True, slots=True)
class GatewayPolicy:
    """`apis` besides Customer.io's own and this machine; `destinations`, or any when none is named."""

    apis: frozenset[str] = field(default_factory=frozenset)
    destinations: tuple[Address, ...] = ()


def allowed(apis: Iterable[str], destinations: Iterable[str]) -> GatewayPolicy:
    """What these texts allow. Raises SettingsError."""
    return GatewayPolicy(frozenset(map(api_url, apis)), tuple(map(described, destinations)))


def require_allowed(connection: ConnectionSettings, to: Sequence[str], allowed: GatewayPolicy) -> None:
    """Raises SettingsError when the token, or rows, would go where this gateway's owner has not said they may.

    A console, or whoever has taken it over, can name any address; the token and the rows are in here.
    """
    url = api_url(connection.api_url) if connection.api_url is not None else None
    if url is not None and url not in (*HOSTS.values(), *allowed.apis) and host_of(url) not in LOOPBACK:
        raise SettingsError(
            f"This gateway does not send its access token to {url}.",
            f"If that is meant, start it with --allow-api {url}.",
        )
    for one in map(described, to):
        if allowed.destinations and not any(_lies_in(one, other) for other in allowed.destinations):
            raise SettingsError(
                f"This gateway does not write to {one.shown}.", "If that is meant, start it with another --allow-to."
            )


def _lies_in(one: Address, other: Address) -> bool:
    """Whether an address is another one, or in its folder."""
    if (one.kind, one.host, one.port, one.user, one.options) != (
        other.kind,
        other.host,
        other.port,
        other.user,
        other.options,
    ):
        return False
    if one.kind.place not in (UrlStyle.FILE, UrlStyle.FOLDER):
        return one.path == other.path
    path, folder = PurePosixPath(one.path), PurePosixPath(other.path)
    return ".." not in path.parts and path.is_relative_to(folder)
