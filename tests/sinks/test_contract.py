"""What every destination does alike."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cio_replicate.base.errors import LoadError
from cio_replicate.schema.table import Column, ColumnType
from cio_replicate.sinks.port import Changes, CopyIdentity, Owner
from cio_replicate.source.catalog import TABLES, table
from tests.sinks.copies import Copy
from tests.sinks.pages import AT, Pages, close, position

A1, A2 = {"id": 1, "name": "a"}, {"id": 1, "name": "changed"}
B, C = {"id": 2, "name": "b"}, {"id": 3, "name": "c"}


def _names(copy: Copy) -> dict[str, str]:
    return {key: row["name"] for key, row in copy.rows("campaigns").items()}


def _gone(copy: Copy) -> set[str]:
    return {key for key, row in copy.rows("campaigns").items() if row["_cio_deleted_at"] is not None}


def test_counts_are_what_really_changed(copy: Copy, pages: Pages) -> None:
    """New rows, changed rows and rows that were there already are told apart."""
    assert copy.write(pages.batch(pages.land(A1, B))) == Changes(inserted=2)
    assert copy.write(pages.batch(pages.land(A2, B, C))) == Changes(inserted=1, updated=1)
    assert _names(copy) == {"1": "changed", "2": "b", "3": "c"}


def test_a_batch_written_twice_changes_nothing(copy: Copy, pages: Pages) -> None:
    """A batch whose success was not noted before a kill comes again, and does no harm."""
    copy.write(pages.batch(pages.land(A1, C)))
    file = pages.land(A2, B, {"name": "without a key"})
    batch = pages.batch(file, close=close(file))
    assert copy.write(batch) == Changes(inserted=2, updated=1, deleted=1)
    before = copy.rows("campaigns")
    assert copy.write(batch) == copy.write(batch, batch) == Changes()
    assert copy.rows("campaigns") == before


def test_an_unchanged_row_keeps_the_time_of_its_writing(copy: Copy, pages: Pages) -> None:
    """`_cio_synced_at` moves with the content, not with the reading."""
    copy.write(pages.batch(pages.land(A1, B, at=AT)))
    copy.write(pages.batch(pages.land(A2, B, at=AT + 500)))
    written = {key: row["_cio_synced_at"].timestamp() for key, row in copy.rows("campaigns").items()}
    assert written == {"1": AT + 500, "2": AT}


def test_the_newest_row_of_a_key_wins(copy: Copy, pages: Pages) -> None:
    """The last of a page, and of several pages the one that landed last, whatever the files are called."""
    first, second = pages.land(A2, B), pages.land(A1, {"id": 1, "name": "last"})
    assert copy.write(pages.batch(first, second)) == Changes(inserted=2)
    assert _names(copy)["1"] == "last"
    assert copy.write(pages.batch(second, first)) == Changes(updated=1)
    assert _names(copy)["1"] == "changed"


def test_no_key_is_null(copy: Copy, pages: Pages) -> None:
    """Records without a key are rows like others, each once."""
    copy.write(pages.batch(pages.land(A1, {"name": "x"}, {"id": None, "name": "y"}, {"id": "", "name": "z"})))
    assert set(copy.rows("campaigns")) >= {"1"}
    assert "None" not in copy.rows("campaigns")
    assert len(copy.rows("campaigns")) == 4


def test_absence_deletes_only_at_the_end_of_a_whole_read(copy: Copy, pages: Pages) -> None:
    """Without `seen` nothing is deleted; with it what no page of the read has is marked, and stays."""
    copy.write(pages.batch(pages.land(A1, B, C)))
    first = pages.land(A1)
    assert copy.write(pages.batch(first)) == Changes()
    assert copy.write(pages.batch(close=close(absence_deletes=False))) == Changes()
    last = pages.land(C)
    assert copy.write(pages.batch(last, close=close(first, last, at=AT + 60))) == Changes(deleted=1)
    row = copy.rows("campaigns")["2"]
    assert row["name"] == "b"
    assert row["_cio_deleted_at"].timestamp() == AT + 60


def test_a_deletion_keeps_its_time(copy: Copy, pages: Pages) -> None:
    """A row that stays away is not deleted again."""
    file = pages.land(A1)
    copy.write(pages.batch(pages.land(A1, B)), pages.batch(close=close(file, at=AT + 60)))
    assert copy.write(pages.batch(file, close=close(file, at=AT + 120))) == Changes()
    assert copy.rows("campaigns")["2"]["_cio_deleted_at"].timestamp() == AT + 60


def test_an_empty_list_deletes_all(copy: Copy, pages: Pages) -> None:
    """A whole read without a single page says that nothing is there any more."""
    copy.write(pages.batch(pages.land(A1, B)))
    assert copy.write(pages.batch(close=close())) == Changes(deleted=2)
    assert _gone(copy) == {"1", "2"}


def test_what_comes_back_is_no_longer_deleted(copy: Copy, pages: Pages) -> None:
    """A row that is read again is an update, though its content is the same."""
    file = pages.land(A1, B)
    copy.write(pages.batch(file), pages.batch(close=close()))
    assert copy.write(pages.batch(file)) == Changes(updated=2)
    assert _gone(copy) == set()


def test_rows_only_seen_are_neither_written_nor_deleted(copy: Copy, pages: Pages) -> None:
    """Such a row proves that its record exists: it makes no row, changes none and saves one from deletion."""
    copy.write(pages.batch(pages.land(A1, B)))
    file = pages.land(seen=[A2, C])
    assert copy.write(pages.batch(file, close=close(file))) == Changes(deleted=1)
    assert _names(copy) == {"1": "a", "2": "b"}
    assert _gone(copy) == {"2"}


def test_a_row_only_seen_does_not_hide_an_older_one(copy: Copy, pages: Pages) -> None:
    """When one page has the row and a later one only saw it, the row is written."""
    copy.write(pages.batch(pages.land(A1), pages.land(seen=[A2])))
    assert _names(copy) == {"1": "a"}


def test_a_position_moves_with_its_rows(copy: Copy, pages: Pages) -> None:
    """A batch that closes a read brings the position, one that does not leaves it, each table has its own."""
    others = Pages(pages.land(A1).parent / "others", "segments")
    copy.write(pages.batch(pages.land(A1)))
    copy.write(pages.batch(pages.land(B), close=close(absence_deletes=False, read="one")))
    copy.write(others.batch(others.land(A1), close=close(absence_deletes=False, read="two")))
    copy.write(pages.batch(pages.land(C)))
    destination = copy.open()
    destination.open()
    assert destination.state.checkpoints == {"campaigns": position("one"), "segments": position("two")}
    destination.close()


def test_a_batch_that_fails_leaves_nothing(copy: Copy, pages: Pages, tmp_path: Path) -> None:
    """When a page cannot be read, neither rows nor deletions nor the position nor the commit counter have moved."""
    copy.write(pages.batch(pages.land(A1, B), close=close(absence_deletes=False, read="before")))
    file, damaged = pages.land(A2, C), tmp_path / "damaged.parquet"
    damaged.write_bytes(file.read_bytes()[:-20])
    before = copy.rows("campaigns")
    for bad in (
        pages.batch(file, damaged, close=close(file, read="after")),
        pages.batch(file, tmp_path / "missing.parquet", close=close(file, read="after")),
        pages.batch(file, close=close(file, damaged, read="after")),
    ):
        with pytest.raises(LoadError, match=r"campaigns.*They stay landed"):
            copy.write(bad)
    destination = copy.open()
    state = destination.open()
    assert state is not None
    assert state.identity.commits == 1
    assert destination.state.checkpoints == {"campaigns": position("before")}
    assert destination.write(pages.batch(file)) == Changes(inserted=1, updated=1)
    destination.close()
    assert before.keys() < copy.rows("campaigns").keys()


def test_the_session_goes_on_after_a_failed_batch(copy: Copy, pages: Pages, tmp_path: Path) -> None:
    """A refused batch does not spoil the next one."""
    destination = copy.open()
    destination.open()
    destination.open(Owner(AT))
    with pytest.raises(LoadError):
        destination.write(pages.batch(tmp_path / "missing.parquet"))
    assert destination.write(pages.batch(pages.land(A1))) == Changes(inserted=1)
    destination.close()
    assert _names(copy) == {"1": "a"}


def test_every_table_can_be_made(copy: Copy, tmp_path: Path) -> None:
    """Each declared table is made with all its columns and the system's, empty as it may be."""
    every = [Pages(tmp_path / one.name, one.name) for one in TABLES]
    copy.write(*(pages.batch(pages.land({"id": "1", "name": "n", "cio_id": "c"})) for pages in every))
    for one in TABLES:
        (row,) = copy.rows(one.name).values()
        assert set(row) >= {column.name for column in one.columns} | {"_cio_key", "_cio_extra", "_cio_synced_at"}


