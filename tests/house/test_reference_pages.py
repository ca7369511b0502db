"""The pages that are written from the code are those that the code writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.reference_pages import FOLDER, PAGES, main


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_up_to_date(name: str) -> None:
    """The page in docs says what the code says."""
    assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name]()


def test_check_is_silent_when_all_pages_are_up_to_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Checking what was just written finds nothing."""
    assert main([], tmp_path) == 0
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(PAGES)
    assert main(["--check"], tmp_path) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("content", [None, b"", b"\xff# Tables\n"])
def test_check_says_which_page_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None
) -> None:
    """A page that differs, is missing or is no text fails the check with one sentence that says what to do."""
    main([], tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["--check"], tmp_path) == 1
    assert capsys.readouterr().err == f"Not up to date: {name}. Write them with `make pages`.\n"
    assert (tmp_path / name).exists() == (content is not None)
