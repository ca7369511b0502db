"""Whether a table of the copy is true: what the source says, what was loaded and what the copy holds, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from cio_replicate.sinks.expected import Digests


class VerificationStatus(StrEnum):
    """What is known of a table of the copy."""

    PROVED = "proved"  # the source's own count, and the keys that were loaded, are those of the copy
    CONSISTENT = "consistent"  # the keys that were loaded are those of the copy; the source gives no count
    UNPROVED = "unproved"  # not enough is known
    SHORT = "short"  # the copy is not what it must be


class Verification(msgspec.Struct, kw_only=True):
    """What was found of one table. `basis` says where the source's count comes from, `why` the verdict in a sentence.

    `digest` is that of the keys read back from the copy, `landed` that of the keys which were loaded into it.
    """

    verdict: VerificationStatus
    why: str
    source: int | None = None
    basis: str = ""
    rows: int = 0
    digest: str = ""
    landed: str | None = None


@dataclass(frozen=True, slots=True)
class SourceCount:
    """How many rows the source says a table has, and where that stands (a noun).

    With `is_old` it may be of a time before the table was read; `may_be_gone` so many rows have gone since. With
    `is_later` it was counted after the table was read, so rows may have come and gone since.
    """

    rows: int
    basis: str
    may_be_gone: int = 0
    is_old: bool = False
    is_later: bool = False


@dataclass(frozen=True, slots=True)
class VerificationInput:
    """What is known of a table: whether its read was completed, what it must hold and holds, what the source says.

    `left_out` are records that the source lists without handing them over. With `counted_only` the keys in the
    copy were counted, and not read back.
    """

    closed: bool
    expected: Digests | None
    held: Digests
    source: SourceCount | None = None
    left_out: int = 0
    counted_only: bool = False


NOT_READ_BACK = (
    "The copy has as many rows as were loaded into it. Whether they are the same was not looked at, since they are so "
    "many: `cio-replicate verify` does it."
)
MEND = "Run `cio-replicate resync` for this table."


def judge(found: VerificationInput) -> Verification:
    """The verdict on a table: the worst that the evidence allows."""
    verdict, why = _verdict(found)
    if found.counted_only and verdict in (VerificationStatus.PROVED, VerificationStatus.CONSISTENT):
        verdict, why = VerificationStatus.UNPROVED, NOT_READ_BACK
    return Verification(
        verdict=verdict,
        why=why,
        source=found.source.rows if found.source is not None else None,
        basis=found.source.basis if found.source is not None else "",
        rows=found.held.rows,
        digest="" if found.counted_only else found.held.digest,
        landed=found.expected.digest if found.expected is not None else None,
    )


def _verdict(found: VerificationInput) -> tuple[VerificationStatus, str]:
    rows, expected, source = found.held.rows, found.expected, found.source
    if expected is not None and rows != expected.rows:
        more = rows - expected.rows
        said = f"{_rows(more)} more than" if more > 0 else f"{_rows(-more)} fewer than"
        return (
            VerificationStatus.SHORT,
            f"The copy has {said} were loaded into it: somebody else has changed it. {MEND}",
        )
    if expected is not None and not found.counted_only and found.held != expected:
        return (
            VerificationStatus.SHORT,
            f"The copy has other rows than were loaded into it: somebody else has changed it. {MEND}",
        )
    if not found.closed:
        return VerificationStatus.UNPROVED, "The table was not read to its end."
    if source is not None and rows < source.rows:
        return _fewer(found, source, source.rows - rows)
    if expected is None:
        return VerificationStatus.UNPROVED, "What was loaded has not been counted from the beginning."
    if source is None:
        return (
            VerificationStatus.CONSISTENT,
            "Every row that was loaded is there; the API gives no count to compare with.",
        )
    if rows > source.rows:
        return (
            VerificationStatus.CONSISTENT,
            f"Every row is there, and {rows - source.rows:,} more: {_why_more(source)}.",
        )
    return VerificationStatus.PROVED, "The copy has as many rows as the source says, and the keys that were loaded."


def _why_more(source: SourceCount) -> str:
    if source.is_later:
        return "they are gone at the source since it was read, or are from before the start date"
    return "some came since it was counted" if source.is_old else "rows from before the start date are kept"


def _fewer(found: VerificationInput, source: SourceCount, missing: int) -> tuple[VerificationStatus, str]:
    if missing <= source.may_be_gone:
        return (
            VerificationStatus.CONSISTENT,
            f"Every row that was loaded is there; {missing:,} may have gone since the source counted.",
        )
    if missing <= source.may_be_gone + found.left_out:
        return (
            VerificationStatus.UNPROVED,
            f"The API lists {_rows(min(missing, found.left_out))} that it does not hand over.",
        )
    said = f"{source.basis[:1].upper()}{source.basis[1:]} says {source.rows:,}, the copy has {found.held.rows:,}"
    if source.is_later:
        return (
            VerificationStatus.UNPROVED,
            f"{said}: the others have come since it was read, or are missing. Run `sync` to know.",
        )
    return VerificationStatus.SHORT, f"{said}. Run again; if it stays, run `cio-replicate resync` for this table."


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