def test_types_survive(copy: Copy, tmp_path: Path) -> None:
    """Each column type holds its values: times in UTC, 64-bit numbers, truth, text and JSON."""
    pages = Pages(tmp_path / "messages", "messages")
    columns = table("messages")
    made = {"id": "m", "created": 1_700_000_000, "campaign_id": 2**63 - 1, "forgotten": True, "subject": "é"}
    copy.write(pages.batch(pages.land(made)))
    (row,) = copy.rows("messages").values()
    assert columns.column("campaign_id").type is ColumnType.INTEGER
    assert row["created"].astimezone(UTC) == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert (row["campaign_id"], row["forgotten"], row["subject"]) == (2**63 - 1, True, "é")


def test_a_new_field_becomes_a_column_of_an_existing_table(copy: Copy, pages: Pages) -> None:
    """Older rows hold nothing there, and a page from before the discovery still loads."""
    old = pages.land(A1, B)
    copy.write(pages.batch(old))
    new = pages.land({"id": 3, "name": "c", "surprise": 5, "note": "x"})
    assert copy.write(pages.batch(pages.land(A2), new)) == Changes(inserted=1, updated=1)
    assert copy.write(pages.batch(old)) == Changes(updated=1)
    rows = copy.rows("campaigns")
    assert [(rows[key]["surprise"], rows[key]["note"]) for key in "123"] == [(None, None), (None, None), (5, "x")]


