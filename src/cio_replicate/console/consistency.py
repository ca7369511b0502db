"""Whether connections, tasks and channels fit together: each names only what is there, and no chain is a ring; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches

from cio_replicate.base.errors import SettingsError
from cio_replicate.config.documents import Documents
from cio_replicate.console.own_side import require_own_secrets
from cio_replicate.console.secret_users import users_in


def require_consistent(documents: Documents, gateways: Collection[str], secrets: Collection[str]) -> None:
    """Raises SettingsError, which names what is missing and by what it is named."""
    for name, connection in documents.connections.items():
        if connection.gateway is not None:
            _require_there(f"connection {name}", "data gateway", connection.gateway, gateways)
        readers = ((task, one) for task, one in documents.tasks.items() if one.connection == name)
        require_own_secrets(connection, readers)
    for name, task in documents.tasks.items():
        _require_there(f"task {name}", "connection", task.connection, documents.connections)
        if task.after is not None:
            _require_there(f"task {name}", "task", task.after, documents.tasks)
        for channel in task.notify:
            _require_there(f"task {name}", "channel", channel, documents.channels)
    _require_no_ring({name: task.after for name, task in documents.tasks.items()})
    for secret, users in users_in(documents).items():
        if secret not in secrets:
            raise SettingsError(
                f"The {users[0]} names the stored secret {secret}, which there is not.",
                f"Store it first: cio-replicate secret put {secret}.",
            )


def _require_there(user: str, kind: str, name: str, there: Collection[str]) -> None:
    if name in there:
        return
    near = get_close_matches(name, there, n=1)
    known = f"there are: {', '.join(sorted(there))}" if there else "there is none yet"
    fix = f"Perhaps {near[0]} is meant." if near else f"Make it first, or name another: {known}."
    raise SettingsError(f"The {user} names the {kind} {name[:80]!r}, which there is not.", fix)


def _require_no_ring(after: Mapping[str, str | None]) -> None:
    for first in after:
        chain, name = [first], after[first]
        while name is not None and name not in chain:
            chain.append(name)
            name = after.get(name)
        if name == first:
            raise SettingsError(
                f"Each of these tasks waits for another of them: {', '.join(chain)}.",
                "Let one of them run by a schedule instead of --after.",
            )
