"""The matrix of change modes and situations: every copy holds what the model says, and proves it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from _pytest.mark import ParameterSet
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_replicate.sinks.backend import Condition, StoredTable, TableBackend
from cio_replicate.sinks.merge.table_merge import COMPARED_AT_ONCE
from cio_replicate.sinks.port import Changes, Sink
from tests.sinks.copies import COPIES, Copy, TwinCopy, tried
from tests.sinks.copying import alone
from tests.sinks.mode_model import TREATMENTS, Page, Step, Value
from tests.sinks.pages import AT, Pages, close
from tests.sinks.played import TABLE, Play
from tests.sinks.twin import TwinStore

Fields = Mapping[str, Value]
V: Fields = {"name": "v", "created": 1_700_000_000}
W: Fields = {"name": "w", "created": 1_700_000_000}
NEW, NEWER = {**V, "surprise": 5}, {**V, "surprise": 6}
ODD, LATE = {**V, "created": "soon"}, {**V, "created": "late"}  # no moments: `_cio_extra` keeps them


class Seen(dict[str, Value]):
    """A record that is only seen."""


S = Seen(W)
#: What can befall a row: what six whole reads say of it, one after the other; `None` where they do not have it, and
#: a list where several pages do. In the fourth read the column `surprise` is not copied.
ROWS: dict[str, Sequence[Fields | list[Fields] | None]] = {
    "stays": (V, V, V, V, V, V),
    "insert": (None, V, V, V, V, V),
    "update": (V, W, W, V, V, W),
    "delete": (V, None, None, None, None, None),
    "undelete": (V, None, V, None, None, V),
    "undelete as another": (V, None, W, None, V, None),
    "comes and goes": (None, V, None, V, None, V),
    "becomes null": (V, {}, {}, V, {}, V),
    "new column": (V, NEW, NEWER, NEWER, NEWER, V),
    "column left out": (NEW, NEW, NEW, V, V, NEW),
    "deleted as its column is left out": (NEW, NEW, NEW, None, NEW, None),
    "misfit": (V, ODD, ODD, LATE, V, ODD),
    "misfit from the start": (ODD, ODD, LATE, V, W, None),
    "several pages": ([V, W], [W, V], [W, W], [V, W, V], V, [V, NEW]),
    "only seen": (V, S, S, W, S, None),
    "seen before it is known": (S, V, None, S, V, S),
    "seen beside the row": (V, [W, S], [S, V], None, [W, S], [S, W]),
}
#: What can befall a table, as steps that follow on each other.
TABLES: dict[str, list[Step]] = {
    "nothing at all": [Step(), Step([Page([])]), Step(closes=False)],
    "a read in parts": [
        Step([Page([{"id": 1, **V}, {"id": 2, **V}])], closes=False),
        Step([Page([{"id": 1, **W}])], closes=False),
        Step([Page([{"id": 3, **V}, {"id": 4, **NEW}])]),
    ],
    "partial reads": [
        Step([Page([{"id": 1, **V}])], absence_deletes=False),
        Step([Page([{"id": 2, **W}])], closes=False),
        Step(absence_deletes=False),
    ],
    "all are gone": [Step(), Step([Page([{"id": 2, **W}, {"id": 5, **V}])])],
}


def life(number: int) -> Step:
    """The read of that number, of all rows."""
    pages: list[tuple[list[Fields], list[Fields]]] = [([], []), ([], []), ([], [])]
    for key, story in enumerate(ROWS.values()):
        told = story[number]
        for page, fields in zip(pages, told if isinstance(told, list) else [told], strict=False):
            if fields is not None:
                without = {name: value for name, value in fields.items() if number != 3 or name != "surprise"}
                page[isinstance(fields, Seen)].append({"id": key, **without})
    return Step([Page(records, seen) for records, seen in pages], without_surprise=number == 3)


def walk(names: Sequence[str]) -> list[str]:
    """A way that takes each name after each other one, once."""
    left = {one: [other for other in names if other != one] for one in reversed(names)}
    way, stack = [], [names[0]]
    while stack:
        if left[stack[-1]]:
            stack.append(left[stack[-1]].pop())
        else:
            way.append(stack.pop())
    return way[::-1]


QUICK = ("duckdb", "twin")
KINDS = tried(COPIES, *QUICK)


#: Of the matrix those that are tried each time, so that each kind and each mode is among them.
OFTEN = {
    ("duckdb", "apply-hard"), ("duckdb", "changes"), ("duckdb", "history-hard"),
    ("twin", "full"), ("twin", "apply"), ("twin", "changes-hard"), ("twin", "history"),
}  # fmt: skip


def matrix(treatments: Iterable[str]) -> list[ParameterSet]:
    """Each kind in each mode; those of the twins that are not tried often are slow together."""
    return [
        pytest.param(
            kind,
            treatment,
            id=f"{kind}-{treatment}",
            marks=[*one.marks, *([pytest.mark.slow] if kind in QUICK and (kind, treatment) not in OFTEN else [])],
        )
        for one in KINDS
        for kind in [str(one.values[0])]
        for treatment in treatments
    ]


def _less_often(one: ParameterSet) -> list[Any]:
    return [*one.marks, *([pytest.mark.slow] if one.values[0] == "twin" else [])]


@pytest.fixture(params=KINDS)
def copy(request: pytest.FixtureRequest, tmp_path: Path) -> Copy:
    """An empty copy of each kind."""
    return COPIES[request.param](tmp_path)


@pytest.fixture
def play(copy: Copy, tmp_path: Path) -> Play:
    """A copy beside its model."""
    return Play(copy, tmp_path)


@pytest.mark.parametrize(("copy", "treatment"), matrix(TREATMENTS), indirect=["copy"])
def test_whatever_befalls_a_row(play: Play, treatment: str) -> None:
    """After each read rows, versions, changes, counts and proof are right, and the same read again changes nothing."""
    play.names = dict(enumerate(ROWS))
    play.play(*map(life, range(6)), treatment=TREATMENTS[treatment], twice=True)


@pytest.mark.parametrize(("copy", "treatment"), matrix(["apply", "changes-hard", "history"]), indirect=["copy"])
def test_whatever_befalls_a_table(play: Play, treatment: str) -> None:
    """A read is no deletion before it is whole, and the whole of nothing deletes all."""
    for steps in TABLES.values():
        play.play(*steps, treatment=TREATMENTS[treatment])


MODES = [name for name in TREATMENTS if name != "history-hard"]


@pytest.mark.parametrize(
    "copy", [pytest.param(*one.values, marks=_less_often(one), id=str(one.values[0])) for one in KINDS], indirect=True
)
def test_each_mode_can_follow_each_other(play: Play) -> None:
    """The next batch brings the table into its mode: what was marked deleted, and what was noted, is kept or goes."""
    rows: list[Fields] = [{"id": one, **NEW} for one in range(6)]
    play.play(Step([Page(rows)]), treatment=TREATMENTS["apply"])
    for number, name in enumerate(walk(MODES)):
        if name != "history":  # where an ended version would hinder the way back
            rows = [{"id": one, **NEW, "name": name} for one in range(6 + number) if one not in (number, number + 2)]
        else:
            rows = [*rows[1:], {"id": 100 + number, **V}]
        play.play(Step([Page(rows)], closes=number % 4 > 0), treatment=TREATMENTS[name])


@pytest.mark.parametrize("after", MODES[:-1])
def test_ended_versions_are_not_lost(copy: Copy, tmp_path: Path, after: str) -> None:
    """A table that has them stays a history; the error names the table, how many there are, and what to do."""
    play = Play(copy, tmp_path)
    play.play(Step([Page([{"id": 1, **V}, {"id": 2, **V}])]), treatment=TREATMENTS["history"])
    play.play(Step([Page([{"id": 1, **W}, {"id": 2, **W}])]), treatment=TREATMENTS["history"])
    said = play.refuses(Step([Page([{"id": 1, **V}])]), TREATMENTS[after])
    assert f"campaigns holds 2 ended versions of its rows, which the mode {TREATMENTS[after].mode} would lose" in said
    assert "‹mode› campaigns=history" in said


def test_an_excluded_column_is_emptied_and_not_told(copy: Copy, tmp_path: Path) -> None:
    """Rows that are read again lose its value, others keep it, and it is noted nowhere."""
    pages = Pages(tmp_path / "pages")
    records = [{"id": one, "name": "secret", "type": "t"} for one in (1, 2)]
    treatment = TREATMENTS["changes"]
    whole = pages.batch(pages.land(*records))
    copy.write(replace(whole, treatment=treatment))
    name = TABLE.column("name")
    others = tuple(column for column in TABLE.columns if column is not name)
    pages = Pages(tmp_path / "others", replace(TABLE, columns=others, hidden=(name,)))
    file = pages.land({"id": 1, "type": "t"}, at=AT + 10)
    assert copy.write(replace(pages.batch(file, close=close(file)), treatment=treatment)) == Changes(
        updated=1, deleted=1
    )
    rows = copy.rows("campaigns")
    assert {key: (row["name"], row["_cio_deleted_at"] is None) for key, row in rows.items()} == {
        "1": (None, True),
        "2": ("secret", False),
    }
    notes = sorted(copy.every("campaigns__changes"), key=lambda row: row["_cio_sequence"])
    assert [(row["_cio_operation"], row["name"], row["_cio_before"]) for row in notes[2:]] == [
        ("update", None, "{}"),
        ("delete", None, None),
    ]


def test_pages_that_are_compared_apart_may_have_other_columns(copy: Copy, tmp_path: Path) -> None:
    """Of large pages some have a column that was found later, and others do not."""
    pages = Pages(tmp_path / "pages")
    large = [{"id": one, "name": token_hex(500_000)} for one in range(10)]
    first = pages.land(*large)
    assert first.stat().st_size > COMPARED_AT_ONCE / 2
    copy.write(pages.batch(first, pages.land({"id": 11, "name": "b"})))
    later = pages.land(*({**one, "surprise": 5} for one in large), {"id": 11, "name": "b"})
    again = pages.land({"id": 11, "name": "c"})
    assert copy.write(pages.batch(first, later, first, again)) == Changes(updated=1)
    assert copy.write(pages.batch(first, later, again)) == Changes(updated=10)


ROW = st.tuples(st.integers(1, 3), st.sampled_from([V, W, NEW, ODD, S]))
PAGE = st.lists(ROW, max_size=3, unique_by=lambda row: row[0]).map(
    lambda rows: Page(
        [{"id": key, **fields} for key, fields in rows if not isinstance(fields, Seen)],
        [{"id": key, **fields} for key, fields in rows if isinstance(fields, Seen)],
    )
)
STEP = st.builds(Step, st.lists(PAGE, max_size=2), st.booleans(), st.booleans())
#: Modes follow on each other as long as no version has ended.
MOVES = st.lists(
    st.tuples(STEP, st.sampled_from(["full", "apply", "apply-hard", "changes", "changes-hard"])), max_size=3
)


@pytest.mark.parametrize("kind", QUICK)
@settings(max_examples=5, deadline=None)
@given(moves=MOVES, history=st.lists(STEP, max_size=2))
def test_any_steps_in_any_modes(kind: str, moves: list[tuple[Step, str]], history: list[Step]) -> None:
    """Whatever is read, in whatever mode, the copy is as the model says and proves it."""
    with TemporaryDirectory() as folder:
        play = Play(COPIES[kind](Path(folder)), Path(folder))
        for step, name in moves:
            play.play(step, treatment=TREATMENTS[name])
        play.play(*history, treatment=TREATMENTS["history"])


class NarrowStore(TwinStore):
    """A store that takes three rows at once; `asked` are the numbers of keys that it was asked for together."""

    rows_at_once = 3

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self.asked: list[int] = []

    def read(
        self, shape: StoredTable, columns: Sequence[str], conditions: Sequence[Condition] = ()
    ) -> pa.RecordBatchReader:
        """Rows for which all conditions hold."""
        self.asked += [len(one.value) for one in conditions if isinstance(one.value, list)]
        return super().read(shape, columns, conditions)


@pytest.mark.parametrize("mode", ["apply", "changes", "history", "changes-hard"])
def test_any_number_of_rows_can_go_at_once(tmp_path: Path, mode: str) -> None:
    """A store is asked for no more of them at once than it takes, however many there are."""
    copy, stores = TwinCopy(tmp_path), list[NarrowStore]()

    class Narrow(TwinCopy):
        def open(self, around: Callable[[TableBackend], TableBackend] = alone) -> Sink:
            def narrow(_store: TableBackend) -> TableBackend:
                stores.append(NarrowStore(copy.file))
                return around(stores[-1])

            return super().open(narrow)

    rows: list[Fields] = [{"id": key, "name": "a"} for key in range(1, 9)]
    play = Play(Narrow(tmp_path), tmp_path)
    play.play(Step([Page(rows)]), Step([Page(rows[:1])]), treatment=TREATMENTS[mode])
    assert [number for store in stores for number in store.asked] == [3, 3, 1]
