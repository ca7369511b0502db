"""What became of a commit that was broken off: which of its changes came true, in the table and in what was noted."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from cio_replicate.schema.arrow import schema_for
from cio_replicate.schema.system_tables import CHANGE_COLUMNS, CHANGES_SUFFIX, DIGEST
from cio_replicate.schema.system_tables import KEY as KEY_COLUMN
from cio_replicate.sinks.backend import ChangeSet, Condition, Operator, StoredTable, TableBackend
from cio_replicate.sinks.expected import PendingCommit
from cio_replicate.sinks.merge import sql_modes
from cio_replicate.sinks.merge.digest_index import DigestIndex
from cio_replicate.sinks.merge.shapes import key_shape
from cio_replicate.sinks.merge.statements import KEY

READ = ("_cio_sequence", "_cio_operation", KEY, "_cio_digest")


def settle(store: TableBackend, ledger: DigestIndex, keys: str, pending: PendingCommit, commits: int) -> None:
    """Remove the noted changes of the commit after `commits` that the table does not show; `keys` is what it holds.

    A change was noted before its row was written, so a note without its row is of a commit that did not happen.
    """
    shape = StoredTable(
        pending.target + CHANGES_SUFFIX, (*CHANGE_COLUMNS, KEY_COLUMN, DIGEST), "_cio_sequence", "_cio_changed_at"
    )
    first = (commits + 1) * sql_modes.ROOM
    rows = store.read(shape, READ, [Condition("_cio_sequence", Operator.AT_LEAST, first)])
    with ledger.transaction():
        ledger.run(
            "CREATE OR REPLACE TEMP TABLE noted_last (_cio_sequence BIGINT, _cio_operation VARCHAR, "
            f"{KEY} VARCHAR, _cio_digest VARCHAR)"
        )
        ledger.take("noted_last", rows)
        untrue = ledger.column(
            f"SELECT _cio_sequence FROM noted_last AS n LEFT JOIN {keys} AS k USING ({KEY}) WHERE NOT "
            "CASE WHEN n._cio_operation = 'delete' THEN coalesce(NOT k.live, true) "
            "ELSE coalesce(k.live AND k.digest = unhex(n._cio_digest), false) END"
        )
    _remove(store, shape, untrue)


def take_back(store: TableBackend, ledger: DigestIndex, pending: PendingCommit, commits: int) -> None:
    """Remove the versions of the commit after `commits` whose key still has the current version that was before.

    For stores where an edit is not one commit: there a version may have begun though the one before has not ended.
    """
    shape = replace(key_shape(pending.target), key="_cio_version")
    rows = store.read(shape, [KEY, shape.key], [Condition("_cio_is_current", Operator.TRUE)])
    with ledger.transaction():
        ledger.run(f"CREATE OR REPLACE TEMP TABLE holding ({KEY} VARCHAR, _cio_version VARCHAR)")
        ledger.take("holding", rows)
        twice = f"SELECT {KEY} FROM holding GROUP BY {KEY} HAVING count(*) > 1"
        untrue = ledger.column(
            f"SELECT _cio_version FROM holding WHERE _cio_version = {KEY} || '@{commits + 1}' AND {KEY} IN ({twice})"
        )
    _remove(store, shape, untrue)


def _remove(store: TableBackend, shape: StoredTable, keys: pa.Array) -> None:
    if len(keys):
        store.write(ChangeSet(shape, schema_for(shape.columns).empty_table().to_reader(), 0, keys))
