"""The lock files: exact, complete, in step with pyproject.toml and with each other, and free of addresses."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import cio_replicate

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==([\w.!+]+)\s*(?:#.*)?$")


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_holds_exact_versions_and_nothing_else(lock: str) -> None:
    """Each line of a lock is one package at one version: no option, no path, no address of an index."""
    lines = [line for line in _text(lock).splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not PIN.match(line)] == []
    assert "://" not in _text(lock)
    assert "make lock" in _text(lock).partition("==")[0]


def test_both_locks_agree() -> None:
    """What users run is what is tested: the development lock holds every runtime package at the same version."""
    assert _pins("requirements.lock").items() <= _pins("requirements-dev.lock").items()


def test_locks_satisfy_what_the_project_asks_for() -> None:
    """Every dependency, development tool and build requirement is locked at a version that it allows."""
    settings = _settings()
    runtime = settings["project"]["dependencies"]
    assert _unmet(runtime, _pins("requirements.lock")) == []
    development = [*runtime, *settings["dependency-groups"]["dev"], *settings["build-system"]["requires"]]
    assert _unmet(development, _pins("requirements-dev.lock")) == []


def test_the_version_is_in_the_changelog() -> None:
    """A version that is built has its heading in the changelog, or its changes under Unreleased."""
    headings = re.findall(r"^## \[?([^\]\s]+)", _text("CHANGELOG.md"), flags=re.MULTILINE)
    assert {cio_replicate.__version__, "Unreleased"} & set(headings)


def _settings() -> dict[str, Any]:
    return tomllib.loads(_text("pyproject.toml"))


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _pins(lock: str) -> dict[str, str]:
    found = (PIN.match(line) for line in _text(lock).splitlines())
    return {canonicalize_name(pin[1]): pin[2] for pin in found if pin}


def _unmet(requirements: list[str], pins: dict[str, str]) -> list[str]:
    """The requirements that the pins lack or break."""
    asked = [Requirement(text) for text in requirements]
    return [str(one) for one in asked if not one.specifier.contains(pins.get(canonicalize_name(one.name), "0.dev0"))]
