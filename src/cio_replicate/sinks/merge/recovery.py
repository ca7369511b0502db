"""Bring a table into the layout of a mode, and settle a commit that was broken off, beside the backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa

from cio_replicate.base.errors import LoadError
from cio_replicate.schema.system_tables import CHANGE_COLUMNS, CHANGES_SUFFIX, DIGEST, HISTORY_COLUMNS, SYSTEM_COLUMNS
from cio_replicate.schema.system_tables import KEY as KEY_COLUMN
from cio_replicate.schema.table import schema_for
from cio_replicate.sinks.backend import ChangeSet, Condition, Operator, StoredTable, TableBackend
from cio_replicate.sinks.copy import left_in, main_shape
from cio_replicate.sinks.merge import table_merge as statements
from cio_replicate.sinks.merge.table_merge import KEY, ROOM, Scratch
from cio_replicate.sinks.port import Batch, CopyFacts, PendingCommit

# The layout that a mode needs: a row per key, or a row per version.


def fitted(batch: Batch, store: TableBackend, scratch: Scratch, facts: CopyFacts, save: Callable[[], None]) -> None:
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
            _refuse_to_lose(store, scratch, shape, batch)
            facts.versions.remove(name)
        facts.turning.append(name)
        save()  # while the rows are rewritten they count as such that have no versions: each is the only one of its key
        scratch.run(statements.create("turned", shape.columns, temporary=True))
        scratch.take("turned", store.read(shape, [column.name for column in shape.columns]))
        scratch.run(statements.first_versions("turned") if versions else statements.no_versions("turned"))
        store.write(scratch.edit("turned", replace(shape, key=KEY), pa.array([], pa.string())))
        scratch.run("DROP TABLE turned")
    facts.turning = [one for one in facts.turning if one != name]
    facts.versions = [one for one in facts.versions if one != name] + [name] * versions
    save()


def _require_ours(store: TableBackend, name: str) -> None:
    there = store.columns(name)
    if there and KEY not in there:
        raise LoadError(
            f"There is a table {name} in the dataset that was not made by cio-replicate.",
            "Choose another ‹dataset›, or move that table away.",
        )


def _refuse_to_lose(store: TableBackend, scratch: Scratch, shape: StoredTable, batch: Batch) -> None:
    scratch.run(f"CREATE OR REPLACE TEMP TABLE every_version ({KEY} VARCHAR)")
    scratch.take("every_version", store.read(shape, [KEY]))
    ended = scratch.run(statements.count_ended("every_version")).fetchall()[0][0]
    scratch.run("DROP TABLE every_version")
    if ended:
        name = batch.table.name
        raise LoadError(
            f"{name} holds {ended} ended versions of its rows, which the mode {batch.treatment.mode} would lose.",
            f"Keep ‹mode› {name}=history, choose another ‹dataset›, or drop the table first.",
        )


# What became of a commit that was broken off: which of its changes came true, in the table and in what was noted.


def key_shape(name: str) -> StoredTable:
    """A table with the columns that identify its rows and say whether they hold."""
    return StoredTable(name, (*SYSTEM_COLUMNS, DIGEST, *HISTORY_COLUMNS), "_cio_key")


READ = ("_cio_sequence", "_cio_operation", KEY, "_cio_digest")


def settle(store: TableBackend, scratch: Scratch, keys: str, pending: PendingCommit, commits: int) -> None:
    """Remove the noted changes of the commit after `commits` that the table does not show; `keys` is what it holds.

    A change was noted before its row was written, so a note without its row is of a commit that did not happen.
    """
    shape = StoredTable(
        pending.target + CHANGES_SUFFIX, (*CHANGE_COLUMNS, KEY_COLUMN, DIGEST), "_cio_sequence", "_cio_changed_at"
    )
    first = (commits + 1) * ROOM
    rows = store.read(shape, READ, [Condition("_cio_sequence", Operator.AT_LEAST, first)])
    scratch.run(
        "CREATE OR REPLACE TEMP TABLE noted_last (_cio_sequence BIGINT, _cio_operation VARCHAR, "
        f"{KEY} VARCHAR, _cio_digest VARCHAR)"
    )
    scratch.take("noted_last", rows)
    untrue = scratch.column(
        f"SELECT _cio_sequence FROM noted_last AS n LEFT JOIN {keys} AS k USING ({KEY}) WHERE NOT "
        "CASE WHEN n._cio_operation = 'delete' THEN coalesce(NOT k.live, true) "
        "ELSE coalesce(k.live AND k.digest = unhex(n._cio_digest), false) END"
    )
    _remove(store, shape, untrue)


def take_back(store: TableBackend, scratch: Scratch, pending: PendingCommit, commits: int) -> None:
    """Remove the versions of the commit after `commits` whose key still has the current version that was before.

    For stores where an edit is not one commit: there a version may have begun though the one before has not ended.
    """
    shape = replace(key_shape(pending.target), key="_cio_version")
    rows = store.read(shape, [KEY, shape.key], [Condition("_cio_is_current", Operator.TRUE)])
    scratch.run(f"CREATE OR REPLACE TEMP TABLE holding ({KEY} VARCHAR, _cio_version VARCHAR)")
    scratch.take("holding", rows)
    twice = f"SELECT {KEY} FROM holding GROUP BY {KEY} HAVING count(*) > 1"
    untrue = scratch.column(
        f"SELECT _cio_version FROM holding WHERE _cio_version = {KEY} || '@{commits + 1}' AND {KEY} IN ({twice})"
    )
    _remove(store, shape, untrue)


def _remove(store: TableBackend, shape: StoredTable, keys: pa.Array) -> None:
    if len(keys):
        store.write(ChangeSet(shape, schema_for(shape.columns).empty_table().to_reader(), 0, keys))
