"""Which secrets of the control database settings refer to, and in which form addresses say so; pure."""

from __future__ import annotations

from urllib.parse import unquote

from cio_replicate.config.documents import ChannelSettings, ConnectionSettings, TaskSettings

PREFIX = "stored:"


def stored_names(settings: ConnectionSettings | TaskSettings | ChannelSettings) -> list[str]:
    """The names of the stored secrets that these settings refer to, each once."""
    if isinstance(settings, ConnectionSettings):
        references = [settings.access_token_from or ""]
    elif isinstance(settings, TaskSettings):
        references = [settings.salt or "", *(value for to in settings.to for value in _values(to))]
    else:
        references = [settings.url]
    return list(dict.fromkeys(one.removeprefix(PREFIX) for one in references if one.startswith(PREFIX)))


def stored_names_in(address: str) -> list[str]:
    """The names of the stored secrets that an address of a destination refers to."""
    return [one.removeprefix(PREFIX) for one in _values(address) if one.startswith(PREFIX)]


def _values(address: str) -> list[str]:
    """What stands behind the question mark of an address: the values of its options."""
    _, _, query = address.partition("?")
    return [unquote(piece.partition("=")[2]) for piece in query.split("&")]