def test_discovered_columns_come_back(copy: Copy, tmp_path: Path) -> None:
    """Name, type and path are known to a run that has nothing but the copy."""
    pages = Pages(tmp_path / "messages", "messages")
    file = pages.land({"id": "m", "surprise": 1, "text": "x", "fraction": 1.5, "flag": True, "metrics": {"waved": 5}})
    odd = pages.land({"id": "n", "list": [1]})
    copy.write(pages.batch(file, odd))
    destination = copy.open()
    destination.open()
    assert list(destination.state.discovered(table("messages"))) == pages.fields.discovered
    assert list(destination.state.discovered(table("campaigns"))) == []
    destination.close()
    kinds = {column.path: column.type for column in pages.fields.discovered}
    assert kinds[("metrics", "waved")] is ColumnType.INTEGER
    assert kinds[("list",)] is ColumnType.JSON
    assert all(isinstance(column, Column) for column in pages.fields.discovered)


def test_looking_makes_nothing(copy: Copy) -> None:
    """A run that is refused leaves no copy behind."""
    for _ in range(2):
        destination = copy.open()
        assert destination.open() is None
        destination.close()


def test_a_copy_knows_itself(copy: Copy, pages: Pages) -> None:
    """Its name stays for ever, and each write counts one, prepared or not."""
    destination = copy.open()
    destination.open()
    made = destination.open(Owner(AT))
    assert made is not None
    assert made.identity.commits == 0
    assert destination.open(Owner(AT + 5)) == destination.state == made
    destination.write(pages.batch(pages.land(A1)))
    destination.write(pages.batch(close=close(absence_deletes=False)))
    destination.close()
    destination = copy.open()
    state = destination.open()
    assert state is not None
    assert state.identity == CopyIdentity(made.identity.copy_id, 2)
    destination.close()
