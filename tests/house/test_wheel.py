"""What users install: the built wheel, without the source and without development tools."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import cio_replicate

pytestmark = pytest.mark.slow  # to build and install it takes longer than all that is asked of it
ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
#: Packages whose modules need the libraries of an extra; the modules of the command line that use them do too.
WITH_EXTRAS = ("console", "database", "jobs", "gateway")
IMPORT_EVERYTHING = """
import importlib, pkgutil, sys, cio_replicate
for module in pkgutil.walk_packages(cio_replicate.__path__, "cio_replicate.", onerror=lambda name: None):
    if not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            print(module.name, error.name)
print(cio_replicate.__file__)
"""

MIGRATE = """
import sys
sys.path.insert(0, sys.argv[1])
import cio_replicate
from cio_replicate.database.connection import Database
from cio_replicate.database.tables import metadata
from sqlalchemy import inspect
database = Database(f"sqlite:///{sys.argv[1]}/console.db")
database.migrate()
with database.reading() as connection:
    made = set(inspect(connection).get_table_names())
assert made == {"alembic_version", *metadata.tables}, made
print(cio_replicate.__file__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the locked build backend."""
    folder = tmp_path_factory.mktemp("dist")
    _run([*PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder), str(ROOT)])
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def home(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and the runtime lock's packages, the latter linked from this environment.

    It holds nothing else, so a module that only development brings in is missing here. What it does not show is that
    the package index has those versions: the last test does.
    """
    folder = tmp_path_factory.mktemp("home")
    venv.create(folder, with_pip=False, symlinks=True)
    site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    for name in re.findall(r"^([\w.-]+)==", LOCK.read_text(encoding="utf-8"), flags=re.MULTILINE):
        package = metadata.distribution(name)
        tops = {file.parts[0] for file in package.files or []} - {"..", "__pycache__"}
        for top in tops:
            (site / top).symlink_to(str(package.locate_file(top)))
    python = str(folder / "bin" / "python")
    _run([*PIP, "--python", python, "install", "--no-deps", "--no-index", "--no-compile", str(wheel)])
    return folder


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    """The wheel has the typed package, its licence and its command, and no tests."""
    names = zipfile.ZipFile(wheel).namelist()
    info = f"cio_replicate-{cio_replicate.__version__}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"cio_replicate", "customerio_simulator", info}
    assert {"cio_replicate/py.typed", f"{info}/licenses/LICENSE", f"{info}/entry_points.txt"} <= set(names)


def test_the_control_database_is_made_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    """The migrations come with the package, and are found in it wherever it lies."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    told = _run([sys.executable, "-c", MIGRATE, str(tmp_path)])
    assert Path(told.strip()).is_relative_to(tmp_path)


def test_the_console_has_its_pages_and_files_in_the_wheel(wheel: Path) -> None:
    """Templates, style and script come with the package, so that nothing is fetched or built when it is installed."""
    names = set(zipfile.ZipFile(wheel).namelist())
    source = ROOT / "src" / "cio_replicate" / "console" / "web"
    kept = [file for folder in ("templates", "static") for file in (source / folder).iterdir()]
    assert len(kept) > 30
    assert {f"cio_replicate/console/web/{file.parent.name}/{file.name}" for file in kept} <= names


def test_every_module_imports_without_development_tools(home: Path) -> None:
    """Each module of the installed package imports with the runtime packages alone, far from the source.

    Those that belong to an extra lack nothing but the libraries of extras.
    """
    *lacking, place = _run([str(home / "bin" / "python"), "-I", "-c", IMPORT_EVERYTHING]).splitlines()
    assert Path(place).is_relative_to(home)
    of_extras = _top_levels_of_extras()
    for line in lacking:
        module, lacks = line.split()
        assert lacks.partition(".")[0] in of_extras, line
        package = module.split(".")[1]
        assert package in WITH_EXTRAS or (package in {"cli", "app"} and _uses(module, WITH_EXTRAS)), line


def _top_levels_of_extras() -> set[str]:
    """The packages that can be imported from what the extras name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {
        re.split(r"[\[<>=]", requirement)[0].lower().replace("_", "-")
        for extra in project["optional-dependencies"].values()
        for requirement in extra
    }
    return {
        top
        for top, distributions in metadata.packages_distributions().items()
        if names & {one.lower().replace("_", "-") for one in distributions}
    }


def _uses(module: str, packages: tuple[str, ...]) -> bool:
    """Whether a module of ours imports from one of these packages of ours, or from a module of commands that does."""
    text = (ROOT / "src" / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    return any(f"cio_replicate.{package}" in text for package in packages)


def test_the_installed_command_says_its_version(home: Path) -> None:
    """`cio-replicate --version` runs from the wheel and prints the version that was built."""
    assert cio_replicate.__version__ in _run([str(home / "bin" / "cio-replicate"), "--version"])


def test_the_wheel_installs_from_the_runtime_lock(wheel: Path, tmp_path: Path) -> None:
    """A new environment made as users make it, from the package index by the runtime lock, runs the command."""
    venv.create(tmp_path / "fresh", with_pip=True, symlinks=True)
    python = str(tmp_path / "fresh" / "bin" / "python")
    _run([python, "-m", "pip", "--disable-pip-version-check", "install", "--requirement", str(LOCK), str(wheel)])
    _run([python, "-m", "pip", "--disable-pip-version-check", "check"])
    assert cio_replicate.__version__ in _run([str(tmp_path / "fresh" / "bin" / "cio-replicate"), "--version"])


def _run(command: list[str]) -> str:
    """The standard output of a command that must succeed; its error output is shown when it does not."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout
