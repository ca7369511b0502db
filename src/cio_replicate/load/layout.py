"""Brings a store's table into the layout that a mode needs: with a row per key, or a row per version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa

from cio_replicate.base.errors import LoadError
from cio_replicate.load import sql, sql_modes
from cio_replicate.load.destination import Batch
from cio_replicate.load.expected import Facts
from cio_replicate.load.ledger import Ledger
from cio_replicate.load.shapes import found_columns, main_shape
from cio_replicate.load.store import Edit, Shape, Store
from cio_replicate.tables.system import HISTORY_COLUMNS


def fitted(batch: Batch, store: Store, ledger: Ledger, facts: Facts, save: Callable[[], None]) -> None:
    """See to it that the table, if it is there, has the layout of the batch's mode, and that the facts say so.

    Raises LoadError, saying why, where the table is not ours or versions would be lost.
    """
    name, versions = batch.table.name, batch.treatment.versions
    if (name in facts.versions) == versions:
        if name not in facts.expected:
            _require_ours(store, batch.table.target)
        return
    there = store.columns(batch.table.target)
    columns = (*batch.table.columns, *found_columns(batch.table, facts))
    if versions:
        if there:
            _require_ours(store, batch.table.target)
            shape = main_shape(batch.table, columns, versions=True)
            store.write(_first_versions(store, ledger, shape))
        facts.versions.append(name)
    else:
        if there:
            _refuse_to_lose(store, ledger, main_shape(batch.table, columns, versions=True), batch)
        facts.versions.remove(name)
    ledger.forget(name)
    save()


def _require_ours(store: Store, name: str) -> None:
    there = store.columns(name)
    if there and sql.KEY not in there:
        raise LoadError(
            f"There is a table {name} in the dataset that was not made by cio-replicate.",
            "Choose another --dataset, or move that table away.",
        )


def _first_versions(store: Store, ledger: Ledger, shape: Shape) -> Edit:
    """Each row of a table that has one per key becomes the first version of it."""
    ledger.run(sql.create("turned", shape.columns, temporary=True)[0])
    versions = {column.name for column in HISTORY_COLUMNS}
    ledger.take("turned", store.read(shape, [one.name for one in shape.columns if one.name not in versions]))
    ledger.run(sql_modes.first_versions("turned"))
    return ledger.edit("turned", replace(shape, key=sql.KEY), pa.array([], pa.string()))


def _refuse_to_lose(store: Store, ledger: Ledger, shape: Shape, batch: Batch) -> None:
    ledger.run(f"CREATE OR REPLACE TEMP TABLE every_version ({sql.KEY} VARCHAR)")
    ledger.take("every_version", store.read(shape, [sql.KEY]))
    ended = ledger.run(sql_modes.count_ended("every_version")).fetchall()[0][0]
    if ended:
        name = batch.table.name
        raise LoadError(
            f"{name} holds {ended} ended versions of its rows, which the mode {batch.treatment.mode} would lose.",
            f"Keep --mode {name}=history, choose another --dataset, or drop the table first.",
        )
