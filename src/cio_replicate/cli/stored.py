"""The option that says where connections and tasks are kept, and who acts by a command."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from typing import Annotated

from cio_replicate.cli.options import AsJson
from cio_replicate.config.options import Setting
from cio_replicate.database.actor import LOCAL, Actor, Role

StoreUrl = Annotated[
    str | None,
    Setting(
        "--store",
        "Control database",
        "Where connections and tasks are kept: sqlite:////folder/console.db or "
        "postgresql://USER@HOST/DATABASE?password=env:NAME; if not given, what CIO_REPLICATE_STORE says, or a file of "
        "your own user.",
        shown="URL",
        group="Where it is kept",
    ),
]


@dataclass(frozen=True, kw_only=True)
class At:
    """Where connections and tasks are kept."""

    store: StoreUrl = None


@dataclass(frozen=True, kw_only=True)
class Shown(At, AsJson):
    """The same, and what is shown."""


def acting() -> Actor:
    """Who acts by a command: whoever may read the database may do everything, and the audit log says who it was."""
    try:
        return Actor(getpass.getuser(), Role.ADMIN)
    except (OSError, KeyError):  # this user has no name, as in a container
        return LOCAL
