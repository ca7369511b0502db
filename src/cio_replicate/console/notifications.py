"""What a notification says: what happened, in plain words, and what to do next; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from cio_replicate.base.words import counted, number
from cio_replicate.pipeline.replication_report import Report, Status, TableReport
from cio_replicate.pipeline.report import VerificationStatus

MOST_NAMED = 10  # tables that are named one by one
LONGEST_CAUSE = 400
_WORDS = {Status.FAILED: "failed", Status.REFUSED: "was refused", Status.INTERRUPTED: "was interrupted"}


@dataclass(frozen=True, slots=True)
class EndedRun:
    """How a run of a task ended. `attempt` counts the tries, the first one included; `will_retry`: another follows."""

    run_id: str
    task: str
    status: str
    attempt: int
    error: str | None
    report: Report | None
    will_retry: bool

    @property
    def failed_tables(self) -> list[TableReport]:
        """The tables that failed."""
        return [one for one in self._tables if one.status is Status.FAILED]

    @property
    def short_tables(self) -> list[TableReport]:
        """The tables whose copy is not what it must be."""
        return [one for one in self._tables if one.proof is not None and one.proof.verdict is VerificationStatus.SHORT]

    @property
    def frozen_tables(self) -> list[TableReport]:
        """The tables that failed for a field that they do not know."""
        return [one for one in self._tables if one.frozen_out]

    @property
    def new_columns(self) -> dict[str, list[str]]:
        """The columns that the run has made, by table."""
        return {one.name: one.new_columns for one in self._tables if one.new_columns}

    @property
    def is_only_short(self) -> bool:
        """Whether nothing failed but proofs."""
        return bool(self.short_tables) and all(one in self.short_tables for one in self.failed_tables)

    @property
    def is_only_frozen(self) -> bool:
        """Whether nothing failed but tables with a frozen schema."""
        return bool(self.frozen_tables) and all(one.frozen_out for one in self.failed_tables)

    @property
    def _tables(self) -> list[TableReport]:
        return self.report.tables if self.report is not None else []


def text_of(event: str, ended: EndedRun, next_at: int | None) -> tuple[str, str]:
    """The title and the body of a notification; `next_at` is when the task is due next, in unix seconds."""
    title, lines = {
        "failure": _failure,
        "short": _short,
        "schema": _schema,
        "recovery": _recovery,
    }[event](ended)
    if event != "recovery":
        due = f"By its schedule it runs next at {_moment(next_at)}." if next_at is not None else ""
        lines += ["", *([due] if due else [])]
    lines.append(f"All about this run: cio-replicate runs show {ended.run_id[:12]}")
    return f"cio-replicate: {title}", "\n".join(lines)


def _failure(ended: EndedRun) -> tuple[str, list[str]]:
    word = _WORDS.get(Status(ended.status), ended.status)
    tries = f", the last of {ended.attempt} tries" if ended.attempt > 1 else ""
    lines = [f"The task {ended.task} {word}{tries}."]
    if ended.error:
        lines.append(_cut(ended.error))
    lines += _each([f"{one.name}: {_cut(one.error or 'failed')}" for one in ended.failed_tables])
    if ended.status == Status.REFUSED:
        again = "Nothing was written. When it is mended, run it again"
    else:
        again = "What was read is kept. When the cause is mended, run it again, and it goes on from there"
    return f"{ended.task} {word}", [*lines, "", f"{again}: cio-replicate task run {ended.task}"]


def _short(ended: EndedRun) -> tuple[str, list[str]]:
    short = ended.short_tables
    names = ",".join(one.name for one in short)
    lines = [f"The proof of the task {ended.task} found that {_tables(len(short))} not what they must be:"]
    if len(short) == 1:
        lines = [f"The proof of the task {ended.task} found that a table is not what it must be:"]
    for one in short[:MOST_NAMED]:
        why = one.proof.why.partition(" Run ")[0] if one.proof is not None else ""
        lines.append(f"- {one.name}: {_cut(why)}")
    lines += _more(len(short))
    lines += [
        "",
        f"Run it again: cio-replicate task run {ended.task}",
        f"If it stays so, read the table anew: cio-replicate task run {ended.task} --resync {names}",
    ]
    return f"{ended.task}: {counted(len(short), 'table')} short", lines


def _schema(ended: EndedRun) -> tuple[str, list[str]]:
    lines: list[str] = []
    if ended.new_columns:
        lines.append(f"The API sends fields that the copy of the task {ended.task} did not have:")
        lines += _each([f"{table}: {', '.join(columns)}" for table, columns in ended.new_columns.items()])
        lines.append("They are columns of the copy now; nothing needs to be done.")
    if ended.frozen_tables:
        lines += [""] if lines else []
        lines.append(f"Tables of the task {ended.task} failed, since their schema is frozen:")
        lines += _each([f"{one.name}: {_cut(one.error or '')}" for one in ended.frozen_tables])
        lines.append("What becomes of unknown fields is set in the task (--schema-changes).")
    what = "frozen tables failed" if ended.frozen_tables else "new columns"
    return f"{ended.task}: {what}", lines


def _recovery(ended: EndedRun) -> tuple[str, list[str]]:
    changed = sum(one.inserted + one.updated + one.deleted for one in ended.report.tables) if ended.report else 0
    line = f"The task {ended.task} is complete again: {counted(changed, 'row')} changed. Nothing needs to be done."
    return f"{ended.task} is complete again", [line]


def _each(texts: list[str]) -> list[str]:
    return [f"- {text}" for text in texts[:MOST_NAMED]] + _more(len(texts))


def _more(count: int) -> list[str]:
    return [f"- and {number(count - MOST_NAMED)} more"] if count > MOST_NAMED else []


def _tables(count: int) -> str:
    return f"{counted(count, 'table')} are"


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_CAUSE else line[: LONGEST_CAUSE - 1] + "…"


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
