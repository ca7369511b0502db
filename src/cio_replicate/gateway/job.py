"""What the console asks for, read as strictly as a file of settings: nothing in it is passed over."""

from __future__ import annotations

from typing import Any

import msgspec

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.base.version import __version__
from cio_replicate.config.documents import ConnectionSettings, TaskSettings, decoded
from cio_replicate.jobs.ports import Job, RunAction


def job_of(document: msgspec.Raw) -> Job:
    """The job. Raises InvalidSettings for what this version does not know, and for what it must not be given."""
    fields = _fields(document)
    try:
        connection = decoded(fields.get("connection"), ConnectionSettings, "connection")
        task = decoded(fields.get("task"), TaskSettings, "task")
        action = msgspec.convert(fields.get("action", {}), RunAction)
        return Job(
            run_id=str(fields["run_id"]),
            task_id=str(fields["task_id"]),
            task_name=str(fields["task_name"]),
            connection=connection,
            task=task,
            action=action,
        )
    except InvalidSettings as error:
        raise _newer(error.cause) from None
    except (KeyError, msgspec.ValidationError):
        raise _newer("It lacks what a job must have.") from None


def connection_settings_of(document: msgspec.Raw) -> ConnectionSettings:
    """The settings of a connection that a question is about. Raises InvalidSettings as `job_of`."""
    try:
        return decoded(_fields(document), ConnectionSettings, "connection")
    except InvalidSettings as error:
        raise _newer(error.cause) from None


def _fields(document: msgspec.Raw) -> dict[str, Any]:  # Any: looked at by who calls this
    try:
        return msgspec.json.decode(document, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise _newer("It is no document.") from None


def _newer(cause: str) -> InvalidSettings:
    return InvalidSettings(
        f"This gateway (version {__version__}) does not understand what the console asks for. {cause}",
        "Bring both to the same version.",
    )
