"""Plan a run: which tables are read from the start, from where an interrupted run stopped, or not again."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from cio_replicate.base.errors import Conflict, InvalidSettings
from cio_replicate.base.runtime import Clock, OnThread
from cio_replicate.config.table_options import USUAL as USUAL_TREATMENT
from cio_replicate.config.table_options import RereadPolicy, WriteMode, WriteOptions
from cio_replicate.pipeline.batches import DAMAGED
from cio_replicate.pipeline.estimates import History, last_complete, predicted
from cio_replicate.pipeline.journal import TableRead
from cio_replicate.pipeline.report import Status, TableReport, iso, read_report
from cio_replicate.pipeline.staging import Staging
from cio_replicate.pipeline.table_run import TableRun, read_whole
from cio_replicate.schema.system_tables import KEY, Checkpoint
from cio_replicate.schema.table import KnownColumns, Table
from cio_replicate.sinks.backend import NOT_DELETED, at_least
from cio_replicate.sinks.fan_out import members_of, missing_in
from cio_replicate.sinks.port import CopyIdentity, Sink, count_rows
from cio_replicate.source.catalog import ACTIVITY_LOG
from cio_replicate.source.strategies import strategy_of
from cio_replicate.source.strategies.base import USUAL, ReadScope, ReadStats, Strategy
from cio_replicate.source.strategies.log import LOOKBACK, anchor

LAST_REPORTS = 10  # in which each table is looked for


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What a run is to do: the tables, from which moment (unix seconds), which of them whole, what of them again.

    `treatments` say how changes reach each table, in the usual way where they say nothing. `backfill` are the creation
    times (unix seconds, both included) of deliveries that are read, and nothing else. With `keep_landed` the pages stay
    when they are loaded. With `forget` the tables that are read whole are counted from zero too. With `prove` the
    copy is verified at the end. With `erase` what may be personal is blanked of people who are gone; `others`
    are the tables that are not read, as the copy has them.
    """

    tables: tuple[Table, ...]
    start: int
    refresh: tuple[str, ...] = ()
    rules: RereadPolicy = USUAL
    treatments: Mapping[str, WriteOptions] = field(default_factory=dict)
    backfill: tuple[int, int] | None = None
    keep_landed: bool = False
    forget: bool = False
    prove: bool = True
    erase: bool = False
    others: tuple[Table, ...] = ()

    def treatment(self, table: str) -> WriteOptions:
        """How changes reach a table."""
        return self.treatments.get(table, USUAL_TREATMENT)

    @property
    def log(self) -> Table:
        """The activity log as the copy has it, whether or not it is read."""
        return next((one for one in self.tables if one.name == ACTIVITY_LOG.name), ACTIVITY_LOG)

    @property
    def reread(self) -> tuple[str, ...]:
        """The tables that are read whole, whatever was read before."""
        full = (table.name for table in self.tables if self.treatment(table.name).mode is WriteMode.FULL)
        return tuple(dict.fromkeys((*self.refresh, *full)))


@dataclass(slots=True)
class RunPlan:
    """What a run will do: the work of each table that is to be read, the reports of all, and what to say about it."""

    works: list[TableRun] = field(default_factory=list)
    reports: list[TableReport] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


