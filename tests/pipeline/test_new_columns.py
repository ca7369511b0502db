"""What a report says of fields that the API sends and nobody has declared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cio_replicate.config.table_options import SchemaChanges
from cio_replicate.pipeline.report import Status
from cio_replicate.source.catalog import table
from tests.adversary.standin import StandIn
from tests.adversary.syncing import of, sync

PATH, ROW = "/v1/newsletters", {"id": 1, "updated": 1_700_000_000}


def test_new_columns_are_those_that_the_copy_did_not_have(tmp_path: Path) -> None:
    """The first run has none, since all is new then; later each is named once, by the run that makes it."""
    with StandIn({PATH: {"newsletters": [{**ROW, "colour": "red"}]}}) as api:
        first = of(sync(api.url, tmp_path, "newsletters"), "newsletters")
        api.answers[PATH] = {"newsletters": [{**ROW, "colour": "red", "size": 4}]}
        found = [of(sync(api.url, tmp_path, "newsletters"), "newsletters").new_columns for _ in range(2)]
    assert (first.new_columns, found) == ([], [["size"], []])


def test_a_frozen_table_says_that_its_schema_failed_it(tmp_path: Path) -> None:
    """A table that fails for a new field is told apart from one that fails for anything else."""
    frozen = replace(table("segments"), schema_changes=SchemaChanges.FREEZE)
    with StandIn({"/v1/segments": {"segments": [{"id": 1, "surprise": 2}]}}) as api:
        report = sync(api.url, tmp_path, frozen, "topics")
    assert [(one.name, one.status, one.frozen_out) for one in report.tables] == [
        ("segments", Status.FAILED, True),
        ("topics", Status.COMPLETE, False),
    ]
