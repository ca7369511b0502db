"""Brings a store's table into the layout that a mode needs: with a row per key, or a row per version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa

from cio_replicate.base.errors import LoadError
from cio_replicate.config.table_options import as_shown
from cio_replicate.schema.system_tables import CHANGES_SUFFIX
from cio_replicate.sinks.backend import ChangeSet, StoredTable, TableBackend
from cio_replicate.sinks.expected import CopyFacts
from cio_replicate.sinks.merge import sql_modes
from cio_replicate.sinks.merge import statements as sql
from cio_replicate.sinks.merge.digest_index import DigestIndex
from cio_replicate.sinks.merge.shapes import left_in, main_shape
from cio_replicate.sinks.port import Batch


def as_it_is(batch: Batch, store: TableBackend, facts: CopyFacts) -> Batch:
    """The batch in the mode that its table, which is there, shows."""
    noted = bool(store.columns(batch.table.target + CHANGES_SUFFIX))
    return replace(batch, treatment=as_shown(versions=batch.table.name in facts.versions, noted=noted))


def fitted(batch: Batch, store: TableBackend, ledger: DigestIndex, facts: CopyFacts, save: Callable[[], None]) -> None:
    """See to it that the table, if it is there, has the layout of the batch's mode, and that the facts say so.

    Raises LoadError, saying why, where the table is not ours or versions would be lost.
    """
    name, versions = batch.table.name, batch.treatment.versions
    if (name in facts.versions) == versions and name not in facts.turning:
        if name not in facts.expected:
            _require_ours(store, batch.table.target)
        return
    if store.columns(batch.table.target):
        _require_ours(store, batch.table.target)
        columns = (*batch.columns, *left_in(store, batch.table, batch.columns, facts))
        shape = main_shape(batch.table, columns, versions=True)
        if name in facts.versions:
            _refuse_to_lose(store, ledger, shape, batch)
            facts.versions.remove(name)
        facts.turning.append(name)
        save()  # while the rows are rewritten they count as such that have no versions: each is the only one of its key
        statement = sql_modes.first_versions("turned") if versions else sql_modes.no_versions("turned")
        store.write(_turned(store, ledger, shape, statement))
        ledger.run("DROP TABLE turned")
    facts.turning = [one for one in facts.turning if one != name]
    facts.versions = [one for one in facts.versions if one != name] + [name] * versions
    ledger.forget(name)
    save()


def _require_ours(store: TableBackend, name: str) -> None:
    there = store.columns(name)
    if there and sql.KEY not in there:
        raise LoadError(
            f"There is a table {name} in the dataset that was not made by cio-replicate.",
            "Choose another --dataset, or move that table away.",
        )


def _turned(store: TableBackend, ledger: DigestIndex, shape: StoredTable, statement: str) -> ChangeSet:
    """Every row of a table that has one per key, after a statement on the table `turned`."""
    ledger.run(sql.create("turned", shape.columns, temporary=True)[0])
    ledger.take("turned", store.read(shape, [column.name for column in shape.columns]))
    ledger.run(statement)
    return ledger.edit("turned", replace(shape, key=sql.KEY), pa.array([], pa.string()))


def _refuse_to_lose(store: TableBackend, ledger: DigestIndex, shape: StoredTable, batch: Batch) -> None:
    ledger.run(f"CREATE OR REPLACE TEMP TABLE every_version ({sql.KEY} VARCHAR)")
    ledger.take("every_version", store.read(shape, [sql.KEY]))
    ended = ledger.run(sql_modes.count_ended("every_version")).fetchall()[0][0]
    ledger.run("DROP TABLE every_version")
    if ended:
        name = batch.table.name
        raise LoadError(
            f"{name} holds {ended} ended versions of its rows, which the mode {batch.treatment.mode} would lose.",
            f"Keep --mode {name}=history, choose another --dataset, or drop the table first.",
        )
