"""The page that describes all errors."""

from __future__ import annotations

import importlib
import pkgutil

import cio_replicate
from cio_replicate.base.errors import CioReplicateError
from docs.reference_pages import FOLDER, PACKAGE, error_tree

PAGE = FOLDER / "errors.md"


def test_the_page_holds_every_error_of_the_package() -> None:
    """An error class that any module of the package declares stands on the page, wherever it is declared."""
    for module in pkgutil.walk_packages(cio_replicate.__path__, PACKAGE):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    assert [
        kind.__name__ for kind, _ in error_tree() if f"`{kind.__name__}` |" not in PAGE.read_text(encoding="utf-8")
    ] == []


def test_every_error_says_what_it_is_and_can_be_made_of_a_sentence() -> None:
    """Each error class has a docstring, and shows the sentence that it is made of."""
    kinds: list[type[CioReplicateError]] = [kind for kind, _ in error_tree()]
    assert [kind.__name__ for kind in kinds if not kind.__doc__ or str(kind("One sentence.")) != "One sentence."] == []
