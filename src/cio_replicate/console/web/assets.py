"""The console's own files, read once and served under names that change with what they hold."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources

TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "txt": "text/plain"}
FOR_GOOD = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    content: bytes
    media_type: str
    version: str  # differs when the content does


def read_assets() -> dict[str, Asset]:
    """Every file that may be served, by name: nothing else is looked for, so no name leads out of the folder."""
    folder = resources.files("cio_replicate.console.web") / "static"
    assets: dict[str, Asset] = {}
    for file in folder.iterdir():
        kind = TYPES.get(file.name.rpartition(".")[2])
        if kind is not None:
            content = file.read_bytes()
            version = hashlib.sha256(content).hexdigest()[:12]
            assets[file.name] = Asset(content, kind, version)
    return assets
