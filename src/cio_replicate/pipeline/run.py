"""One run: plan what to read, stage what the source yields, load it, verify the tables, report."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import partial
from typing import TypeVar

import pyarrow as pa

from cio_replicate.base.errors import (
    CioReplicateError,
    DestinationUnavailableError,
    LoadError,
    SchemaChangedError,
    StagingFailed,
)
from cio_replicate.base.runtime import Clock, tasks
from cio_replicate.base.text import counted
from cio_replicate.config.table_options import PeopleRefresh
from cio_replicate.pipeline import events
from cio_replicate.pipeline.batches import BatchWriter
from cio_replicate.pipeline.erase import kept_pages_note, settle_people
from cio_replicate.pipeline.estimates import RequestSpeed, compared
from cio_replicate.pipeline.journal import TableRead
from cio_replicate.pipeline.read_state import CopyReadState
from cio_replicate.pipeline.report import (
    Report,
    Status,
    TableReport,
    VerificationStatus,
    budget_report,
    iso,
    outcome,
    recorded,
)
from cio_replicate.pipeline.run_plan import LogCoverage, RunPlan, RunPlanner, RunSpec, late_entries
from cio_replicate.pipeline.staging import ChunkStager, Staging
from cio_replicate.pipeline.table_run import TableRun, new_columns, read_whole, share_read
from cio_replicate.pipeline.verification import record_run, verify_run
from cio_replicate.schema.table import Table
from cio_replicate.sinks.port import CopyIdentity, Owner, Sink
from cio_replicate.source.catalog import ACCOUNT, ACTIVITY_LOG, PEOPLE
from cio_replicate.source.client import Client
from cio_replicate.source.strategies.log import gap
from cio_replicate.source.strategies.people import estimate_of_people
from cio_replicate.source.stream import PATIENCE, Chunk, Source

T = TypeVar("T")


class Run:
    """One execution of an order. `execute` may be called once.

    Nothing is written, here or in the destination, before the API has let every table in. Whatever ends a run, what
    is staged stays staged, and what is loaded is consistent.
    """

    def __init__(
        self,
        order: RunSpec,
        client: Client,
        destination: Sink,
        folder: Staging,
        clock: Clock,
        emit: events.Listener,
        *,
        destination_name: str = "",
        patience: float = PATIENCE,
    ) -> None:
        self._order = order
        self._client = client
        self._destination = destination
        self._folder = folder
        self._clock = clock
        self._emit = emit
        self._destination_name = destination_name
        self._began = int(clock.now())
        self._monotonic = clock.monotonic()
        self.report = Report(run_id=uuid.uuid4().hex[:12], started=iso(self._began))
        self._staging_thread = ThreadPoolExecutor(1, "staging")
        self._loading_thread = ThreadPoolExecutor(1, "loading")
        self._source = Source(client, clock, patience=patience)
        self._planner = RunPlanner(order, destination, folder, clock, self._began)
        self._works: list[TableRun] = []
        self._refused = False
        self._identity: CopyIdentity | None = None

    async def execute(self) -> Report:
        """Run once, and return a report with an entry per table.

        Raises AccessError or another Refused when nothing was read. When cancelled, raises CancelledError after the
        page and the batch under way are finished; `report` then holds what was done.
        """
        loader = BatchWriter(
            self._destination,
            self._folder,
            self.report.run_id,
            self._clock,
            self._loading,
            self._emit,
            self._ended,
            keeps=self._order.keep_landed,
        )
        try:
            self._take(await self._loading(self._planner.plan))
            async with tasks() as group:
                loads = group.create_task(loader.run())
                try:
                    await self._read(loader)
                except BaseException:
                    loads.cancel()
                    raise
                loader.no_more()
            await self._look_back()
            await self._loading(self._settle_people)
            await self._verify()
        except CioReplicateError as error:
            self._failed_whole(error)
        finally:
            self._staging_thread.shutdown(wait=True)
            self._loading_thread.submit(self._conclude).result()  # after the batch under way
            self._loading_thread.submit(self._record).result()
            self._loading_thread.shutdown(wait=True)
            self._keep()
        return self.report

    @property
    def spent(self) -> events.RateUsageChanged:
        """What it has spent of the request budget so far."""
        totals, account = self._client.totals, self._client.account
        return events.RateUsageChanged(totals.requests, totals.throttled, account.allowed, round(account.used, 3))

    def _take(self, plan: RunPlan) -> None:
        self._works = plan.works
        self.report.tables = plan.reports
        self.report.notes = plan.notices
        for notice in plan.notices:
            self._emit(events.NoteAdded(notice))
        log = LogCoverage(plan, self._order.start)
        for work in plan.works:
            base = work.read.base
            changes = work.table.name == PEOPLE.name and self._order.rules.people is PeopleRefresh.CHANGES
            if changes and base is not None:
                work.state = CopyReadState(
                    self._destination,
                    people=work.table,
                    log=self._order.log,
                    since=base.through,
                    log_since=log.first_read_after(base.through),
                    on_thread=self._loading,
                    log_is_read=partial(log.has_all_since, base.through),
                )

    async def _read(self, loader: BatchWriter) -> None:
        """Read all tables: stage chunks in groups, and say what waits to be loaded."""
        works = {work.table.name: work for work in self._works}
        for work in self._works:
            work.started = self._clock.monotonic()
            self._emit(events.TableStarted(work.table.name, work.read.recorded))
        stager = ChunkStager(self._folder, self._clock, self._staging, partial(self._staged, works, loader))
        async with tasks() as group:
            staging = group.create_task(stager.run())
            try:
                async with aclosing(self._source.read([work.planned for work in self._works])) as stream:
                    async for item in stream:
                        await self._open()
                        if isinstance(item, Chunk):
                            await stager.add(works[item.table].read, item)
                        else:
                            await stager.flush()
                            await self._table_read(works[item.table], item.error, loader)
            finally:
                await stager.close()
                staging.cancel()
        await self._open()  # also if all was done but the end of the run

    def _staged(
        self, works: Mapping[str, TableRun], loader: BatchWriter, chunks: Sequence[tuple[TableRead, Chunk]]
    ) -> None:
        """Count chunks that are durable."""
        for _, chunk in chunks:
            work = works[chunk.table]
            if chunk.expected is not None:
                self._expect(work, chunk.expected)
            if chunk.table == ACCOUNT.name and chunk.rows is not None:
                self._expect_people(works, work.table, chunk.rows)
            if chunk.rows is None:
                continue
            work.rows += chunk.stats.rows
            work.pages += 1
            if chunk.stats.earliest is not None:
                work.reached[chunk.partition] = chunk.stats.earliest
            loader.staged(work, chunk.stats.rows)
            self._emit(events.PageStaged(chunk.table, work.rows, work.pages, work.meter.requests, share_read(work)))

    def _expect(self, work: TableRun, requests: int) -> None:
        """Note how many requests a table needs, if earlier runs did not tell."""
        if not work.report.continued and work.report.predicted is None:
            work.report.predicted = requests

    def _expect_people(self, works: Mapping[str, TableRun], account: Table, rows: pa.RecordBatch) -> None:
        name = account.name_of("people")
        if name not in rows.schema.names:
            return
        counts = [count for count in rows[name].to_pylist() if isinstance(count, int)]
        for work in works.values():
            if work.strategy.counted_by_account:
                estimate = estimate_of_people(work.table, counts)
                if estimate.least == estimate.most:
                    self._expect(work, estimate.least)

    async def _table_read(self, work: TableRun, error: CioReplicateError | None, loader: BatchWriter) -> None:
        """A table is read to its end, or failed."""
        if error is not None:
            work.failed = True
            work.report.error, work.report.frozen_out = recorded(error), isinstance(error, SchemaChangedError)
        elif not work.read.recorded:
            await self._staging(lambda: self._folder.journal.begin(work.read))
        work.reading = False
        if work.read.recorded:
            loader.staged(work, 0)
        else:
            self._ended(work)

    async def _look_back(self) -> None:
        """Note what whole reads have found that shorter ones before them had missed."""
        for work in self._works:
            found = ""
            if work.table.name == ACTIVITY_LOG.name and (
                late := await late_entries(work, self._destination, self._loading)
            ):
                found = f"{late} entries were back-dated further than the last runs looked, and are in the copy now."
            elif work.state is not None and work.closed and not work.report.continued and read_whole(work):
                work.report.untold = await work.state.untold(work.read.began)
                found = f"A whole read found {work.report.untold} changes that the activity log had not told."
            if found:
                work.report.notes.append(found)
                self._emit(events.NoteAdded(found, work.table.name))

    async def _open(self) -> None:
        if self._identity is None:
            self._identity = await self._loading(self._prepare)
            tables = tuple(one.table.name for one in self._works)
            self._emit(events.RunStarted(self.report.run_id, self._client.url, self._destination_name, tables))

    def _prepare(self) -> CopyIdentity:
        self._destination.open(Owner(self._began, self._order.tables if self._order.forget else ()))
        identity = self._destination.state.identity
        record_run(self._destination, self.report, {})
        journal = self._folder.journal
        journal.remember("copy", identity.copy_id)
        journal.remember("commit", str(identity.commits))
        return identity

    def _settle_people(self) -> None:
        """Do what is to be done about people who are gone."""
        if self._identity is None:
            return
        journal, order = self._folder.journal, self._order
        began = next((work.read.began for work in self._works if work.table.name == ACTIVITY_LOG.name), None)
        notes = settle_people(self._destination, order, self.report, journal, int(self._clock.now()), began)
        if self.report.erased and (kept := kept_pages_note(journal, (*order.tables, *order.others))):
            notes.append(kept)
        for note in notes:
            self.report.notes.append(note)
            self._emit(events.NoteAdded(note))

    async def _verify(self) -> None:
        """Verify the tables, and say which are not true."""
        if self._identity is not None and self._order.prove:
            now = int(self._clock.now())
            await self._loading(lambda: verify_run(self._destination, self._order.tables, self.report, now))
        for one in self.report.tables:
            if one.proof is not None and one.proof.verdict is VerificationStatus.SHORT:
                self._emit(events.NoteAdded(one.error or one.proof.why, one.name))

    def _record(self) -> None:
        """Record the run in the copy, as it stands."""
        if self._identity is None:
            return  # no trace of a run that wrote nothing
        modes = {table.name: self._order.treatment(table.name).mode.value for table in self._order.tables}
        try:
            record_run(self._destination, self.report, modes)
        except (LoadError, DestinationUnavailableError) as error:
            self.report.notes.append(f"This run could not be recorded in the copy. {recorded(error)}")

    def _ended(self, work: TableRun) -> None:
        """A table is done: set down how."""
        report, tally = work.report, work.read.tally
        self._count(work)
        report.status = Status.COMPLETE if work.closed else Status.FAILED
        report.notes += tally.skipped
        if tally.ignored:
            listed = ", ".join(f"{name} ({count})" for name, count in tally.ignored.items())
            report.notes.append(f"Fields that are not in the table were left out, with how often they came: {listed}.")
        if tally.withheld:
            report.notes.append(f"{tally.withheld} values were left out: a rule for columns reaches into them.")
        if tally.left_out:
            report.notes.append(
                f"{tally.left_out} listed without being handed over by the API; rows kept as they were."
            )
        if tally.parents_gone and work.closed:
            gone = counted(tally.parents_gone, "parent")
            report.notes.append(f"Deleted while {report.name} was read, and left out: {gone}.")
        if work.closed and work.table.retention_days is not None:
            work.lost = gap(work.base, tally, work.read.began, work.table.retention_days)
            if work.lost is not None:
                first, last = map(iso, work.lost)
                report.notes.append(f"Entries between {first} and {last} may be missing: the log no longer had them.")
        for note in report.notes:
            self._emit(events.NoteAdded(note, work.table.name))
        work.ended.set()
        self._emit(events.TableEnded(report.name, report.status.value, report.error))

    def _count(self, work: TableRun) -> None:
        report = work.report
        report.read, report.requests = work.rows, work.meter.requests
        report.new_columns = new_columns(work)
        report.misfits, report.left_out = work.read.tally.misfits, work.read.tally.left_out
        report.seconds = round(self._clock.monotonic() - work.started, 3)

    def _failed_whole(self, error: BaseException) -> None:
        """An error that concerns the whole run: raised when nothing was read, else set down for each open table."""
        if not isinstance(error, CioReplicateError) or (
            self._identity is None and not isinstance(error, StagingFailed)
        ):
            self._refused = self._identity is None  # later it is a run that was broken off, not one that was refused
            raise error
        self.report.error = recorded(error)
        if not self.report.tables:  # it came before the plan was made
            failed = partial(TableReport, status=Status.FAILED, error=recorded(error))
            self.report.tables = [failed(name=table.name) for table in self._order.tables]
        for work in self._works:
            if work.report.status is Status.INTERRUPTED:
                work.report.status = Status.FAILED
                work.report.error = work.report.error or recorded(error)

    def _conclude(self) -> None:
        report = self.report
        for work in self._works:
            if work.report.status is Status.INTERRUPTED and work.closed:
                self._ended(work)  # its last batch was under way when the run was stopped
            elif work.report.status is Status.INTERRUPTED:
                self._count(work)
        report.status = Status.REFUSED if self._refused else outcome(report.tables)
        report.requests, report.throttled = self._client.totals.requests, self._client.totals.throttled
        report.budget = budget_report(self._client.account)
        if report.status is Status.COMPLETE:
            speed = RequestSpeed(self._client.requests_per_second, self._client.answer_time)
            report.expected = compared(report.tables, speed)
        report.ended = iso(self._clock.now())
        report.seconds = round(self._clock.monotonic() - self._monotonic, 3)

    def _keep(self) -> None:
        """Keep the report in the journal."""
        report = self.report
        if self._identity is None:
            return  # no trace of a run that wrote nothing
        try:
            self._folder.journal.record_run(report.run_id, self._began, report.to_json())
            if report.status is not Status.INTERRUPTED:
                self._folder.journal.run_ended()
        except StagingFailed as error:
            report.notes.append(f"This run could not be recorded in the state folder. {recorded(error)}")

    async def _staging(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._staging_thread, call)

    async def _loading(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._loading_thread, call)
