"""Stored secrets: encrypted, replaced, never read back, and nothing lost whenever the key is changed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from cio_replicate.base.text import Secret
from cio_replicate.config.documents import ConnectionSettings
from cio_replicate.console.installation import ControlServices
from cio_replicate.console.secrets import KeyFile, ReferencedKeys, Secrets, keys_for, revealed
from cio_replicate.database.actor import Actor
from cio_replicate.database.connection import default_file, key_file, store_address, store_url
from tests.config.refused import refusal
from tests.console.stage import START, STORES, environment
from tests.console.stores import ADMIN, OPERATOR, VIEWER, everything, store_of, told
from tests.manual_clock import ManualClock

ROOT = Path(__file__).parents[2]
MARKED = "marked-7f3a9c51-secret"
FORMER, NEWER = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ControlServices]:
    """A store of each kind."""
    with store_of(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def small(tmp_path: Path) -> Iterator[ControlServices]:
    """A store in a file."""
    with store_of("sqlite", tmp_path) as made:
        yield made


def _read(store: ControlServices, *names: str) -> dict[str, str]:
    """The secrets of these names, as a run gets them."""
    with store.database.writing() as connection:
        return revealed(connection, store.keys, names)


def test_a_secret_is_kept_encrypted(store: ControlServices, tmp_path: Path) -> None:
    """It comes out for a run as it went in; it stands in no row, and neither in the audit log nor in a file."""
    value = f"{MARKED} pässwört\nof lines\n"
    assert not store.secrets.put("warehouse/main", Secret(value), ADMIN)
    assert _read(store, "warehouse/main") == {"warehouse/main": value}
    assert MARKED not in everything(store)
    assert MARKED.encode() not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert [(one.who, one.did, one.what, one.detail) for one in told(store)] == [
        ("ada", "secret.put", "warehouse/main", None)
    ]


def test_a_secret_is_replaced_and_removed_but_never_shown(store: ControlServices) -> None:
    """What can be seen of it is its name, when it was put, and what uses it."""
    store.secrets.put("b", Secret("1"), ADMIN)
    assert store.secrets.put("b", Secret("2"), ADMIN)
    store.secrets.put("a", Secret("3"), ADMIN)
    assert [(one.name, one.changed_at, one.used_by) for one in store.secrets.all()] == [
        ("a", START, ()),
        ("b", START, ()),
    ]
    assert _read(store, "b") == {"b": "2"}
    store.secrets.remove("b", ADMIN)
    assert [one.name for one in store.secrets.all()] == ["a"]
    assert "secret put b" in refusal(lambda: _read(store, "b"))
    assert "no stored secret" in refusal(lambda: store.secrets.remove("b", ADMIN))
    assert [one.did for one in told(store)] == ["secret.put", "secret.replace", "secret.put", "secret.remove"]


def test_a_secret_that_is_used_stays(small: ControlServices) -> None:
    """The refusal names what uses it."""
    small.secrets.put("token", Secret("t"), ADMIN)
    small.connections.create(
        "main", ConnectionSettings(start_date="2024-01-01", access_token_from="stored:token"), ADMIN
    )
    assert small.secrets.all()[0].used_by == ("connection main",)
    assert "connection main" in refusal(lambda: small.secrets.remove("token", ADMIN))
    small.connections.delete("main", ADMIN)
    small.secrets.remove("token", ADMIN)
    assert small.secrets.all() == []


def test_what_the_program_keeps_for_itself_is_not_seen(small: ControlServices) -> None:
    """The key of fingerprints is no secret of a user: it is not listed, not removed, and not to be named."""
    small.connections.create("main", ConnectionSettings(start_date="2024-01-01"), ADMIN, Secret("t"))
    assert [one.name for one in small.secrets.all()] == ["connection/main"]
    assert "no stored secret" in refusal(lambda: small.secrets.remove(".fingerprints", ADMIN))
    assert "cannot be called" in refusal(lambda: small.secrets.put(".fingerprints", Secret("x"), ADMIN))


@pytest.mark.parametrize("name", ["", "A", "a b", "../a", "-a", "a\n", "a" * 200, "é"])
def test_a_name_that_a_reference_cannot_have_is_refused(small: ControlServices, name: str) -> None:
    """And nothing is stored."""
    assert "cannot be called" in refusal(lambda: small.secrets.put(name, Secret("x"), ADMIN))
    assert small.secrets.all() == []


def test_a_secret_that_is_none_is_refused(small: ControlServices) -> None:
    """One that is empty, and one that is a film."""
    assert "empty" in refusal(lambda: small.secrets.put("a", Secret(""), ADMIN))
    assert "too large" in refusal(lambda: small.secrets.put("a", Secret("x" * 1_000_001), ADMIN))


@pytest.mark.parametrize("by", [VIEWER, OPERATOR], ids=lambda by: by.role)
def test_only_an_admin_changes_secrets(small: ControlServices, by: Actor) -> None:
    """Whoever may look, and whoever may run, may not."""
    small.secrets.put("a", Secret("1"), ADMIN)
    for call in (
        lambda: small.secrets.put("a", Secret("2"), by),
        lambda: small.secrets.remove("a", by),
        lambda: small.secrets.rotate(by),
    ):
        assert "Only the role admin" in refusal(call)
    assert _read(small, "a") == {"a": "1"}


# --- the key ---------------------------------------------------------------------------------------------------------


def test_the_key_is_made_when_it_is_needed_for_its_user_alone(small: ControlServices, tmp_path: Path) -> None:
    """Not before a secret is stored; and its place is shown."""
    key = tmp_path / "console.key"
    assert not key.exists()
    small.secrets.put("a", Secret("1"), ADMIN)
    assert key.stat().st_mode & 0o777 == 0o600
    assert str(key) in small.keys.shown
    assert [path.name for path in tmp_path.glob("console.key*")] == ["console.key"]


def test_each_database_has_a_key_of_its_own_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither key lies beside its database, so that a copy of the one is no copy of the other."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    usual = store_address(store_url(None, {}), {})
    assert usual.file == default_file()
    others = [store_address(url, {}) for url in (f"sqlite:///{tmp_path}/b.db", "postgresql://u@h/d")]
    places = [key_file(one) for one in (usual, *others)]
    assert places[0].name == "console.key"
    assert len(set(places)) == 3
    assert usual.file.parent not in {place.parent for place in places}


def test_without_its_key_nothing_is_read_or_written(small: ControlServices, tmp_path: Path) -> None:
    """The sentence says where the key was and what can be done; no key is made in the place of one that is lost."""
    small.secrets.put("a", Secret("1"), ADMIN)
    key = tmp_path / "console.key"
    key.rename(tmp_path / "elsewhere")
    for call in (
        lambda: _read(small, "a"),
        lambda: small.secrets.put("b", Secret("2"), ADMIN),
        lambda: small.secrets.rotate(ADMIN),
    ):
        assert "missing" in refusal(call)
    assert not key.exists()
    (tmp_path / "elsewhere").rename(key)
    assert _read(small, "a") == {"a": "1"}


def test_with_another_key_nothing_is_read_or_written(small: ControlServices, tmp_path: Path) -> None:
    """It is told from a key that is none."""
    small.secrets.put("a", Secret("1"), ADMIN)
    key = tmp_path / "console.key"
    right = key.read_bytes()
    key.write_bytes(Fernet.generate_key())
    for call in (
        lambda: _read(small, "a"),
        lambda: small.secrets.put("b", Secret("2"), ADMIN),
        lambda: small.secrets.rotate(ADMIN),
    ):
        assert "another key" in refusal(call)
    for wrong in (b"", b"hunter2", b"\xff\xfe"):
        key.write_bytes(wrong)
        said = refusal(lambda: _read(small, "a"))
        assert str(key) in said
        assert "hunter2" not in said
    key.write_bytes(right)
    assert _read(small, "a") == {"a": "1"}


def test_a_key_that_cannot_be_written_is_told(small: ControlServices, tmp_path: Path) -> None:
    """Nothing is stored then."""
    file = KeyFile(tmp_path / "a file" / "console.key")
    (tmp_path / "a file").touch()
    secrets = Secrets(small.database, file, ManualClock())
    assert "CIO_REPLICATE_KEY" in refusal(lambda: secrets.put("a", Secret("1"), ADMIN))
    assert small.secrets.all() == []


def test_a_key_that_is_lost_can_be_done_without(small: ControlServices, tmp_path: Path) -> None:
    """What it had encrypted is removed, and named; then secrets can be stored again."""
    small.connections.create("main", ConnectionSettings(start_date="2024-01-01"), ADMIN, Secret("t"))
    small.secrets.put("a", Secret("1"), ADMIN)
    (tmp_path / "console.key").write_text("garbage")
    done = small.secrets.rotate(ADMIN, key_lost=True)
    assert (done.renewed, sorted(done.lost)) == (0, ["a", "connection/main"])
    assert small.secrets.all() == []
    small.secrets.put("a", Secret("2"), ADMIN)
    small.secrets.put("connection/main", Secret("t"), ADMIN)
    assert _read(small, "a", "connection/main") == {"a": "2", "connection/main": "t"}
    assert [one.detail for one in told(small) if one.did == "secret.rotate"] == ["lost: a, connection/main"]


# --- rotation --------------------------------------------------------------------------------------------------------


def test_after_a_rotation_only_the_new_key_opens_the_secrets(store: ControlServices, tmp_path: Path) -> None:
    """All are as they were, under a key that there was not before."""
    for name in "abc":
        store.secrets.put(name, Secret(name * 3), ADMIN)
    before = (tmp_path / "console.key").read_bytes()
    assert store.secrets.rotate(ADMIN).renewed == 3
    after = (tmp_path / "console.key").read_bytes()
    assert len(after.split()) == 1
    assert after != before
    assert _read(store, "a", "b", "c") == {"a": "aaa", "b": "bbb", "c": "ccc"}
    (tmp_path / "console.key").write_bytes(before)
    assert "another key" in refusal(lambda: _read(store, "a"))


@pytest.mark.parametrize("step", range(7))
def test_a_rotation_that_is_killed_loses_nothing(small: ControlServices, tmp_path: Path, step: int) -> None:
    """Wherever it is killed, everything can be read, and the next rotation leaves one new key."""
    for name in "ab":
        small.secrets.put(name, Secret(name * 3), ADMIN)
    key = tmp_path / "console.key"
    before = key.read_bytes()
    killed = _rotate(tmp_path, step)
    assert killed.returncode == (9 if step < 6 else 0), killed.stderr
    assert _read(small, "a", "b") == {"a": "aaa", "b": "bbb"}
    small.secrets.rotate(ADMIN)
    assert _read(small, "a", "b") == {"a": "aaa", "b": "bbb"}
    assert len(key.read_bytes().split()) == 1
    assert key.read_bytes() != before
    assert [path.name for path in tmp_path.glob("console.key*")] == ["console.key"]


def _rotate(folder: Path, step: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.console.rotating", str(folder), str(step)],
        cwd=ROOT,
        env={**os.environ, **environment(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_rotations_and_new_secrets_at_once_do_not_lose_each_other(store: ControlServices) -> None:
    """Several programs may do both; what was stored is there in the end, whoever stored it when."""
    store.secrets.put("first", Secret("1"), ADMIN)

    def rotate(_: int) -> None:
        for _ in range(4):
            store.secrets.rotate(ADMIN)

    def put(number: int) -> None:
        for part in range(6):
            store.secrets.put(f"s{number}-{part}", Secret(f"{number}{part}"), ADMIN)

    with ThreadPoolExecutor(6) as pool:
        for one in [pool.submit(work, number) for number in range(3) for work in (rotate, put)]:
            one.result()
    names = ["first", *(f"s{number}-{part}" for number in range(3) for part in range(6))]
    assert len(_read(store, *names)) == 19
    assert len(store.keys.read()) == 1


def test_a_key_that_is_kept_elsewhere_is_changed_there(tmp_path: Path) -> None:
    """The new key is put before the old one; a rotation goes over to it, and then the old one may go."""
    variables = {"CIO_REPLICATE_KEY": "env:THE_KEY", "THE_KEY": FORMER}
    with store_of("sqlite", tmp_path, variables=variables) as store:
        assert isinstance(store.keys, ReferencedKeys)
        store.secrets.put("a", Secret("1"), ADMIN)
        said = refusal(lambda: store.secrets.rotate(ADMIN))
        assert "env:THE_KEY" in said
        assert FORMER not in said
    with store_of("sqlite", tmp_path, variables=variables | {"THE_KEY": f"{NEWER},{FORMER}"}) as store:
        assert store.secrets.rotate(ADMIN).renewed == 1
    with store_of("sqlite", tmp_path, variables=variables | {"THE_KEY": NEWER}) as store:
        assert _read(store, "a") == {"a": "1"}
    with store_of("sqlite", tmp_path, variables=variables | {"THE_KEY": FORMER}) as store:
        assert "another key" in refusal(lambda: _read(store, "a"))


def test_the_place_of_a_key_that_is_none_is_refused() -> None:
    """A key that stands in the variable itself is not shown."""
    address = store_address("sqlite:////tmp/x.db", {})
    said = refusal(lambda: keys_for(address, {"CIO_REPLICATE_KEY": FORMER}).read())
    assert FORMER not in said
    assert "CIO_REPLICATE_KEY" in said
