"""A program that writes to a control database: its URL, how often, and whether it dies in the middle of it."""

from __future__ import annotations

import os
import sys
import uuid

from sqlalchemy import func, insert, select

from cio_replicate.database.connection import Database
from cio_replicate.database.tables import audit


def main() -> None:
    """Migrate, then add lines, each with the number of those that were there; or say so and die while writing."""
    url, times, dies = sys.argv[1], int(sys.argv[2]), len(sys.argv) > 3
    database = Database(url)
    database.migrate()
    for _ in range(times):
        with database.writing() as connection:
            count = connection.scalar(select(func.count()).select_from(audit))
            connection.execute(insert(audit).values(id=uuid.uuid4().hex, at=count, who="w", did="d", what="w"))
            if dies:
                os._exit(9)
    database.close()


if __name__ == "__main__":
    main()
