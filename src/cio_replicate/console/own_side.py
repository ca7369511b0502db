"""What runs on a gateway finds its secrets there: nothing that it needs may be kept by the console."""

from __future__ import annotations

from collections.abc import Iterable

from cio_replicate.base.errors import SettingsError
from cio_replicate.config.documents import ConnectionSettings, TaskSettings
from cio_replicate.config.stored import stored_names

FIX = (
    "Keep it on the gateway's machines and say where: env:NAME, file:/path or keyring:service/user, as it is called "
    "there."
)


def require_own_secrets(connection: ConnectionSettings, tasks: Iterable[tuple[str, TaskSettings]] = ()) -> None:
    """Raises SettingsError when a connection with a gateway, or a task of it, names a secret that the console keeps."""
    if connection.gateway is None:
        return
    wrong = [("The connection", name) for name in stored_names(connection)]
    wrong += [(f"The task {task}", name) for task, settings in tasks for name in stored_names(settings)]
    for what, name in wrong:
        raise SettingsError(
            f"{what} runs on the gateway {connection.gateway}, which never gets stored:{name}: no secret of the "
            "console leaves it.",
            FIX,
        )