class RunPlanner:
    """Plans one run. Asks the destination and the journal, so it belongs on the destination's thread."""

    def __init__(self, order: RunSpec, destination: Sink, folder: Staging, clock: Clock, began: int) -> None:
        self._order = order
        self._destination = destination
        self._folder = folder
        self._clock = clock
        self._began = began

    def plan(self) -> RunPlan:
        """The plan. Changes nothing in the destination; drops from the journal what is worth nothing any more."""
        plan = RunPlan()
        state = self._destination.open()
        identity = state.identity if state is not None else None
        require_same_names(self._destination, self._order.tables)
        require_same_rules(self._destination, self._order.others if self._order.erase else ())
        positions = state.checkpoints if state is not None else {}
        past = History(self._destination if identity else None, positions, log=self._order.log)
        if self._folder.has_journal:
            plan.notices += self._forget_other_copy(identity)
            reports = [read_report(text) for text in self._folder.journal.runs(LAST_REPORTS)]
            past = replace(past, reports=last_complete(reports))
        names = tuple(table.name for table in self._order.tables)
        starting = starting_positions(positions, names, self._order.reread)
        plan.notices += _forget_other_rules(self._order.tables, starting)
        past = replace(past, positions={name: at for name, at in starting.items() if at is not None})
        self._require_copied(positions)
        done = self._done(starting | self._replaced(positions)) if self._order.backfill is None else {}
        if done:
            were, are = ("1 table was", "is") if len(done) == 1 else (f"{len(done)} tables were", "are")
            plan.notices.append(
                f"Resuming the interrupted run: {were} complete at {iso(max(done.values()))} and {are} not read again."
            )
        for table in self._order.tables:
            if table.name in done:
                plan.reports.append(TableReport(name=table.name, status=Status.COMPLETE, continued=True))
                continue
            at = (starting[table.name], positions.get(table.name))
            work = self._work(table, *at, plan.notices, known=identity is not None)
            if work.replaces and work.keeps_earlier:
                work.report.notes.append("The copy goes back further than the start date, so no row is removed.")
            work.live = count_rows(self._destination, table) if identity is not None else 0
            if not work.read.recorded and self._order.backfill is None:
                base = past.positions.get(table.name)
                scope = ReadScope(self._order.start, self._began, base, self._order.rules)
                estimate = predicted(strategy_of(table, scope), past)
                work.report.predicted = estimate.least if estimate is not None else None
            plan.works.append(work)
            plan.reports.append(work.report)
        return plan

    def _require_copied(self, positions: Mapping[str, Checkpoint]) -> None:
        """Raise Conflict for a stretch of time of a table that was never read: its position would say too much."""
        for table in self._order.tables if self._order.backfill is not None else ():
            position = positions.get(table.name)
            if position is None or position.rules != table.rules:
                raise Conflict(
                    f"{table.name} has not been copied here yet, or by other rules for columns and names.",
                    "Run `sync` for it first; it reads everything since its ‹start_date›.",
                )

    def _forget_other_copy(self, identity: CopyIdentity | None) -> list[str]:
        journal = self._folder.journal
        if same_copy(journal.fact("copy"), journal.fact("commit"), identity):
            return []
        for read in journal.reads():
            self._drop(read)
        journal.forget_copy()
        return ["The destination is not as the last run left it, so this run goes on from what the destination says."]

    def _replaced(self, positions: Mapping[str, Checkpoint]) -> dict[str, Checkpoint]:
        """The positions of tables that are read whole on every run, as far as their last read was whole."""
        names = set(self._order.reread) - set(self._order.refresh)
        found = {}
        for table in self._order.tables:
            at = positions.get(table.name)
            if table.name in names and at is not None and at.last_whole == at.through and at.rules == table.rules:
                found[table.name] = at
        return found

    def _done(self, positions: Mapping[str, Checkpoint | None]) -> dict[str, int]:
        """The tables that a run which was killed a moment ago was done with already, and when."""
        if not self._folder.has_journal:
            return {}
        journal = self._folder.journal
        for table, position in positions.items():
            read = journal.read_of(table)
            if read is not None and position is not None and position.read == read.id:
                self._drop(read, closed=True)  # killed between the destination's commit and the note of it
        return still_done(journal.done(), positions, self._order.start, journal.last_sign_of_life(), self._began)

    def _work(
        self, table: Table, position: Checkpoint | None, base: Checkpoint | None, notices: list[str], *, known: bool
    ) -> TableRun:
        discovered = list(self._destination.state.discovered(table)) if known else []
        found_before = frozenset(column.name for column in discovered)
        read: TableRead | None = None
        if self._folder.has_journal:
            journal = self._folder.journal
            discovered += journal.discovered(table.name)
            read = journal.read_of(table.name)
            if read is not None and not self._goes_on(read, table, position, base):
                self._drop(read)
                read = None
            elif read is not None and not self._folder.sound(page.file for page in journal.pages(read)):
                notices.append(f"{DAMAGED.format(table=table.name)} It is read anew.")
                self._drop(read)
                read = None
        resumed = read is not None
        if read is None:
            strategy = self._strategy(table, self._order.start, self._began, position)
            backfill = self._order.backfill
            parts = strategy.partitions() if backfill is None else strategy.between(*backfill)
            tally = ReadStats(rules=table.rules, stretch=backfill)
            read = TableRead(
                uuid.uuid4().hex, table.name, self._order.start, self._began, self._began, position, parts, tally
            )
        else:
            strategy = self._strategy(table, read.start, read.began, read.base)
            more = strategy.added(read.parts, self._began) if self._order.backfill is None else []
            self._folder.journal.extend(read, more)
            read.parts += more
        return TableRun(
            strategy=strategy,
            read=read,
            fields=KnownColumns(table, discovered),
            base=base,
            report=TableReport(name=table.name, continued=resumed),
            started=self._clock.monotonic(),
            treatment=self._order.treatment(table.name),
            found_before=found_before,
            marks=self._order.erase and table.person == KEY.name,
            backfills=self._order.backfill is not None,
        )

    def _goes_on(self, read: TableRead, table: Table, position: Checkpoint | None, base: Checkpoint | None) -> bool:
        """Whether this run takes up a read that another one has begun, as far as its staged pages are of use here."""
        order, pages = self._order, self._folder.journal.pages(read)
        loaded_and_gone = sum(page.rows for page in pages) < read.tally.rows + read.tally.seen
        return (
            goes_on(read, position, order.start, self._began)
            and self._strategy(table, read.start, read.began, read.base).continues(read.parts)
            and read.tally.rules == table.rules
            and read.tally.stretch == order.backfill
            and not (order.forget and base is None)  # of a first read, rows are in the copy that somebody has changed
            and not (loaded_and_gone and order.treatment(table.name).mode is WriteMode.FULL)
        )

    def _strategy(self, table: Table, start: int, began: int, base: Checkpoint | None) -> Strategy:
        return strategy_of(table, ReadScope(start, began, base, self._order.rules))

    def _drop(self, read: TableRead, *, closed: bool = False) -> None:
        journal = self._folder.journal
        pages = journal.pages(read)
        if closed:
            journal.closed(read, self._destination.state.identity.commits, read.touched)
        else:
            journal.forget(read)
        kept = journal.kept_files()
        self._folder.drop([page.file for page in pages if page.file not in kept])


