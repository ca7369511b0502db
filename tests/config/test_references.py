"""Secrets by reference: found where a setting says that they are kept, and shown nowhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import keyring
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.config.connection_options import access_token_from
from cio_replicate.config.secret_references import MOST_BYTES, caution, is_reference, resolved
from cio_replicate.sinks.addresses import destination
from tests.config.refused import refusal

POSTGRES = "postgresql://loader@db.internal/analytics"


class Memory(KeyringBackend):
    """A keyring of one entry, and one that is locked."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        """The password of one entry."""
        if service == "locked":
            raise KeyringLocked("hunter2")
        return {("https://db/x", "loader"): "hunter2", ("empty", "loader"): ""}.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        """Nothing is kept."""


@pytest.fixture
def memory() -> Iterator[None]:
    """The keyring above, in the place of the machine's own."""
    own = keyring.get_keyring()
    keyring.set_keyring(Memory())  # type: ignore[no-untyped-call] # theirs
    yield
    keyring.set_keyring(own)


def found(reference: str, **environment: str) -> str:
    """What is kept there."""
    return resolved(reference, environment, "the option password").reveal()


@pytest.mark.parametrize("value", ["hunter2", " hunter2 ", "hunter2\n", "pässwört", "-----BEGIN\nKEY\n-----END\n"])
def test_a_variable_is_taken_as_it_is(value: str) -> None:
    """Nothing is cut from it."""
    assert found("env:DB_PASSWORD", DB_PASSWORD=value) == value


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"hunter2", "hunter2"),
        (b"hunter2\n", "hunter2"),
        (b"hunter2\r\n", "hunter2"),
        (b"a\n\n", "a\n"),
        (b" a ", " a "),
    ],
)
def test_a_file_is_taken_without_its_last_line_break(content: bytes, secret: str, tmp_path: Path) -> None:
    """One line break at the end is the editor's; the rest is the secret's."""
    file = tmp_path / "secret"
    file.write_bytes(content)
    assert found(f"file:{file}") == secret
    assert found("env-file:WHERE", WHERE=str(file)) == secret


@pytest.mark.usefixtures("memory")
def test_an_entry_of_the_keyring() -> None:
    """The service may hold slashes: what is behind the last one is the user."""
    assert found("keyring:https://db/x/loader") == "hunter2"


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize(
    ("reference", "cause"),
    [("keyring:db/nobody", "no entry db/nobody"), ("keyring:empty/loader", "empty"), ("keyring:locked/x", "Locked")],
)
def test_a_keyring_without_the_secret_is_refused(reference: str, cause: str) -> None:
    """The refusal names the entry, and nothing that the keyring said."""
    said = refusal(lambda: found(reference))
    assert cause in said
    assert "hunter2" not in said


def test_without_the_keyring_library_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A keyring needs a library that not everybody installs."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert "pip install 'cio-replicate[keyring]'" in refusal(lambda: found("keyring:db/loader"))


def test_what_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    """A variable that is not set, a file that is missing, a folder, too much, no text: each with its cause."""
    large, binary = tmp_path / "large", tmp_path / "binary"
    large.write_bytes(b"x" * (MOST_BYTES + 1))
    binary.write_bytes(b"\xff\xfe")
    assert "variable DB_PASSWORD" in refusal(lambda: found("env:DB_PASSWORD"))
    assert "variable WHERE" in refusal(lambda: found("env-file:WHERE"))
    assert "No such file" in refusal(lambda: found(f"file:{tmp_path}/none"))
    assert "Is a directory" in refusal(lambda: found(f"file:{tmp_path}"))
    assert "too large" in refusal(lambda: found(f"file:{large}"))
    assert "holds no text" in refusal(lambda: found(f"file:{binary}"))
    assert "no text" in refusal(lambda: found("env:X", X="\udcff"))


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_secret_is_refused(content: str, tmp_path: Path) -> None:
    """A secret that is empty is a mistake of whoever put it there."""
    file = tmp_path / "secret"
    file.write_text(content)
    assert f"the file {file} is empty" in refusal(lambda: found(f"file:{file}"))
    assert "variable DB_PASSWORD is empty" in refusal(lambda: found("env:DB_PASSWORD", DB_PASSWORD=""))


@pytest.mark.parametrize(
    "text", ["hunter2", "", "env:", "file:", "env:hunter2!", "env:a b", "ENV:hunter2", "vault:hunter2",
             "keyring:hunter2", "keyring:hunter2/", "keyring:/hunter2", "file:hunter2\n", "env:hunter2\0"],
)  # fmt: skip
def test_what_is_no_reference_is_refused_and_not_shown(text: str) -> None:
    """It may be the secret itself."""
    assert not is_reference(text)
    said = refusal(lambda: found(text))
    assert "hunter2" not in said
    assert "env:NAME" in said


@given(
    reference=st.text(max_size=20) | st.text("env:fil/k\0\n~é", max_size=12) | st.text(max_size=9).map("file:".__add__)
)
def test_any_text_is_a_secret_or_a_refusal(reference: str) -> None:
    """No text at all ends in another error."""
    with suppress(InvalidSettings):
        assert found(reference)


