"""Plays steps on a copy and on the model beside it, and compares what both hold."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from cio_replicate.base.errors import LoadError
from cio_replicate.config.table_options import WriteMode, WriteOptions
from cio_replicate.sinks.backend import NOT_DELETED
from cio_replicate.sinks.port import Batch, Changes, Owner, Sink, count_rows
from cio_replicate.source.catalog import table
from tests.sinks.copies import Copy
from tests.sinks.mode_model import Content, Model, Note, Refused, Row, Step
from tests.sinks.pages import AT, Pages, close

TABLE = table("campaigns")
BETWEEN = 1000  # seconds from one step to the next
TO_CLOSE = 60  # and from the landing of its pages to the end of the read


class Play:
    """A copy with its model. The time of a step is its number."""

    def __init__(self, copy: Copy, folder: Path) -> None:
        self.copy = copy
        self.model = Model()
        self.names: Mapping[int, str] = {}  # what is shown for a key
        self._pages = Pages(folder / "pages")
        self._narrow = Pages(folder / "narrow")
        self._landed: list[Path] = []
        self._number = 0
        self._notes = False  # whether there can be any

    def play(self, *steps: Step, treatment: WriteOptions, twice: bool = False) -> None:
        """Write each step to copy and model: both count the same, hold the same, and prove it. `twice`: and again."""
        for step in steps:
            batch = self.batch(step, treatment)
            destination = opened(self.copy)
            try:
                counted = self.modelled(step, treatment)
                assert destination.write(batch) == counted
                assert not twice or destination.write(batch) == Changes()
                self.prove(destination)
                assert (batch.close is None) or destination.state.checkpoints[TABLE.name] == batch.close.position
            finally:
                destination.close()
            self.compare()

    def refuses(self, step: Step, treatment: WriteOptions) -> str:
        """The copy refuses the step as the model does, and is as before; what it said."""
        batch, destination = self.batch(step, treatment), opened(self.copy)
        try:
            self.modelled(step, treatment)
        except Refused:
            pass
        else:
            raise AssertionError("the model takes it")
        said = ""
        try:
            destination.write(batch)
        except LoadError as error:
            said = f"{error} {error.fix}"
        self.prove(destination)
        destination.close()
        self.compare()
        return said

    def batch(self, step: Step, treatment: WriteOptions) -> Batch:
        """The next step as a batch."""
        self._number += 1
        pages = self._narrow if step.without_surprise else self._pages
        files = [pages.land(*page.records, seen=page.seen, at=self.synced) for page in step.pages]
        self._landed += files
        end = None
        if step.closes:
            read = str(self._number)
            end = close(*self._landed, at=self.at, absence_deletes=step.absence_deletes, read=read)
            self._landed = []
        self._notes |= treatment.mode is WriteMode.CHANGES
        return Batch(TABLE, pages.fields.all, files, f"run-{self._number}", end, treatment)

    def modelled(self, step: Step, treatment: WriteOptions) -> Changes:
        """What the model says of the step that `batch` was made of last."""
        return self.model.write(step, treatment, self.synced, self.at)

    @property
    def synced(self) -> int:
        """When the pages of the last step landed."""
        return AT + self._number * BETWEEN

    @property
    def at(self) -> int:
        """When the last step ended its read."""
        return self.synced + TO_CLOSE

    def prove(self, destination: Sink) -> None:
        """What the copy holds, what it must hold by what was loaded, and what the model holds are the same."""
        assert destination.digests(TABLE) == self.model.keys
        assert count_rows(destination, TABLE, [NOT_DELETED]) == self.model.keys.rows
        expected = destination.state.expected.get(TABLE.name)
        assert expected == self.model.keys or (expected is None and not self.copy.every(TABLE.name))

    def _by_key(self, rows: Iterable[Row]) -> dict[str, list[Row]]:
        by_key = defaultdict(list)
        for row in sorted(rows, key=repr):
            by_key[self.names.get(int(row.key), row.key)].append(row)
        return dict(by_key)

    def compare(self) -> None:
        """Rows, versions and noted changes are those of the model."""
        rows = self.copy.every(TABLE.name)
        assert self._by_key(map(_row, rows)) == self._by_key(self.model.rows)
        if self.model.versions:
            _require_versions(rows)
        if not self._notes:
            return
        notes = sorted(self.copy.every(f"{TABLE.name}__changes"), key=lambda row: int(row["_cio_sequence"]))
        assert len({row["_cio_sequence"] for row in notes}) == len(notes)
        assert [row["_cio_run"] for row in notes] == sorted(
            (row["_cio_run"] for row in notes), key=lambda run: int(run[4:])
        )
        for commit in self.model.notes:
            some, notes = notes[: len(commit)], notes[len(commit) :]
            assert {str(row["_cio_key"]): _note(row) for row in some} == commit
        assert notes == []


def opened(copy: Copy) -> Sink:
    """A destination that is ready to write."""
    destination = copy.open()
    destination.open()
    destination.open(Owner(AT))
    return destination


def _require_versions(rows: Sequence[Mapping[str, Any]]) -> None:
    """Versions have names of their own; of a key at most the last one holds, and none begins before another ends."""
    assert len({row["_cio_version"] for row in rows}) == len(rows)
    by_key = defaultdict(list)
    for row in rows:
        by_key[row["_cio_key"]].append(row)
    for versions in by_key.values():
        versions.sort(key=lambda row: row["_cio_valid_from"])
        assert [row["_cio_is_current"] for row in versions[:-1]] == [False] * (len(versions) - 1)
        for one, following in pairwise(versions):
            same = one["_cio_valid_to"] == following["_cio_valid_from"]
            assert same if one["_cio_deleted_at"] is None else one["_cio_valid_to"] < following["_cio_valid_from"]


def _row(row: Mapping[str, Any]) -> Row:
    return Row(
        str(row["_cio_key"]),
        _content(row),
        _seconds(row["_cio_synced_at"]) or 0,
        _seconds(row["_cio_deleted_at"]),
        _seconds(row.get("_cio_valid_from")),
        _seconds(row.get("_cio_valid_to")),
        None if row.get("_cio_is_current") is None else bool(row["_cio_is_current"]),
    )


def _note(row: Mapping[str, Any]) -> Note:
    before = row["_cio_before"]
    return Note(
        str(row["_cio_key"]),
        row["_cio_operation"],
        _seconds(row["_cio_changed_at"]) or 0,
        None if before is None else json.loads(before),
        _content(row),
        _seconds(row["_cio_deleted_at"]),
    )


def _content(row: Mapping[str, Any]) -> Content:
    extra = row["_cio_extra"]
    return Content(
        row["name"],
        _seconds(row["created"]),
        row.get("surprise"),
        None if extra is None else json.loads(extra)["created"],
    )


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
