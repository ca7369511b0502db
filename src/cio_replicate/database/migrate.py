"""Brings the tables of the control database up to date, by migrations that come with the program."""

from __future__ import annotations

from functools import cache

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from cio_replicate.base.errors import DatabaseError

SCRIPTS = "cio_replicate.database:migrations"


def is_current(connection: Connection) -> bool:
    """Whether the tables are those of this version. Raises DatabaseError when they are those of a newer one."""
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is not None and revision not in _revisions():
        raise DatabaseError(
            f"The control database was written by a newer version of this program (its tables are {revision}, the "
            f"newest known here are {_revisions()[0]}).",
            "Install that version again, or go back to a backup of before.",
        )
    return revision == _revisions()[0]


def upgrade(connection: Connection) -> None:
    """Make the tables those of this version, in the transaction that this connection is in."""
    if is_current(connection):  # another program was quicker
        return
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@cache
def _revisions() -> tuple[str, ...]:
    """The versions of the tables that are known here, the newest first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    return config
