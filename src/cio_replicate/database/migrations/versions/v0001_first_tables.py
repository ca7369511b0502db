"""The first tables.

Until the first release they are those that `database.tables` declares. The first migration after it writes them out
here, so that a database is made by the same steps wherever it comes from.
"""
# ruff: noqa: INP001 - Alembic finds it by its path

from __future__ import annotations

from alembic import op

from cio_replicate.database.tables import metadata

revision = "0001b"
down_revision = None


def upgrade() -> None:
    """Make them."""
    metadata.create_all(op.get_bind())
