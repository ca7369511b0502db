"""What becomes of files: damaged, gone, replaced, or without room."""

from __future__ import annotations

import os
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cio_replicate.base.errors import DestinationUnavailableError
from cio_replicate.pipeline.events import BatchWritten, Event, RunStarted
from cio_replicate.pipeline.report import Report, Status
from tests.adversary.standin import Asked, Reply, StandIn, paged
from tests.adversary.syncing import ask, of, sync

NEWSLETTERS = [{"id": number, "name": f"newsletter {number}"} for number in range(20)]
CAMPAIGNS = {"campaigns": [{"id": 1}]}


def _breaks_off(asked: Asked) -> Any:
    return paged("newsletters", NEWSLETTERS, 5)(asked) if asked.query.get("start") != "10" else Reply(b"", 500)


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _garble(file: Path) -> None:
    file.write_bytes(os.urandom(2_000))


def _garble_the_middle(file: Path) -> None:
    held = file.read_bytes()
    footer = int.from_bytes(held[-8:-4], "little") + 8
    file.write_bytes(held[:4] + bytes(len(held) - 4 - footer) + held[-footer:])


@pytest.mark.parametrize("damage", [Path.unlink, _cut, _empty, _garble])
def test_a_landed_page_that_is_lost_is_read_again(damage: Callable[[Path], Any], tmp_path: Path) -> None:
    """A page that broke or vanished between two runs costs its requests once more, and the second run is complete."""
    with StandIn({"/v1/newsletters": _breaks_off}) as api:
        assert sync(api.url, tmp_path, "newsletters").status is Status.FAILED
        damage(next((tmp_path / "state" / "pages").iterdir()))
        api.answers["/v1/newsletters"] = paged("newsletters", NEWSLETTERS, 5)
        report = sync(api.url, tmp_path, "newsletters")
    assert (report.status, of(report, "newsletters").read) == (Status.COMPLETE, 20)
    assert "damaged or gone" in report.notes[0]
    assert ask(tmp_path, "SELECT count(*), count(_cio_deleted_at) FROM newsletters") == [(20, 0)]
    assert list((tmp_path / "state" / "pages").iterdir()) == []


def test_a_landed_page_that_is_garbled_inside_fails_one_run_only(tmp_path: Path) -> None:
    """Damage that shows only when a page is loaded discards the read, and the run after that is complete."""
    with StandIn({"/v1/newsletters": _breaks_off}) as api:
        sync(api.url, tmp_path, "newsletters")
        for file in (tmp_path / "state" / "pages").iterdir():
            _garble_the_middle(file)
        api.answers["/v1/newsletters"] = paged("newsletters", NEWSLETTERS, 5)
        report = of(sync(api.url, tmp_path, "newsletters"), "newsletters")
        assert "read anew" in str(report.error)
        assert sync(api.url, tmp_path, "newsletters").status is Status.COMPLETE
    assert ask(tmp_path, "SELECT count(*), count(_cio_deleted_at) FROM newsletters") == [(20, 0)]


class _Vanishing(list[Event]):
    """What a run tells, and somebody who removes its copy once it has told of a certain thing."""

    def __init__(self, at: type[Event], folder: Path) -> None:
        super().__init__()
        self._at, self._folder = at, folder

    def append(self, event: Event) -> None:
        """Take an event in; the run goes on only afterwards."""
        super().append(event)
        if isinstance(event, self._at):
            for file in self._folder.glob("copy.duckdb*"):
                file.unlink()


@pytest.mark.parametrize("at", [RunStarted, BatchWritten])
def test_a_copy_that_vanishes_under_a_run_is_noticed(at: type[Event], tmp_path: Path) -> None:
    """What went into a file that is no longer there is not reported as copied, whether it was empty or not."""
    newsletters = paged("newsletters", NEWSLETTERS, 5)
    with StandIn({"/v1/newsletters": newsletters, "/v1/campaigns": CAMPAIGNS}) as api:
        report = sync(api.url, tmp_path, "newsletters", "campaigns", told=_Vanishing(at, tmp_path))
        assert report.status is Status.FAILED
        assert "removed or replaced" in str(report.error)
        assert sync(api.url, tmp_path, "newsletters", "campaigns").status is Status.COMPLETE
    assert ask(tmp_path, "SELECT count(*) FROM newsletters") == [(20,)]
    assert ask(tmp_path, "SELECT count(*) FROM campaigns") == [(1,)]


@contextmanager
def _no_file_larger_than(size: int) -> Iterator[None]:
    """As on a disk without room: the system refuses to make a file of this process any larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_run_that_cannot_even_plan_has_failed(tmp_path: Path) -> None:
    """A journal that cannot be written at the start of a run makes every table a failed one, never a complete run."""
    with StandIn({"/v1/campaigns": CAMPAIGNS}) as api:
        sync(api.url, tmp_path, "campaigns", "segments")
        with _no_file_larger_than(1):
            report = sync(api.url, tmp_path, "campaigns", "segments")
        assert report.status is Status.FAILED
        assert [table.status for table in report.tables] == [Status.FAILED, Status.FAILED]
        assert "cannot be written" in str(report.error)
        assert sync(api.url, tmp_path, "campaigns", "segments").status is Status.COMPLETE


def test_a_page_that_finds_no_room_fails_what_is_open(tmp_path: Path) -> None:
    """A disk that fills up in the middle is told as such, and with room again the run goes on where it was."""
    many = [{"id": number, "name": os.urandom(3_000).hex() if number >= 20 else ""} for number in range(40)]
    with StandIn({"/v1/newsletters": paged("newsletters", many, 20)}) as api:
        with _no_file_larger_than(50_000):
            report = _report(api.url, tmp_path)
        assert report is None or "cannot be written" in str(report.error) or "could not be written" in str(report.error)
        assert of(sync(api.url, tmp_path, "newsletters"), "newsletters").status is Status.COMPLETE
    assert ask(tmp_path, "SELECT count(*) FROM newsletters") == [(40,)]


def _report(url: str, folder: Path) -> Report | None:
    try:
        return sync(url, folder, "newsletters")
    except DestinationUnavailableError:
        return None


def test_a_journal_emptied_or_gone_is_begun_anew(tmp_path: Path) -> None:
    """Without a journal the run goes on from what the destination says."""
    journal = tmp_path / "state" / "journal.sqlite"
    with StandIn({"/v1/newsletters": _breaks_off}) as api:
        sync(api.url, tmp_path, "newsletters")
        sqlite3.connect(journal).close()
        journal.write_bytes(b"")
        sync(api.url, tmp_path, "newsletters")
        journal.unlink()
        api.answers["/v1/newsletters"] = paged("newsletters", NEWSLETTERS, 5)
        assert of(sync(api.url, tmp_path, "newsletters"), "newsletters").read == 20
    assert ask(tmp_path, "SELECT count(*), count(_cio_deleted_at) FROM newsletters") == [(20, 0)]
