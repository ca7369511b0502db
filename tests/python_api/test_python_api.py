"""The Python API, used as a user would: one call copies a workspace, and tables are read as Arrow record batches."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import assert_type

import pyarrow as pa
import pytest

import cio_replicate as cio
from customerio_simulator import Simulator, WorkspaceSpec
from customerio_simulator.faults import Fault, Faults
from tests.pipeline.copies import differences, records, truth

PAGE = Path(__file__).parents[2] / "docs" / "python-api.md"
TOKEN = "simulator-token"
SPEC = WorkspaceSpec(seed=12, messages=2_500, people=120, activities=300)


def _replicate(simulator: Simulator, folder: Path, tables: tuple[str, ...] = ("campaigns", "messages")) -> cio.Report:
    return cio.replicate(
        token=TOKEN,
        to=f"duckdb:///{folder / 'crm.duckdb'}",
        since=date(2020, 1, 1),
        tables=tables,
        api_url=simulator.url,
        requests_per_second=500.0,
        state_dir=folder / "state",
    )


def test_one_call_copies_a_workspace(tmp_path: Path) -> None:
    """The report tells how each table ended, and the copy equals the workspace; the next call changes nothing."""
    with Simulator(SPEC) as simulator:
        report = _replicate(simulator, tmp_path)
        assert_type(report, cio.Report)
        assert report.status is cio.Status.COMPLETE
        assert {one.name: one.inserted for one in report.tables}["messages"] == 2_500
        assert differences(simulator, tmp_path / "crm.duckdb", ("campaigns", "messages")) == {}
        assert sum(one.inserted + one.updated + one.deleted for one in _replicate(simulator, tmp_path).tables) == 0


def test_a_table_that_fails_is_in_the_report(tmp_path: Path) -> None:
    """The others are copied."""
    faults = Faults.script(Fault(kind="missing_key", table="campaigns", times=None))
    with Simulator(SPEC, faults=faults) as simulator:
        report = _replicate(simulator, tmp_path, ("campaigns", "topics"))
        found = {one.name: one.status for one in report.tables}
        assert (report.status, found["topics"]) == (cio.Status.FAILED, cio.Status.COMPLETE)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"since": "yesterday"}, "is not a date"),
        ({"tables": ["compaigns"]}, "compaigns"),
        ({"to": "oracle://x/y"}, "oracle"),
        ({"mode": "merge"}, "merge"),
        ({"token": "a b"}, "token"),
        ({"requests_per_second": 0.0}, "out of range"),
        ({"mode": "full", "deletes": "never"}, "for deletes"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, str], said: str, tmp_path: Path) -> None:
    """With the cause, before anything is written."""
    given = {"token": TOKEN, "to": f"duckdb:///{tmp_path / 'crm.duckdb'}", "since": "2020-01-01"} | arguments
    with pytest.raises(cio.InvalidSettings, match=said):
        cio.replicate(**given, state_dir=tmp_path / "state")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_refused_key_is_an_error(tmp_path: Path) -> None:
    """Nothing was read, so there is no report, and nothing is written."""
    with Simulator(SPEC) as simulator, pytest.raises(cio.AccessError):
        cio.replicate(token="wrong", to=f"duckdb:///{tmp_path}/a.duckdb", since="2020-01-01", api_url=simulator.url)
    assert not (tmp_path / "a.duckdb").exists()


def test_errors_of_a_read_name_arguments() -> None:
    """A caller in Python knows `region`, and neither `--region` nor a placeholder."""

    async def scenario(url: str) -> None:
        async with cio.Workspace("wrong", api_url=url) as workspace:
            async for _ in workspace.read("topics", since="2020-01-01"):
                pass

    with Simulator(SPEC) as simulator, pytest.raises(cio.AccessError, match=r"\(else region us or eu\)"):
        asyncio.run(scenario(simulator.url))


def test_tables_are_read_as_record_batches() -> None:
    """Every row of the tables that are named comes once, typed, and nothing touches a disk."""

    async def scenario(url: str) -> dict[str, list[pa.RecordBatch]]:
        found: dict[str, list[pa.RecordBatch]] = {}
        async with cio.Workspace(TOKEN, api_url=url, requests_per_second=500.0) as workspace:
            async for chunk in workspace.read("campaigns", "campaign_actions", "messages", since="2020-01-01"):
                assert_type(chunk, cio.Chunk)
                assert chunk.rows is not None
                found.setdefault(chunk.table, []).append(chunk.rows)
        return found

    with Simulator(SPEC) as simulator:
        found = asyncio.run(scenario(simulator.url))
        for name, batches in found.items():
            rows = pa.concat_tables((pa.Table.from_batches([one]) for one in batches), promote_options="default")
            assert records(rows.to_pylist(), name) == truth(simulator, name)
    assert found.keys() == {"campaigns", "campaign_actions", "messages"}
    assert found["messages"][0].schema.field("created").type == pa.timestamp("us", "UTC")


def test_a_start_date_bounds_what_is_read() -> None:
    """Messages from before it do not come."""
    since = datetime.fromtimestamp(SPEC.now - 30 * 86_400, UTC)

    async def scenario(url: str) -> list[datetime]:
        async with cio.Workspace(TOKEN, api_url=url, requests_per_second=500.0) as workspace:
            chunks = [chunk async for chunk in workspace.read("messages", since=since)]
        return [at for chunk in chunks if chunk.rows is not None for at in chunk.rows["created"].to_pylist()]

    with Simulator(SPEC) as simulator:
        created = asyncio.run(scenario(simulator.url))
    assert created
    assert min(created) >= since


def test_a_failed_table_is_raised_when_the_others_are_read() -> None:
    """So nothing is lost in silence."""
    faults = Faults.script(Fault(kind="missing_key", table="campaigns", times=None))
    read: list[str] = []

    async def scenario(url: str) -> None:
        async with cio.Workspace(TOKEN, api_url=url, requests_per_second=500.0) as workspace:
            async for chunk in workspace.read("campaigns", "messages", since="2020-01-01"):
                read.append(chunk.table)  # noqa: PERF401 - a comprehension would lose what came before the error

    with Simulator(SPEC, faults=faults) as simulator, pytest.raises(cio.ReadError, match="campaigns"):
        asyncio.run(scenario(simulator.url))
    assert set(read) == {"messages"}


def test_a_workspace_is_opened_first() -> None:
    """With a sentence that says how."""

    async def scenario() -> None:
        async for _ in cio.Workspace(TOKEN).read("topics", since="2020-01-01"):
            pass

    with pytest.raises(cio.InvalidSettings, match="async with"):
        asyncio.run(scenario())


def test_what_is_exported_is_there_and_imported_late() -> None:
    """`import cio_replicate` loads no library; an unknown name is an AttributeError."""
    assert all(hasattr(cio, name) for name in cio.__all__)
    assert not hasattr(cio, "nothing")
    script = "import sys, cio_replicate; print('pyarrow' in sys.modules, 'httpx2' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))
def test_what_the_page_shows_runs(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each block of docs/python-api.md copies or reads campaigns and messages."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with Simulator(SPEC) as simulator:
        exec(block.replace('token="…"', f'token="{TOKEN}", api_url="{simulator.url}"'), {})  # noqa: S102 - our page
    assert "messages" in capsys.readouterr().out
