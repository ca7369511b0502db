"""How a command fails: one line on standard error, an exit code, and JSON for whoever asked for it."""

from __future__ import annotations

import json
import time
import traceback
import uuid
from collections.abc import Mapping, Sequence

from cio_replicate.base.errors import CioReplicateError, Refused, Unavailable
from cio_replicate.base.text import Secret
from cio_replicate.config.connection_options import TOKEN_VARIABLE

COMPLETE, FAILED, REFUSED, INTERRUPTED, UNREAD = 0, 1, 2, 130, 141
DEBUG_VARIABLE = "CIO_REPLICATE_DEBUG"
LONGEST = 300
WITH_REPORT = ("sync", "resync", "backfill", "load")  # commands of which `--json` writes the report of a run


def exit_code(error: CioReplicateError) -> int:
    """2 when nothing was done: somebody must change something, or wait; 1 for the rest."""
    return REFUSED if isinstance(error, Refused | Unavailable) else FAILED


def usage(message: str, command: str) -> str:
    """A wrong call in one line, with the way to the right one."""
    return f"{' '.join(message.split()).rstrip('.')}. `{command} --help` shows how it is used."


def missing(error: ModuleNotFoundError, asked: Sequence[str]) -> str:
    """A library that is not installed, in one line: whatever is always needed is there, so it belongs to an extra."""
    extra = "gateway" if "gateway" in asked[:1] else "console"
    return f"This command needs {error.name}, which is not installed. Install it: pip install 'cio-replicate[{extra}]'."


def internal(error: BaseException) -> str:
    """A defect of this program in one line."""
    said = " ".join(str(error).split())[:LONGEST]
    return (
        f"Internal error: {type(error).__name__}{f' ({said})' if said else ''}. Please report it; "
        f"{DEBUG_VARIABLE}=1 shows where it happened. The downloaded rows are kept."
    )


def trace_of(error: BaseException) -> str:
    """The whole traceback, without local values."""
    return "".join(traceback.format_exception(error))


def scrubbed(text: str, environment: Mapping[str, str]) -> str:
    """`text` without the access token, whatever wrote it there."""
    return Secret(environment.get(TOKEN_VARIABLE, "").strip()).scrub(text)


def document(sentence: str, code: int, asked: Sequence[str]) -> str:
    """What a command that asked for JSON gets instead of its own document."""
    status = "refused" if code == REFUSED else "failed"
    if next((one for one in asked if not one.startswith("-")), "") not in WITH_REPORT:
        return json.dumps({"status": status, "error": sentence}, indent=2)
    from cio_replicate.pipeline.report import Report, Status, iso  # noqa: PLC0415 - so that --help is quick

    now = iso(time.time())
    report = Report(run_id=uuid.uuid4().hex[:12], status=Status(status), started=now, ended=now, error=sentence)
    return report.to_json()
