"""What may leave a private network: our own sentences and numbers, never what an API, a database or a library said."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_replicate.base.text import LEFT_OUT, quoted, without_quotes
from cio_replicate.gateway.policy import outbound, outbound_outcome
from cio_replicate.jobs.ports import Outcome, ProbeResult, TableProbe
from cio_replicate.pipeline.report import Report, TableReport, Verification, VerificationStatus

SOURCES = Path(__file__).parents[2] / "src" / "cio_replicate"
#: Where errors are made that may reach a run's report; the settings' own are about what a user wrote.
FOLDERS = ("source", "sinks", "pipeline", "app", "jobs", "gateway")
#: What may be said of an error that others have raised: its kind, or what the operating system calls it.
HARMLESS = {"strerror", "sqlstate", "__class__", "message", "fix", "name"}
QUOTING = {"quoted", "_cause", "type", "getattr"}  # `_cause` of the HTTP client quotes what it adds to the kind


@given(st.text(), st.text())
def test_what_is_quoted_can_be_left_out_again(said: str, more: str) -> None:
    """Whatever was said, with marks, line breaks or anything, nothing of it is left."""
    told = without_quotes(f"It failed ({quoted(said)}), then ({quoted(more)}). Run again.")
    assert told == f"It failed ({LEFT_OUT}), then ({LEFT_OUT}). Run again."


@given(st.text(min_size=1), st.integers(1, 40))
def test_a_quotation_that_was_cut_is_left_out_too(said: str, length: int) -> None:
    """Of a sentence that was cut within it, the beginning is left."""
    told = without_quotes(f"It failed: {quoted(said)}"[:length])
    assert "It failed: “…”".startswith(told) or told == "It failed: “…”"


def test_a_quotation_is_short_and_one_line() -> None:
    """A page of HTML does not fill a log."""
    assert quoted("a\n  b “c” d") == '“a b "c" d”'
    assert len(quoted("x" * 1_000)) == 202


def test_a_report_is_told_without_what_could_be_guessed() -> None:
    """Counts go out; digests of keys do not, since those of a few rows could be found by trying."""
    proof = Verification(
        verdict=VerificationStatus.PROVED, why="All is there.", rows=1, source=1, digest="abc", landed="abc"
    )
    report = Report(run_id="r", started="", tables=[TableReport(name="segments", proof=proof, read=1)])
    told = outbound_outcome(Outcome(status="complete", report=report)).report
    assert told is not None
    assert told.tables[0].proof == Verification(
        verdict=VerificationStatus.PROVED, why="All is there.", rows=1, source=1
    )
    assert (told.tables[0].read, report.tables[0].proof) == (1, proof)


def test_what_is_found_of_a_connection_is_told_without_quotations() -> None:
    """Each table's cause too."""
    table = TableProbe(name="segments", readable=False, cause="No (403: “eva@example.com may not”).", least=3)
    told = outbound(ProbeResult(api="https://a", tables=[table], cause="“eva”"))
    assert (told.cause, told.tables[0].cause, told.tables[0].least) == ("“…”", "No (403: “…”).", 3)


def test_whoever_repeats_what_others_said_quotes_it() -> None:
    """No message of ours holds the words of a foreign error as they are: each goes through `quoted`."""
    files = {folder: sorted((SOURCES / folder).rglob("*.py")) for folder in FOLDERS}
    assert all(files.values())
    assert [place for paths in files.values() for path in paths for place in _loose(path)] == []


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ('raise A(f"x ({error})")', 1),
        ('raise A(f"x ({str(error)[:9]})")', 1),
        ('raise A(f"x ({quoted(error)})")', 0),
        ('raise A(f"x ({type(error).__name__})")', 0),
        ('raise A(f"x ({error.strerror or error})")', 0),
        ('raise A(f"x ({error.args[0]})")', 1),
    ],
)
def test_that_test_finds_what_it_is_for(tmp_path: Path, line: str, count: int) -> None:
    """What is quoted, or harmless, is let pass."""
    file = tmp_path / "module.py"
    file.write_text(f"try:\n    pass\nexcept sqlite3.Error as error:\n    {line}\n")
    assert len(list(_loose(file))) == count


def _loose(path: Path) -> Iterator[str]:
    """Places in f-strings where a foreign error is written as it is."""
    for handler in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(handler, ast.ExceptHandler) or handler.name is None or _is_ours(handler.type):
            continue
        for text in ast.walk(handler):
            if isinstance(text, ast.JoinedStr):
                for value in text.values:
                    if isinstance(value, ast.FormattedValue) and _shows(value.value, handler.name):
                        yield f"{path.name}:{text.lineno}: {ast.unparse(value.value)}"


def _is_ours(kind: ast.expr | None) -> bool:
    """Whether the errors that are caught are ours, whose sentences hold quotations already."""
    names = [ast.unparse(one) for one in (kind.elts if isinstance(kind, ast.Tuple) else [kind])] if kind else []
    ours = {"CioReplicateError", "AccessError", "LoadError", "InvalidSettings", "StagingFailed", "ReadError"}
    return bool(names) and all(
        name in ours
        or (name.endswith("Error") and (SOURCES / "base" / "errors.py").read_text().find(f"class {name}(") >= 0)
        for name in names
    )


def _shows(value: ast.expr, name: str) -> bool:
    """Whether an expression writes the error itself, or what it holds."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in QUOTING:
        return False
    if isinstance(value, ast.Attribute):
        if value.attr in HARMLESS or value.attr == "__name__":
            return False
        return _shows(value.value, name)
    if isinstance(value, ast.BoolOp):  # `error.strerror or error`: an OSError without a number says only its own words
        return not isinstance(value.values[0], ast.Attribute)
    if isinstance(value, ast.Name):
        return value.id == name
    return any(_shows(one, name) for one in ast.iter_child_nodes(value) if isinstance(one, ast.expr))
