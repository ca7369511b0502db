"""What the gateway's owner allows, and the outbound filter for what leaves the private network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any, TypeVar

import msgspec

from cio_replicate.base.errors import Forbidden
from cio_replicate.base.text import without_quotes
from cio_replicate.config.connection_options import LOOPBACK, api_url, host_of
from cio_replicate.config.destination_kind import Address, UrlStyle
from cio_replicate.config.documents import ConnectionSettings
from cio_replicate.jobs.ports import Outcome
from cio_replicate.pipeline.events import LONGEST
from cio_replicate.sinks.addresses import described
from cio_replicate.source.client import HOSTS

T = TypeVar("T", bound=msgspec.Struct)

# What a gateway's own owner lets the console ask for: where the access token may go, and where rows may.


@dataclass(frozen=True, slots=True)
class GatewayPolicy:
    """`apis` besides Customer.io's own and this machine; `destinations`, or any when none is named."""

    apis: frozenset[str] = field(default_factory=frozenset)
    destinations: tuple[Address, ...] = ()


def allowed(apis: Iterable[str], destinations: Iterable[str]) -> GatewayPolicy:
    """What these texts allow. Raises InvalidSettings."""
    return GatewayPolicy(frozenset(map(api_url, apis)), tuple(map(described, destinations)))


def require_allowed(connection: ConnectionSettings, to: Sequence[str], allowed: GatewayPolicy) -> None:
    """Raises InvalidSettings when the token, or rows, would go where this gateway's owner has not said they may.

    A console, or whoever has taken it over, can name any address; the token and the rows are in here.
    """
    url = api_url(connection.api_url) if connection.api_url is not None else None
    if url is not None and url not in (*HOSTS.values(), *allowed.apis) and host_of(url) not in LOOPBACK:
        raise Forbidden(
            f"This gateway does not send its access token to {url}.",
            f"If that is meant, start it with --allow-api {url}.",
        )
    for one in map(described, to):
        if allowed.destinations and not any(_lies_in(one, other) for other in allowed.destinations):
            raise Forbidden(
                f"This gateway does not write to {one.shown}.", "If that is meant, start it with another --allow-to."
            )


def _lies_in(one: Address, other: Address) -> bool:
    """Return whether an address is another one, or in its folder."""
    if replace(one, path="") != replace(other, path=""):
        return False
    if one.kind.place not in (UrlStyle.FILE, UrlStyle.FOLDER):
        return one.path == other.path
    path, folder = PurePosixPath(one.path), PurePosixPath(other.path)
    return ".." not in path.parts and path.is_relative_to(folder)


MOST_NOTES = 100  # of a run, and of each of its tables


def outbound(value: T) -> T:
    """Return a message for the console without what others said: see `without_quotes`."""
    return msgspec.convert(_cut(msgspec.to_builtins(value)), type(value))


def outbound_outcome(end: Outcome) -> Outcome:
    """Return the end of a run as the console may know it."""
    sent = outbound(end)
    if sent.report is not None:
        sent.report.notes = _some(sent.report.notes)
        for table in sent.report.tables:
            table.notes = _some(table.notes)
            if table.proof is not None:  # of a table with very few rows, a digest of its keys could be guessed
                table.proof = msgspec.structs.replace(table.proof, digest="", landed=None)
    return sent


def _some(notes: list[str]) -> list[str]:
    left = len(notes) - MOST_NOTES
    return [*notes[:MOST_NOTES], f"{left} more notes are in the gateway's own report."] if left > 0 else notes


def _cut(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, str):
        return without_quotes(value)[:LONGEST]
    if isinstance(value, dict):
        return {name: _cut(one) for name, one in value.items()}
    return [_cut(one) for one in value] if isinstance(value, list | tuple) else value
