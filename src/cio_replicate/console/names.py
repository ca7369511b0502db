"""How connections, tasks, channels and gateways may be called."""

from __future__ import annotations

import re

from cio_replicate.base.errors import SettingsError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def checked_name(name: str, kind: str) -> str:
    """The name, which can stand in a file, a command and an address as it is. Raises SettingsError for any other."""
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"A {kind} cannot be called {name[:80]!r}.",
            "Use small letters, digits and hyphens, a letter or digit first, 63 at most.",
        )
    return name
