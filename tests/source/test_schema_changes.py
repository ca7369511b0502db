"""What becomes of what a table does not know, by its policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cio_replicate.base.errors import SchemaChangedError
from cio_replicate.config.table_options import SchemaChanges
from cio_replicate.schema.table import Column, ColumnType, KnownColumns
from cio_replicate.source.decode import RowEncoder
from cio_replicate.source.strategies.base import MOST_NAMED, OTHERS, ReadStats
from tests.source.landings import holding, landed, wanted
from tests.source.records import text_of

FROZEN = wanted("messages", policy=SchemaChanges.FREEZE)
IGNORING = wanted("messages", policy=SchemaChanges.IGNORE)


def _message(**more: Any) -> bytes:
    return text_of({"id": "m1", "created": 1_700_000_000, **more})


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"surprise": "value"}, "surprise"),
        ({"metrics": {"waved": 5}}, "metrics.waved"),
        ({"Subject": "value"}, "Subject"),
        ({"_cio_key": "value"}, "_cio_key"),
        ({"campaign_id": "value"}, "campaign_id"),
        ({"metrics": "value"}, "metrics"),
        ({"campaign_id": 2**64}, "campaign_id"),
        ({"x" * 200: 1}, "x" * 60 + "…"),
    ],
)
def test_a_frozen_table_fails_before_anything_is_written(tmp_path: Path, more: dict[str, Any], field: str) -> None:
    """A new field, or a value that its column does not take, fails the table and is named, but not with its value."""
    with pytest.raises(SchemaChangedError) as caught:
        landed(tmp_path, FROZEN, _message(), _message(**more))
    assert f"'{field}'" in caught.value.cause
    assert "value'" not in str(caught.value)
    assert caught.value.fix.startswith("Let it in by")
    assert list((tmp_path / "pages").iterdir()) == []


def test_a_frozen_table_takes_what_it_knows(tmp_path: Path) -> None:
    """Declared fields, those that the copy has already, null, and other notations of a value are no change."""
    record = {"metrics": {"sent": 5}, "campaign_id": "12", "surprise": None, "action_id": 7.0}
    rows, _, _ = landed(tmp_path, FROZEN, _message(**record))
    assert (rows[0]["campaign_id"], rows[0]["action_id"]) == (12, 7)
    fields = KnownColumns(FROZEN, [Column("surprise", ColumnType.INTEGER, "")])
    assert RowEncoder(fields).encode([_message(surprise=1)], 0).table["surprise"].to_pylist() == [1]


def test_a_table_that_ignores_leaves_new_fields_out_and_counts_them(tmp_path: Path) -> None:
    """New fields are nowhere on the disk but for their names in the tally; what does not fit is kept as ever."""
    records = [_message(surprise="marked-value", metrics={"waved": 1, "sent": 2}) for _ in range(3)]
    records += [_message(surprise=None, Subject="marked-value", campaign_id="x")]
    rows, tally, fields = landed(tmp_path, IGNORING, *records)
    assert holding(tmp_path, "marked-value") == []
    assert fields.discovered == []
    assert tally.ignored == {"surprise": 3, "metrics.waved": 3, "Subject": 1}
    assert [row["_cio_extra"] and json.loads(row["_cio_extra"]) for row in rows].count({"campaign_id": "x"}) == 1
    assert tally.misfits == 1


def test_both_lanes_leave_out_and_count_alike() -> None:
    """Once a new field is known to be left out, records with it take the fast lane, and count as before."""
    encoder = RowEncoder(KnownColumns(IGNORING))
    records = [_message(surprise=1, metrics={"waved": 1}), _message(surprise=None), _message(campaign_id=5)]
    first, second = encoder.encode(records, 0), encoder.encode(records, 0)
    assert first.ignored == second.ignored == {("surprise",): 1, ("metrics", "waved"): 1}
    assert first.table.schema == second.table.schema
    by_campaign = [("campaign_id", "ascending")]
    assert first.table.sort_by(by_campaign).to_pylist() == second.table.sort_by(by_campaign).to_pylist()
    assert len(encoder._lane.split(records)[1]) == 0


def test_new_fields_without_end_make_no_tally_without_end(tmp_path: Path) -> None:
    """So many new fields are counted by name, and the rest together."""
    _, tally, _ = landed(tmp_path, IGNORING, _message(**{f"new{number}": 1 for number in range(400)}))
    assert len(tally.ignored) == MOST_NAMED + 1
    assert tally.ignored[OTHERS] == 400 - MOST_NAMED


def test_a_tally_of_an_earlier_version_can_be_read() -> None:
    """A journal that knows nothing of rules and policies is gone on with."""
    tally = msgspec.json.decode(b'{"rows":3,"skipped":[]}', type=ReadStats)
    assert (tally.rows, tally.withheld, tally.ignored, tally.rules) == (3, 0, {}, "")
