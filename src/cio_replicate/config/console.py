"""The address of a console, as a gateway is told it."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from cio_replicate.base.errors import SettingsError

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def console_url(text: str) -> str:
    """The address of a console, without a slash at its end. Raises SettingsError.

    What a gateway says is signed, but not hidden by that, so plain HTTP is for this machine only.
    """
    text = text.strip()
    parts = _address(text)
    host = parts.hostname if parts else None
    if "@" in text:
        raise SettingsError(
            "The console's address holds credentials.", "Leave them out: a gateway shows who it is by its key."
        )
    if parts is None or host is None or parts.scheme not in ("http", "https") or re.search(r"[\s?#\\]", text):
        shown = re.sub("[?#].*", "?…", text)  # what is cut off may be a secret
        raise SettingsError(
            f"The console's address {shown!r} is no address.", "Write it as https://host or http://127.0.0.1:port."
        )
    if parts.scheme == "http" and host not in LOOPBACK:
        raise SettingsError(
            f"The console's address {text!r} is not protected: others could read along and answer in its place.",
            "Use https:// for another machine; --ca-file names a private certificate authority.",
        )
    return text.rstrip("/")


def host_of(url: str) -> str:
    """The host of an address that `console_url` has returned, as both sides write it."""
    return (urlsplit(url).hostname or "").lower()


def _address(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text)
        _ = parts.port  # looked at only now, and may be none
    except ValueError:
        return None
    return parts if text.isprintable() else None
