"""The error tree as a page to read: `python -m cio_replicate.cli.error_page > docs/errors.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from cio_replicate.app.settings import IMPATIENT
from cio_replicate.base import errors
from cio_replicate.base.errors import CioReplicateError
from cio_replicate.cli import failure
from cio_replicate.cli.written_page import write_or_check
from cio_replicate.source.client import RetryPolicy
from cio_replicate.source.stream import MOST_RESTARTS

COMMAND = "python -m cio_replicate.cli.error_page"
PACKAGE = "cio_replicate."

Kind = type[CioReplicateError]
_FIX = "Before anything is kept, the run ends; later, the tables that it concerns fail with exit code 1."
_RETRY = "It is tried again, within bounds; when they are reached, another error of this list says so."
_THEN: dict[Kind, tuple[str, str]] = {  # the first class that an error is of decides
    errors.ChildGoneError: (
        "skip",
        "This part is left out and named in the report; the table goes on and deletes nothing.",
    ),
    errors.CursorRejectedError: ("retry", _RETRY),
    errors.TransientError: ("retry", _RETRY),
    errors.Unavailable: (
        "wait",
        "As for wrong settings; a scheduled run is tried again after a pause, and a gateway goes on by itself.",
    ),
    errors.Refused: ("fix settings", _FIX),
    errors.TableFailed: ("fail table", "The table fails and keeps its position; the others go on."),
    CioReplicateError: ("abort", "The run stops; what is landed and loaded is kept."),
}
_SKIPPED = ("skip", "retry")  # fails nothing


def tree(root: Kind = CioReplicateError, depth: int = 0) -> Iterator[tuple[Kind, int]]:
    """Every error class below `root` with its depth, each below the first of its bases."""
    for kind in root.__subclasses__():
        if kind.__module__.startswith(PACKAGE) and kind.__bases__[0] is root:
            yield kind, depth
            yield from tree(kind, depth + 1)


def page() -> str:
    """The whole page, in Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    policy = RetryPolicy()
    yield from (f"<!-- Written by `{COMMAND}`: change the errors, not this page. -->", "", "# Errors", "")
    yield "What can go wrong, what the program does then, and the exit code when nothing worse happens. Each message is"
    yield "one sentence with the cause and one with the fix. A class that stands under another is a kind of it."
    yield from ("", "| Error | What happened | Next | Exit code |", "| --- | --- | --- | --- |")
    for kind, depth in tree():
        about = " ".join((kind.__doc__ or "").split()).replace("|", "\\|")
        yield f"| {'↳ ' * depth}`{kind.__name__}` | {about} | {_then(kind)[0]} | {_code(kind)} |"
    yield from ("", "| Next | What the program does |", "| --- | --- |")
    yield from (f"| {name} | {about} |" for name, about in dict(_THEN.values()).items())
    yield from (
        "",
        "## How often a request is tried",
        "",
        (
            f"- {_bounds(policy)}, waiting about {policy.first_wait} seconds, then twice as long each time, up"
            f" to {policy.longest_wait:.0f}. Waiting for other requests of the same run does not count."
            f" `check`, `plan`, `preview` and `verify`: {_bounds(IMPATIENT)}."
        ),
        (
            "- `Retry-After` is honoured, by all requests and not only by the one that was answered so, and a 429 that"
            " has it is tried as often as the time allows. After a 429 fewer requests a second are sent for a while."
        ),
        (
            f"- {policy.attempts_without_header} times when it is answered 429 without `Retry-After`: then a daily"
            " quota is taken to be used up; at once when the answer says so."
        ),
        f"- {policy.attempts_on_shape} times when the answer is not the promised page.",
        f"- {policy.attempts_unreachable} times when nobody has answered yet: then the address is taken to be wrong.",
        f"- A page token that is no longer accepted starts its part of the table again, {MOST_RESTARTS} times.",
        "- A page token that comes twice is asked for once more before it counts.",
        "",
        "## Exit codes",
        "",
        "| Code | Means |",
        "| --- | --- |",
        f"| {failure.COMPLETE} | Every table is complete. |",
        f"| {failure.FAILED} | Some table failed, or the program has a defect. The other tables are loaded. |",
        f"| {failure.REFUSED} | Settings or access are wrong. Nothing was read into the copy. |",
        f"| {failure.INTERRUPTED} | Stopped by Ctrl-C or SIGTERM. What is landed is kept. |",
        f"| {failure.UNREAD} | The program that read standard output, such as `head`, went away. |",
        "",
        f"A defect of the program itself is one line too; with `{failure.DEBUG_VARIABLE}=1` in the environment its",
        "traceback is shown, without the access token.",
    )


def _bounds(policy: RetryPolicy) -> str:
    return f"{policy.attempts} times within {policy.total_seconds:.0f} seconds"


def _then(kind: Kind) -> tuple[str, str]:
    return next(then for one, then in _THEN.items() if issubclass(kind, one))


def _code(kind: Kind) -> int:
    """What the exit code is when this is the worst that happens: what is retried or skipped fails nothing."""
    return failure.COMPLETE if _then(kind)[0] in _SKIPPED else failure.exit_code(kind.__new__(kind))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page to standard output; with `--check FILE`, return 1 when that file is not the page."""
    return write_or_check(page(), "the errors", COMMAND, arguments)


if __name__ == "__main__":
    sys.exit(main())