def test_a_file_that_everybody_may_read_is_warned_of(tmp_path: Path) -> None:
    """The warning names the file and the remedy; a file of one's own, or of one's group, is fine."""
    file = tmp_path / "secret"
    file.write_text("hunter2")
    for mode, warned in ((0o644, True), (0o604, True), (0o640, False), (0o600, False)):
        file.chmod(mode)
        for reference in (f"file:{file}", "env-file:WHERE"):
            said = caution(reference, {"WHERE": str(file)})
            assert (said is not None and str(file) in said) == warned
        address = destination(f"{POSTGRES}?password=file:{file}", {})
        assert bool(address.cautions) == warned
    assert caution("file:/nowhere/at\0all", {}) is None
    assert caution("env:PATH", {"PATH": str(file)}) is None


# --- in an address ---------------------------------------------------------------------------------------------------


def secrets(text: str, **environment: str) -> dict[str, str]:
    """The secrets of an address."""
    return {name: secret.reveal() for name, secret in destination(text, environment).secrets.items()}


def test_the_usual_place_is_looked_at() -> None:
    """A convention of the world holds where nothing is written, and only there."""
    assert secrets(POSTGRES, PGPASSWORD="a", MYSQL_PWD="b") == {"password": "a"}
    assert secrets(f"{POSTGRES}?password=env:MINE", PGPASSWORD="a", MINE="b") == {"password": "b"}
    assert secrets(POSTGRES, PGPASSWORD="") == secrets(POSTGRES) == {}
    assert secrets("motherduck://d", motherduck_token="a") == {"token": "a"}
    assert secrets("motherduck://d", motherduck_token="a", MOTHERDUCK_TOKEN="b") == {"token": "b"}


def test_the_usual_file(tmp_path: Path) -> None:
    """A variable may name a file; one that is not there is refused, since somebody meant it."""
    key = tmp_path / "key.json"
    key.write_text("{}")
    assert secrets("bigquery://p", GOOGLE_APPLICATION_CREDENTIALS=str(key)) == {"credentials": "{}"}
    assert secrets("bigquery://p") == {}
    assert "cannot be read" in refusal(lambda: secrets("bigquery://p", GOOGLE_APPLICATION_CREDENTIALS="/nowhere"))


def test_two_logins_are_not_mixed() -> None:
    """A token in the environment does not go with an access key that is written, nor half a key with nothing."""
    usual = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c"}
    mine = "access_key_id=env:MY_ID&secret_access_key=env:MY_KEY"
    assert secrets("delta+s3://lake", **usual) == {"access_key_id": "a", "secret_access_key": "b", "session_token": "c"}
    assert secrets(f"delta+s3://lake?{mine}", **usual, MY_ID="d", MY_KEY="e") == {
        "access_key_id": "d",
        "secret_access_key": "e",
    }
    assert secrets("delta+s3://lake", AWS_ACCESS_KEY_ID="a", AWS_SESSION_TOKEN="c") == {}
    assert "needs secret_access_key" in refusal(lambda: secrets("delta+s3://lake?access_key_id=env:A", A="a"))
    key = "snowflake://u@a/d?private_key=env:KEY"
    assert secrets(key, KEY="k", SNOWFLAKE_PASSWORD="p") == {"private_key": "k"}


def test_a_login_that_is_needed_names_the_ways() -> None:
    """Where there is no other way in, the usual variable and the forms of a reference are named."""
    assert "SNOWFLAKE_PASSWORD" in refusal(lambda: secrets("snowflake://u@a/d"))
    assert "MOTHERDUCK_TOKEN" in refusal(lambda: secrets("motherduck://d"))
    assert "keyring:service/user" in refusal(lambda: secrets("databricks://h/c?http_path=/x"))


# --- the access token ------------------------------------------------------------------------------------------------


def test_the_access_token_is_in_the_environment_unless_told_otherwise(tmp_path: Path) -> None:
    """Its usual variable, and every place that a reference can name."""
    file = tmp_path / "token"
    file.write_text("  abc\n")
    environment = {"CIO_ACCESS_TOKEN": " abc ", "OTHER": "def"}
    assert access_token_from(None, environment).reveal() == "abc"
    assert access_token_from("env:CIO_ACCESS_TOKEN", environment).reveal() == "abc"
    assert access_token_from("env:OTHER", environment).reveal() == "def"
    assert access_token_from(f"file:{file}", {}).reveal() == "abc"


@pytest.mark.parametrize("variable", ["CIO_ACCESS_TOKEN", "OTHER"])
@pytest.mark.parametrize("value", ["two words", "schlüssel", "a\nb", "   "])
def test_what_can_be_no_access_token_is_refused(variable: str, value: str) -> None:
    """The place is named, and what was found there is not."""
    said = refusal(lambda: access_token_from(f"env:{variable}", {variable: value}))
    assert variable in said
    assert value not in said or not value.strip()


def test_no_access_token_is_refused() -> None:
    """The usual variable is named with where to make a key; a token written out is not shown."""
    assert "CIO_ACCESS_TOKEN is not set" in refusal(lambda: access_token_from(None, {}))
    assert "variable OTHER" in refusal(lambda: access_token_from("env:OTHER", {}))
    said = refusal(lambda: access_token_from("hunter2", {}))
    assert "--access-token-from" in said
    assert "hunter2" not in said
