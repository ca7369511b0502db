"""What the API is sent and what it answers, where that is not what the services have already."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from litestar import Request
from litestar.exceptions import ClientException, SerializationException

from cio_replicate.base.text import Secret, worded
from cio_replicate.config.documents import ChannelSettings, ConnectionSettings, TaskSettings, decoded
from cio_replicate.jobs.ports import ProbeRequest, ProbeResult, RunAction
from cio_replicate.jobs.runs import StoredRunSummary
from cio_replicate.pipeline.events import Progress
from cio_replicate.pipeline.report import Report

SECRET = 1_000_000  # characters at most

Body = TypeVar("Body", bound=msgspec.Struct)
_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
_Secret = Annotated[str, msgspec.Meta(min_length=1, max_length=SECRET)]


class EditedConnection(msgspec.Struct, forbid_unknown_fields=True):
    """All settings of a connection. `access_token` takes the place of the one that is stored for it."""

    settings: ConnectionSettings
    access_token: _Secret | None = None


class NewConnection(EditedConnection, kw_only=True):
    """A connection to be made. `access_token` is stored, encrypted, and named in the settings by itself."""

    name: _Name


class EditedTask(msgspec.Struct, forbid_unknown_fields=True):
    """All settings of a task."""

    settings: TaskSettings


class NewTask(EditedTask, kw_only=True):
    """A task to be made."""

    name: _Name


class EditedChannel(msgspec.Struct, forbid_unknown_fields=True):
    """All settings of a channel. `address` takes the place of the one that is stored for it."""

    settings: ChannelSettings
    address: _Secret | None = None


class NewChannel(EditedChannel, kw_only=True):
    """A channel to be made. `address` is stored, encrypted, and named in the settings by itself."""

    name: _Name


class SecretBody(msgspec.Struct, forbid_unknown_fields=True):
    """A secret to be stored."""

    value: _Secret


class ConnectionBody(msgspec.Struct, kw_only=True):
    """A connection. Moments are unix seconds."""

    name: str
    settings: ConnectionSettings
    created_at: int
    changed_at: int


class TaskBody(msgspec.Struct, kw_only=True):
    """A task. `next_at` is when its schedule lets it run next, in unix seconds; null when nothing does."""

    name: str
    settings: TaskSettings
    paused: bool
    next_at: int | None
    created_at: int
    changed_at: int


class RunSummary(msgspec.Struct, kw_only=True):
    """A run, as lists show it. Moments are unix seconds, `budget_used` is a share from 0 to 1."""

    id: str
    task: str
    cause: str
    action: RunAction
    status: str
    attempt: int
    merged: int
    asked_by: str | None
    due_at: int
    started_at: int | None
    ended_at: int | None
    seconds: int | None
    worker: str | None
    gateway: str | None
    cancelling: bool
    error: str | None
    rows: int | None
    requests: int | None
    budget_used: float | None


class RunDetail(msgspec.Struct, kw_only=True):
    """One run: `progress` while it goes on, `report` with the proof of each table when it has ended."""

    run: RunSummary
    waits: str | None
    progress: Progress | None
    report: Report | None


class ProbeBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a gateway is asked about a connection: `access`, whether the key works; `tables`, also what they hold."""

    about: ProbeRequest


class PendingProbe(msgspec.Struct, kw_only=True):
    """A question to a gateway: its number, by which the answer is asked for."""

    inquiry: str


class ProbeAnswerBody(msgspec.Struct, kw_only=True):
    """What became of a question: while it waits there is no answer; with neither, no machine of the gateway came."""

    waiting: bool
    found: ProbeResult | None


class QueuedRun(msgspec.Struct, kw_only=True):
    """A run that waits for its turn; it may be one that waited already."""

    run: str


def shown(stored: object, body: type[Body]) -> Body:
    """Return what is stored as the API shows it: the fields that the body has."""
    return body(**{name: getattr(stored, name) for name in body.__struct_fields__})


def run_summary(stored: StoredRunSummary) -> RunSummary:
    """Return a run as the API lists it."""
    summary = shown(stored, RunSummary)
    summary.error = worded(summary.error, {}) if summary.error is not None else None
    return summary


def secret_of(text: str | None) -> Secret | None:
    """Return a secret that was sent, if one was."""
    return Secret(text) if text is not None else None


async def require_known(request: Request[Any, Any, Any]) -> None:
    """Raise InvalidSettings for a setting in a body that there is not, with the one that may be meant.

    Handlers declare the kind of settings that their bodies hold. A body that is nested too deeply is refused here; what
    else is wrong with a body is found where it is decoded.
    """
    if request.method not in ("POST", "PUT"):
        return
    try:
        sent = await request.json()
        kind = request.route_handler.opt.get("settings")
        if kind is not None and isinstance(sent, dict) and isinstance(sent.get("settings"), dict):
            decoded(sent["settings"], kind)
    except RecursionError:
        raise ClientException("The request is nested too deeply.") from None
    except SerializationException:
        return
