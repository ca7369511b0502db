"""One run: plan what to read, read and land it, load it, move positions, report."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from cio_replicate.api.client import Client
from cio_replicate.base import events
from cio_replicate.base.clock import Clock
from cio_replicate.base.errors import AccessError, CioReplicateError, LandingError, ReadError
from cio_replicate.extract.gate import AccessGate
from cio_replicate.extract.lander import Lander
from cio_replicate.extract.parts import more_parts, parts_of
from cio_replicate.extract.reader import Surroundings, TableReader
from cio_replicate.extract.together import together
from cio_replicate.landing.folder import StateFolder
from cio_replicate.landing.position import Position
from cio_replicate.landing.read import Part, Read
from cio_replicate.load.destination import Destination, Identity
from cio_replicate.replication.gap import gap
from cio_replicate.replication.loader import Loader
from cio_replicate.replication.recover import goes_on, same_copy, starting_positions, still_done
from cio_replicate.replication.report import Report, Status, TableReport, iso, outcome, read_report
from cio_replicate.replication.work import Work, share_read
from cio_replicate.tables.declare import Table
from cio_replicate.tables.fields import Fields

T = TypeVar("T")

PATIENCE = 15.0  # seconds that tables with an answer wait for those without one, before anything is kept


@dataclass(frozen=True, slots=True)
class Order:
    """What a run is to do: the tables, from which moment (unix seconds), and which of them anew."""

    tables: tuple[Table, ...]
    start: int
    refresh: tuple[str, ...] = ()


class Run:
    """One execution of an order. `execute` may be called once.

    Nothing is written, here or in the destination, before the API has let every table in. Whatever ends a run, what
    has landed stays landed, and what is loaded is consistent.
    """

    def __init__(
        self,
        order: Order,
        client: Client,
        destination: Destination,
        folder: StateFolder,
        clock: Clock,
        tell: events.Listener,
        *,
        destination_name: str = "",
    ) -> None:
        self._order = order
        self._client = client
        self._destination = destination
        self._folder = folder
        self._clock = clock
        self._tell = tell
        self._destination_name = destination_name
        self._began = int(clock.now())
        self._monotonic = clock.monotonic()
        self.report = Report(run_id=uuid.uuid4().hex[:12], started=iso(self._began))
        self._landing_thread = ThreadPoolExecutor(1, "landing")
        self._loading_thread = ThreadPoolExecutor(1, "loading")
        self._gate = AccessGate(
            (table.name for table in order.tables), PATIENCE + len(order.tables) / client.requests_per_second
        )
        self._works: list[Work] = []
        self._prepared = asyncio.Lock()
        self._identity: Identity | None = None

    async def execute(self) -> Report:
        """Do it. The report tells how each table ended.

        Raises AccessError or SettingsError when nothing was read. When cancelled, raises CancelledError after the page
        and the batch under way are finished; `report` then holds what was done.
        """
        loader = Loader(
            self._destination, self._folder, self.report.run_id, self._clock, self._loading, self._tell, self._ended
        )
        try:
            for notice in await self._loading(self._plan):
                self._tell(events.Noted(notice))
            reading = [partial(self._read_table, work, loader) for work in self._works]
            async with asyncio.TaskGroup() as group:
                loads = group.create_task(loader.run())
                try:
                    if not reading:  # all was done but the end of the run
                        await self._open()
                    await together(reading)
                except BaseException:
                    loads.cancel()
                    raise
                loader.no_more()
        except BaseExceptionGroup as many:
            self._failed_whole(many.exceptions[0])
        except CioReplicateError as error:
            self._failed_whole(error)
        finally:
            self._landing_thread.shutdown(wait=True)
            self._loading_thread.shutdown(wait=True)
            self._conclude()
        return self.report

    def _plan(self) -> list[str]:
        """Decide what each table reads, and what to tell about it. Asks the destination, so on its thread."""
        identity = self._destination.look()
        positions = self._destination.positions() if identity else {}
        last: dict[str, int] = {}
        notices = []
        if self._folder.has_journal:
            notices = self._forget_other_copy(identity)
            last = {table.name: table.read for table in self._last_tables()}
        names = tuple(table.name for table in self._order.tables)
        starting = starting_positions(positions, names, self._order.refresh)
        done = self._done(starting)
        for table in self._order.tables:
            if table.name in done:
                self._gate.passed(table.name)
                note = f"Complete since {iso(done[table.name])}, by the run that was broken off; not read again."
                self.report.tables.append(TableReport(name=table.name, status=Status.COMPLETE, notes=[note]))
                continue
            work = self._work(table, starting[table.name], known=identity is not None)
            work.expected_rows = last.get(table.name)
            self._works.append(work)
            self.report.tables.append(work.report)
        return notices

    def _done(self, positions: Mapping[str, Position | None]) -> dict[str, int]:
        """The tables that a run which was killed a moment ago was done with already."""
        if not self._folder.has_journal:
            return {}
        journal = self._folder.journal
        for table, position in positions.items():
            read = journal.read_of(table)
            if read is not None and position is not None and position.read == read.id:
                self._drop(read, closed=True)  # killed between the destination's commit and the note of it
        return still_done(journal.done(), positions, self._order.start, journal.last_sign_of_life(), self._began)

    def _work(self, table: Table, position: Position | None, *, known: bool) -> Work:
        discovered = list(self._destination.discovered(table)) if known else []
        read: Read | None = None
        if self._folder.has_journal:
            journal = self._folder.journal
            discovered += journal.discovered(table.name)
            read = journal.read_of(table.name)
            if read is not None and not goes_on(read, position, self._order.start, self._began):
                self._drop(read)
                read = None
        resumed = read is not None
        if read is None:
            parts = parts_of(table, self._order.start, self._began)
            read = Read(uuid.uuid4().hex, table.name, self._order.start, self._began, self._began, position, parts)
        else:
            more = more_parts(table, read.parts, self._began)
            self._folder.journal.extend(read, more)
            read.parts += more
        return Work(
            table=table,
            read=read,
            fields=Fields(table, discovered),
            base=position,
            report=TableReport(name=table.name),
            started=self._clock.monotonic(),
            recorded=resumed,
        )

    def _forget_other_copy(self, identity: Identity | None) -> list[str]:
        journal = self._folder.journal
        if same_copy(journal.fact("copy"), journal.fact("commit"), identity):
            return []
        for table in self._order.tables:
            read = journal.read_of(table.name)
            if read is not None:
                self._drop(read)
        journal.forget_discovered()
        return ["The destination is not as the last run left it, so this run goes on from what the destination says."]

    def _drop(self, read: Read, *, closed: bool = False) -> None:
        journal = self._folder.journal
        pages = journal.pages(read)
        if closed:
            journal.closed(read, self._destination.identity().commits, read.touched)
        else:
            journal.forget(read)
        self._folder.drop([page.file for page in pages])

    def _last_tables(self) -> list[TableReport]:
        reports = self._folder.journal.runs(1)
        return read_report(reports[0]).tables if reports else []

    async def _read_table(self, work: Work, loader: Loader) -> None:
        """Read one table to its end or to its failure; only what concerns the whole run is raised."""
        name = work.table.name

        def landed(part: Part, rows: int) -> None:
            work.rows += rows
            work.pages += 1
            loader.landed(work, rows)
            share = share_read(work, part, work.expected_rows)
            self._tell(events.PageLanded(name, work.rows, work.pages, work.meter.requests, share))

        around = Surroundings(
            client=self._client,
            clock=self._clock,
            meter=work.meter,
            first_answer=lambda: self._gate.passed(name),
            ready=lambda: self._ready(work),
            on_thread=self._landing,
            landed=landed,
        )
        work.started = self._clock.monotonic()
        self._tell(events.TableStarted(name, work.recorded, work.expected_rows))
        try:
            if work.read.finished:
                self._gate.passed(name)
            lander = Lander(work.table, work.read, work.fields, self._folder)
            await TableReader(work.table, lander, around).read()
            await self._ready(work)
        except (AccessError, ReadError) as error:
            if isinstance(error, AccessError) and not self._gate.is_open:
                raise
            self._gate.passed(name)
            work.failed = True
            work.report.error = str(error)
        work.reading = False
        if work.recorded:
            loader.landed(work, 0)
        else:
            self._ended(work)

    async def _ready(self, work: Work) -> None:
        """Return when pages of a table may land: every table is let in, the copy exists, the journal knows the read."""
        await self._gate.opened()
        async with self._prepared:
            await self._open()
            if not work.recorded:
                await self._landing(lambda: self._folder.journal.begin(work.read))
                work.recorded = True

    async def _open(self) -> None:
        if self._identity is None:
            self._identity = await self._loading(self._prepare)
            tables = tuple(one.table.name for one in self._works)
            self._tell(events.RunStarted(self.report.run_id, self._client.url, self._destination_name, tables))

    def _prepare(self) -> Identity:
        identity = self._destination.prepare(self._began)
        journal = self._folder.journal
        journal.remember("copy", identity.copy_id)
        journal.remember("commit", str(identity.commits))
        return identity

    def _ended(self, work: Work) -> None:
        """A table is done: set down how."""
        report, tally = work.report, work.read.tally
        self._count(work)
        report.status = Status.COMPLETE if work.closed else Status.FAILED
        report.notes += tally.skipped
        if tally.left_out:
            report.notes.append(
                f"{tally.left_out} listed without being handed over by the API; rows kept as they were."
            )
        if work.closed and work.table.retention_days is not None:
            lost = gap(work.base, tally, work.read.began, work.table.retention_days)
            if lost is not None:
                report.notes.append(
                    f"Entries between {iso(lost[0])} and {iso(lost[1])} may be missing: the log no longer had them."
                )
        for note in report.notes:
            self._tell(events.Noted(note, work.table.name))
        self._tell(events.TableEnded(report.name, report.status.value, report.error))

    def _count(self, work: Work) -> None:
        report = work.report
        report.read, report.requests = work.rows, work.meter.requests
        report.misfits, report.left_out = work.read.tally.misfits, work.read.tally.left_out
        report.seconds = round(self._clock.monotonic() - work.started, 3)

    def _failed_whole(self, error: BaseException) -> None:
        """An error that concerns the whole run: raised when nothing was read, else set down for each open table."""
        if not isinstance(error, CioReplicateError) or (self._identity is None and not isinstance(error, LandingError)):
            raise error
        self.report.error = str(error)
        for work in self._works:
            if work.report.status is Status.INTERRUPTED:
                work.report.status = Status.FAILED
                work.report.error = work.report.error or str(error)

    def _conclude(self) -> None:
        report = self.report
        for work in self._works:
            if work.report.status is Status.INTERRUPTED:
                self._count(work)
        report.status = outcome(report.tables) if self._identity is not None else Status.REFUSED
        report.requests, report.throttled = self._client.totals.requests, self._client.totals.throttled
        report.ended = iso(self._clock.now())
        report.seconds = round(self._clock.monotonic() - self._monotonic, 3)
        if self._identity is not None:
            self._folder.journal.record_run(report.run_id, self._began, report.to_json())
            if report.status is not Status.INTERRUPTED:
                self._folder.journal.run_ended()

    async def _landing(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._landing_thread, call)

    async def _loading(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._loading_thread, call)