def _forget_other_rules(tables: Sequence[Table], starting: dict[str, Checkpoint | None]) -> list[str]:
    """Let tables begin from the start whose rows came by other rules for columns and names; one sentence for each."""
    notices = []
    for table in tables:
        position = starting.get(table.name)
        if position is not None and position.rules != table.rules:
            starting[table.name] = None
            notices.append(
                f"{table.name}: the rules for its columns are not those of the last run, so it is read anew. Rows that "
                "are not read again, older versions and noted changes keep what they held, until you `drop` the table."
            )
    return notices


# What an earlier run has left behind, and what of it is still worth continuing: pure decisions.


#: A part of a long list that was read is worth keeping; page tokens of a day ago may be unknown to the API.
RESUME_WITHIN = 24 * 3_600
#: A read that only waits to be closed costs one request a page to repeat, and its content grows old.
FINISHED_IS_FRESH = 600
#: A run that was killed and is started again this soon is the same run: what it was done with is not read again.
SAME_RUN_WITHIN = 3_600


def same_copy(copy_id: str | None, commit: str | None, now: CopyIdentity | None) -> bool:
    """Whether the destination is the one that the journal's pages went into, and has all commits it knows of.

    One commit more is that of a run which died before it could note it down. Fewer mean a copy restored from a
    backup: rows that the journal takes for loaded are not there.
    """
    if copy_id is None:
        return True  # nothing was loaded yet
    return now is not None and now.copy_id == copy_id and now.commits >= int(commit or 0)


def goes_on(read: TableRead, position: Checkpoint | None, start: int, now: int) -> bool:
    """Whether a run that begins `now` takes up this read.

    It must have begun from where the destination stands (else it was closed already, or belongs to another past),
    with the same start date, and be fresh enough.
    """
    age = now - read.touched
    fresh = age <= (FINISHED_IS_FRESH if read.finished else RESUME_WITHIN)
    return read.base == position and read.start == start and fresh


def still_done(
    done: Mapping[str, tuple[str, int]],
    positions: Mapping[str, Checkpoint | None],
    start: int,
    last_sign_of_life: int,
    now: int,
) -> dict[str, int]:
    """The tables that the run before, which never ended, was done with, and when (unix seconds).

    Each must stand in the destination where that run left it, with a start date that is covered.
    """
    if now - last_sign_of_life > SAME_RUN_WITHIN:
        return {}
    found = {}
    for table, (read, at) in done.items():
        position = positions.get(table)
        if position is not None and position.read == read and position.start <= start:
            found[table] = at
    return found


