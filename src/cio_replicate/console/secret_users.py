"""What uses which stored secret."""

from __future__ import annotations

from sqlalchemy import Connection

from cio_replicate.config.documents import Documents
from cio_replicate.config.stored import stored_names
from cio_replicate.database.rows import documents_of


def users_of(connection: Connection) -> dict[str, list[str]]:
    """By the name of a secret, what refers to it: `connection main`."""
    return users_in(documents_of(connection))


def users_in(documents: Documents) -> dict[str, list[str]]:
    """The same, of what files say."""
    users: dict[str, list[str]] = {}
    for kind, settings in (
        ("connection", documents.connections),
        ("task", documents.tasks),
        ("channel", documents.channels),
    ):
        for name, one in settings.items():
            for secret in stored_names(one):
                users.setdefault(secret, []).append(f"{kind} {name}")
    return users
