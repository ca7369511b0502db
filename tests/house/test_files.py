"""The house rules that hold for every Python file."""

from __future__ import annotations

import ast
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
MOST_LINES = 600
GRAB_BAGS = {"util", "utils", "helper", "helpers", "common", "misc", "base"}

SOURCES = sorted(path for folder in ("src", "tests", "benchmarks", "docs") for path in (ROOT / folder).rglob("*.py"))


def test_no_file_is_long() -> None:
    """A file that grows past 600 lines is split by responsibility."""
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert [f"{_name(path)}: {length} lines" for path, length in lengths.items() if length > MOST_LINES] == []


def test_every_module_says_what_it_is() -> None:
    """Every module opens with a docstring whose first line is a sentence of its own."""
    first_lines = {path: _docstring(path).partition("\n\n")[0] for path in SOURCES}
    assert [_name(path) for path, line in first_lines.items() if not line or "\n" in line] == []


def test_no_module_is_a_grab_bag() -> None:
    """A module is named after what it does, never `utils` or the like.

    The exceptions are the lowest package and the module of what all strategies share.
    """
    places = set(SOURCES) | {path.parent for path in SOURCES}
    package = ROOT / "src" / "cio_replicate"
    allowed = {package / "base", package / "source" / "strategies" / "base.py"}
    assert [_name(place) for place in sorted(places - allowed) if place.stem in GRAB_BAGS] == []


@pytest.mark.parametrize("package", ["cio_replicate", "customerio_simulator"])
def test_a_class_name_exists_once(package: str) -> None:
    """No two modules of a package define a class of the same name."""
    defined: dict[str, list[str]] = {}
    for path in sorted((ROOT / "src" / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                defined.setdefault(node.name, []).append(_name(path))
    assert {name: places for name, places in defined.items() if len(places) > 1} == {}


def test_modules_do_not_import_in_circles() -> None:
    """No module imports, through whatever others, a module that imports it."""
    graph = grimp.build_graph("cio_replicate", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    circle = None
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        circle = error.args[1]
    assert circle is None


def test_the_contributing_guide_shows_the_layers_that_lint_checks() -> None:
    """The layers drawn for contributors are, line for line, the ones in the import contract."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    assert "\n".join(["```", *layers, "```"]) in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def _docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()