def starting_positions(
    positions: Mapping[str, Checkpoint], tables: tuple[str, ...], refresh: tuple[str, ...]
) -> dict[str, Checkpoint | None]:
    """The position that each table starts from; none for a table that is to be read from the start."""
    return {table: None if table in refresh else positions.get(table) for table in tables}


# That a table keeps the name that it has in a copy and, where rows must be found again, the rules for its columns.


def require_same_names(destination: Sink, tables: Sequence[Table]) -> None:
    """Raise InvalidSettings when a copy knows one of these tables by another name than the one that it is to have."""
    for where, table, position in _known(destination, tables):
        called = other_name(table, position)
        if called:
            raise InvalidSettings(
                f"The table {table.name} is called {called} in the copy{where}, and would be called {table.target}.",
                "Give ‹table_prefix› and ‹column_case› as before, choose another ‹dataset›, or drop the table.",
            )


def require_same_rules(destination: Sink, tables: Sequence[Table]) -> None:
    """Raise InvalidSettings when rows about people could not be found in one of these tables, which are not read now.

    By other rules for columns and names they are looked for in columns that are called or hashed otherwise.
    """
    require_same_names(destination, tables)
    for where, table, position in _known(destination, tables):
        if table.person is not None and position.rules != table.rules:
            raise InvalidSettings(
                f"‹erase› could not find rows of {table.name}, which was copied{where} by other rules for its columns.",
                "Give ‹columns›, ‹salt›, ‹column_prefix› and ‹column_case› as in the run that copied it.",
            )


def _known(destination: Sink, tables: Sequence[Table]) -> Iterator[tuple[str, Table, Checkpoint]]:
    """Where each table was copied, for a sentence, and how far it was read there."""
    missing = missing_in(destination)
    for name, copy in members_of(destination).items():
        positions = copy.state.checkpoints if name not in missing else {}
        for table in tables:
            if table.name in positions:
                yield f" in {name}" if name else "", table, positions[table.name]


def other_name(table: Table, position: Checkpoint | None) -> str:
    """What a copy calls a table by the position that it has, if that is not its name here; else "".

    Positions of earlier versions lack it.
    """
    called = position.target if position is not None else ""
    return called if called != table.target else ""


# The activity log in a run: who waits for it, and what a whole read found that shorter ones had missed.


class LogCoverage:
    """The log as a plan has it; `start` is the start date in unix seconds."""

    def __init__(self, plan: RunPlan, start: int) -> None:
        self._work = next((work for work in plan.works if work.table.name == ACTIVITY_LOG.name), None)
        self._was_read = any(one.name == ACTIVITY_LOG.name and one.status is Status.COMPLETE for one in plan.reports)
        self._start = start

    def first_read_after(self, moment: int) -> int:
        """When the log was read for the first time after the read of people that began at `moment`.

        If the same run last read both, that is this run: what it adds to the log is all that has happened since.
        """
        base = self._work.base if self._work is not None else None
        same_run = base is not None and base.through == moment
        return self._work.read.began if self._work is not None and same_run else moment

    async def has_all_since(self, moment: int) -> bool:
        """Wait until the log is read and loaded; whether the copy then lacks nothing of it since `moment`."""
        if self._start > moment:
            return False
        if self._work is None:
            return self._was_read
        await self._work.ended.wait()
        return self._work.closed and self._work.lost is None


async def late_entries(work: TableRun, destination: Sink, on_thread: OnThread) -> int:
    """How many entries a whole read of the log has added that lie further back than the read before would have looked.

    They were back-dated by more than a read of the newest entries looks back.
    """
    base = work.read.base
    if base is None or not read_whole(work) or not work.closed:
        return 0
    seen_back_to = anchor(base) - LOOKBACK

    def count() -> int:
        where = [NOT_DELETED, at_least("_cio_synced_at", work.read.began)]
        rows = destination.read(work.table, [work.table.name_of("timestamp")], where)
        return sum(isinstance(at, datetime) and base.start <= at.timestamp() < seen_back_to for (at,) in rows)

    return await on_thread(count)
