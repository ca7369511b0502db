"""What the documents name exists: links, headings, files, modules and jobs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

FENCE = re.compile(r"^(`{3,})[^\n]*\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)
CODE_SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*$", re.MULTILINE)
IN_A_FOLDER_OF_OURS = re.compile(r"^(?:src|tests|docs|benchmarks|\.ci)/[\w./-]*$")
IN_A_PACKAGE_OF_OURS = re.compile(r"^[a-z_]+/[a-z_0-9/]+\.py$")
BARE_FILE = re.compile(r"^[\w.-]+\.(?:py|md|lock)$|^pyproject\.toml$|^Makefile$")
MODULE = re.compile(r"\bcio_replicate(?:\.\w+)+")
JOB = re.compile(r"\bmake ([a-z][a-z-]*)")
TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)


@pytest.fixture(params=DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def document(request: pytest.FixtureRequest) -> Path:
    """One document of the project."""
    path: Path = request.param
    return path


def test_links_lead_somewhere(document: Path) -> None:
    """A link inside the project leads to a file that exists, and to a heading of it when it names one."""
    targets = LINK.findall(CODE_SPAN.sub("", FENCE.sub("", _text(document))))
    assert [target for target in targets if not ELSEWHERE.match(target) and not _resolves(document, target)] == []


def test_named_files_exist(document: Path) -> None:
    """A file or folder of this project that a document names is there."""
    spans = CODE_SPAN.findall(FENCE.sub("", _text(document)))
    missing = [span for span in spans if IN_A_FOLDER_OF_OURS.match(span) and not (ROOT / span).exists()]
    if document.name != "benchmarks.md":  # measured modules keep the names that they had then
        missing += [span for span in spans if IN_A_PACKAGE_OF_OURS.match(span) and not _is_somewhere(span)]
    bare = {span for span in spans if BARE_FILE.match(span)}
    assert missing + sorted(bare - _file_names()) == []


def test_named_modules_exist(document: Path) -> None:
    """A dotted name under cio_replicate is a module, or something that its module defines."""
    assert [name for name in MODULE.findall(_text(document)) if not _is_defined(name)] == []


def test_named_jobs_exist(document: Path) -> None:
    """A job that a document tells to run with make is one of the Makefile's."""
    code = [*CODE_SPAN.findall(FENCE.sub("", _text(document))), *(body for _, body in FENCE.findall(_text(document)))]
    named = {job for text in code for job in JOB.findall(text)}
    assert named - set(TARGET.findall(_text(ROOT / "Makefile"))) == set()


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _resolves(document: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    path = (document.parent / name) if name else document
    if not path.exists() or not path.resolve().is_relative_to(ROOT):
        return False
    return not anchor or path.suffix != ".md" or anchor in _anchors(path)


def _anchors(path: Path) -> set[str]:
    """The anchors that a code host makes of the headings: lower case, punctuation dropped, hyphens for spaces."""
    anchors: set[str] = set()
    for heading in HEADING.findall(FENCE.sub("", _text(path))):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        again = sum(1 for anchor in anchors if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", anchor))
        anchors.add(f"{slug}-{again}" if again else slug)
    return anchors


def _file_names() -> set[str]:
    folders = [ROOT / folder for folder in ("src", "tests", "docs", "benchmarks")]
    nested = {path.name for folder in folders for path in folder.rglob("*") if path.is_file()}
    return nested | {path.name for path in ROOT.iterdir() if path.is_file()}


def _is_somewhere(file: str) -> bool:
    return any((folder / file).exists() for folder in (ROOT, ROOT / "src", *(ROOT / "src").iterdir()))


def _is_defined(name: str) -> bool:
    path = ROOT / "src" / Path(*name.split("."))
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    parent, last = path.parent, path.name
    home = parent / "__init__.py" if parent.is_dir() else parent.with_suffix(".py")
    return home.is_file() and re.search(rf"\b{re.escape(last)}\b", _text(home)) is not None
