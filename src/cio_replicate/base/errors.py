"""The error tree: what went wrong, what to do about it; the class says what the program does next."""

from __future__ import annotations

import traceback
from pathlib import Path

from cio_replicate.base.text import FIELD


class CioReplicateError(Exception):
    """Base of every error that this project raises on purpose.

    `cause` is one sentence, `fix` one with what to do next; neither ever holds a secret: text that comes from outside
    is scrubbed before it gets here. Settings are named as ‹name›, and a face puts its own word there (`text.worded`);
    `field` is the one that is wrong, by default the first that is named. `code` is for programs.
    """

    code: str = "error"

    def __init__(self, cause: str, fix: str = "", *, field: str | None = None) -> None:
        super().__init__(cause, fix)
        self.cause = cause
        self.fix = fix
        named = FIELD.search(cause) or FIELD.search(fix)
        self.field = field or (named[1] if named is not None else None)

    def __str__(self) -> str:
        return f"{self.cause} {self.fix}".strip()


# --- the seven kinds that a face tells apart ------------------------------------------------------------------------


class Refused(CioReplicateError):
    """Nothing was done, and nothing will be until somebody changes something."""

    code = "refused"


class InvalidSettings(Refused):
    """A setting is missing or wrong."""

    code = "invalid_settings"


class NotFound(Refused):
    """What was named is not there."""

    code = "not_found"


class Conflict(Refused):
    """What is there does not allow it: a name that is taken, something in use, a copy that is missing."""

    code = "conflict"


class Forbidden(Refused):
    """Who asked may not do that, or a key may not read that."""

    code = "forbidden"


class Unavailable(CioReplicateError):
    """A machine, a database or a network does not answer as it should; this may pass by itself."""

    code = "unavailable"


class TableFailed(CioReplicateError):
    """One table cannot be read or written; the others go on."""

    code = "table_failed"


class Defect(CioReplicateError):
    """A defect of this program in one line: its kind and its place, but not its words, which may quote data."""

    code = "defect"

    @classmethod
    def of(cls, error: BaseException) -> Defect:
        """The defect that an exception which nobody expected shows."""
        last = traceback.extract_tb(error.__traceback__)[-1:]
        place = "".join(f" in {Path(frame.filename).name}, line {frame.lineno}" for frame in last)
        return cls(
            f"Internal error: {type(error).__name__}{place}.",
            "Please report it with this line; what has landed is kept.",
        )


# --- this machine, the destination and the control database ---------------------------------------------------------


class StateFolderError(InvalidSettings):
    """The state folder cannot be used."""


class TaskBusyError(Conflict, Unavailable):
    """Another process runs the same task; this passes when that ends."""


class DestinationUnavailableError(Unavailable):
    """The destination cannot be opened: locked, unwritable or not what it should be."""


class NotAllowedError(Forbidden):
    """Who asked may not do that: another role may."""


class DatabaseError(Unavailable):
    """The control database is away, locked, full, or of a version that this program does not know."""


# --- access ---------------------------------------------------------------------------------------------------------


class AccessError(Refused):
    """The API cannot be read with this key at this address."""


class UnauthorizedError(AccessError, Forbidden):
    """401: the key is unknown here."""


class NoReadAccessError(AccessError, Forbidden):
    """403: the key is known but may not read this."""


class UnreachableError(AccessError, Unavailable):
    """Nobody answers at this address, and nobody has before: the address or the network is wrong."""


# --- reading --------------------------------------------------------------------------------------------------------


class ReadError(TableFailed):
    """A table cannot be read to its end; the others go on."""


class RequestRejectedError(ReadError):
    """400 or another 4xx: the API does not accept the request as sent."""


class CursorRejectedError(ReadError):
    """The API no longer accepts a page token; the part is read again from its first page, a bounded number of times."""


class EndpointNotFoundError(ReadError):
    """404 on a list: the address or the feature does not exist for this workspace."""


class ChildGoneError(ReadError):
    """404 on a part of a table: that part is skipped and reported."""


class DailyQuotaError(ReadError):
    """429 that waiting seconds does not end: a daily quota is used up."""


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

    def __init__(self, cause: str, *, retry_after: float | None = None, status: int | None = None) -> None:
        super().__init__(cause)
        self.retry_after = retry_after
        self.status = status


# --- writing --------------------------------------------------------------------------------------------------------


class StagingFailed(CioReplicateError):
    """A page could not be made durable (disk full, folder gone)."""

    code = "staging_failed"


class LoadError(TableFailed):
    """The destination refused a batch; its pages stay staged and are loaded by the next run."""


class PartlyLoadedError(LoadError):
    """Some of several destinations refused a batch; the others have it, and the next run loads it to all of them.

    `changed` counts what it changed in the others: inserted, updated and deleted rows.
    """

    def __init__(self, cause: str, fix: str = "", *, changed: tuple[int, int, int] = (0, 0, 0)) -> None:
        super().__init__(cause, fix)
        self.changed = changed


# --- gateways -------------------------------------------------------------------------------------------------------


class GatewayRefusedError(Forbidden):
    """The console does not take a request of a gateway. `code` says why, in a word that the gateway can act on."""

    def __init__(self, cause: str, fix: str = "", *, code: str = "") -> None:
        super().__init__(cause, fix)
        self.code = code
