"""The error tree: what went wrong, what to do about it, and what the program does next."""

from __future__ import annotations

import traceback
from enum import StrEnum
from pathlib import Path
from typing import ClassVar


class Next(StrEnum):
    """What the program does after an error of this class."""

    ABORT = "abort"  # the whole run stops
    FAIL_TABLE = "fail table"  # this table stops, the others go on
    RETRY = "retry"  # the request is sent again, within bounds
    SKIP = "skip"  # this part is left out, counted and reported
    FIX = "fix settings"  # nothing is read until the user changes something


class CioReplicateError(Exception):
    """Base of every error that this project raises on purpose.

    `message` is one sentence with the cause, `fix` one with what to do next. Neither ever holds a secret: text that
    comes from outside is scrubbed before it gets here.
    """

    next: ClassVar[Next] = Next.ABORT

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message, fix)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".strip()


def defect(error: BaseException) -> str:
    """A defect of this program in one line: its kind and its place, but not its words, which may quote data."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f" in {Path(frame.filename).name}, line {frame.lineno}" for frame in last)
    return f"Internal error: {type(error).__name__}{place}. Please report it with this line; what has landed is kept."


# --- the user's settings, found before anything is read -------------------------------------------------------------


class SettingsError(CioReplicateError):
    """A setting is missing or wrong."""

    next = Next.FIX


class StateFolderError(SettingsError):
    """The state folder cannot be used."""


class TaskBusyError(SettingsError):
    """Another process runs the same task."""


class DestinationUnavailableError(SettingsError):
    """The destination cannot be opened: locked, unwritable or not what it should be."""


class NotAllowedError(SettingsError):
    """Who asked may not do that: another role may."""


class NotThereError(SettingsError):
    """What is named in the control database is not there."""


class BoardAwayError(CioReplicateError):
    """What hands out runs, the control database or a console, cannot be reached just now."""

    next = Next.RETRY


class DatabaseError(CioReplicateError):
    """The control database is away, locked, full, or of a version that this program does not know."""

    next = Next.FIX


# --- access ---------------------------------------------------------------------------------------------------------


class AccessError(CioReplicateError):
    """The API refuses this key."""

    next = Next.FIX


class UnauthorizedError(AccessError):
    """401: the key is unknown here."""


class ForbiddenError(AccessError):
    """403: the key is known but may not read this."""


# --- reading --------------------------------------------------------------------------------------------------------


class ReadError(CioReplicateError):
    """A table cannot be read to its end; the others go on."""

    next = Next.FAIL_TABLE


class RequestRejectedError(ReadError):
    """400 or another 4xx: the API does not accept the request as sent."""


class CursorRejectedError(ReadError):
    """The API no longer accepts a page token; the part is read again from its first page, a bounded number of times."""

    next = Next.RETRY


class NotFoundError(ReadError):
    """404 on a list: the address or the feature does not exist for this workspace."""


class ChildGoneError(ReadError):
    """404 on a part of a table: that part is skipped and reported."""

    next = Next.SKIP


class QuotaExhaustedError(ReadError):
    """429 that waiting seconds cannot mend: a daily quota is used up."""


class GaveUpError(ReadError):
    """Retries ran out, in number or in time."""


class PageShapeError(ReadError):
    """A page is not of the promised shape, so its records cannot be trusted to be all there are."""


class SchemaChangedError(ReadError):
    """The API sends a field, or a type of value, that a table does not know whose schema is frozen."""


class EndlessListError(ReadError):
    """A list does not end: a page token came twice, or empty pages go on and on."""


class TransientError(CioReplicateError):
    """One attempt failed in a way that another may mend. `retry_after` is the server's wish in seconds."""

    next = Next.RETRY

    def __init__(self, message: str, *, retry_after: float | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status


# --- keeping --------------------------------------------------------------------------------------------------------


class LandingError(CioReplicateError):
    """A page could not be made durable (disk full, folder gone)."""

    next = Next.ABORT


class LoadError(CioReplicateError):
    """The destination refused a batch; it stays landed and is loaded by the next run."""

    next = Next.FAIL_TABLE


class PartlyLoadedError(LoadError):
    """Some of several destinations refused a batch; the others have it, and the next run loads it to all of them.

    `changed` counts what it changed in the others: inserted, updated and deleted rows.
    """

    def __init__(self, message: str, fix: str = "", *, changed: tuple[int, int, int] = (0, 0, 0)) -> None:
        super().__init__(message, fix)
        self.changed = changed


# --- gateways -------------------------------------------------------------------------------------------------------


class GatewayRefusedError(CioReplicateError):
    """The console does not take a request of a gateway. `code` says why, in a word that the gateway can act on."""

    next = Next.FIX

    def __init__(self, message: str, fix: str = "", *, code: str = "") -> None:
        super().__init__(message, fix)
        self.code = code
