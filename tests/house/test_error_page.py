"""The page that describes all errors."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import pytest

import cio_replicate
from cio_replicate.base.errors import CioReplicateError
from cio_replicate.cli.error_page import PACKAGE, main, page, tree

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


def test_the_page_is_up_to_date() -> None:
    """docs/errors.md says what the error classes say."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_the_page_holds_every_error_of_the_package() -> None:
    """An error class that any module of the package declares stands on the page, wherever it is declared."""
    for module in pkgutil.walk_packages(cio_replicate.__path__, PACKAGE):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    assert [kind.__name__ for kind, _ in tree() if f"`{kind.__name__}` |" not in PAGE.read_text(encoding="utf-8")] == []


def test_every_error_says_what_it_is_and_can_be_made_of_a_sentence() -> None:
    """Each error class has a docstring, and shows the sentence that it is made of."""
    kinds: list[type[CioReplicateError]] = [kind for kind, _ in tree()]
    assert [kind.__name__ for kind in kinds if not kind.__doc__ or str(kind("One sentence.")) != "One sentence."] == []


def test_a_page_that_lags_behind_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` fails for a page that differs, and says how to write it anew."""
    (tmp_path / "errors.md").write_text("old", encoding="utf-8")
    assert main(["--check", str(tmp_path / "errors.md")]) == 1
    assert "error_page > " in capsys.readouterr().err
    assert main(["--check", str(PAGE)]) == 0
