"""What Alembic runs to migrate: the migrations, in the transaction of whoever called it."""
# ruff: noqa: INP001 - Alembic finds it by its path

from __future__ import annotations

from alembic import context

from cio_replicate.database.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
