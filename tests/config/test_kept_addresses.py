"""Destinations that are only kept: described without their secrets, with whole paths, and which secrets they name."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.config.destination_kind import DestinationKind
from cio_replicate.config.documents import ChannelSettings, ConnectionSettings, TaskSettings, stored_names
from cio_replicate.sinks.addresses import described, destination, is_relative, made_absolute
from cio_replicate.sinks.kinds import KINDS
from tests.config.refused import refusal


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.scheme)
def test_what_is_described_needs_no_secret(kind: DestinationKind) -> None:
    """Each kind's own example is taken where none of its credentials can be found."""
    assert described(kind.example).kind is kind
    assert described(kind.example).secrets == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("postgresql://u:hunter2@h/d", "password="),
        ("postgresql://u@h/d?password=hunter2", "env:NAME"),
        ("databricks://h/c", "http_path"),
        ("postgresql://u@h/d?sslmode=maybe", "sslmode"),
        ("oracle://h", "duckdb:///"),
    ],
)
def test_what_is_wrong_without_looking_is_refused(text: str, says: str) -> None:
    """All that can be told from the text alone, and nothing of a secret is shown."""
    said = refusal(lambda: described(text))
    assert says in said
    assert "hunter2" not in said


@pytest.mark.parametrize("scheme", ["duckdb", "sqlite", "parquet", "delta", "iceberg", "ducklake"])
def test_a_relative_path_is_completed(scheme: str, tmp_path: Path) -> None:
    """It then means the same in every folder; what is whole, or of the home folder, stays as it is."""
    folder = tmp_path / "with space, ? & é"
    relative = f"{scheme}:///some/copy.x"
    assert is_relative(relative)
    whole = made_absolute(relative, folder)
    assert not is_relative(whole)
    assert destination(whole, {}).file == folder / "some" / "copy.x"
    for text in (
        f"{scheme}:////data/copy.x",
        f"{scheme}:///~/copy.x",
        "postgresql://u@h/d",
        "motherduck://d",
        "no address",
    ):
        assert not is_relative(text)
        assert made_absolute(text, folder) == text
    assert not is_relative("parquet+s3://bucket/prefix")


@given(
    text=st.text(max_size=40)
    | st.sampled_from(["duckdb:///", "parquet:///"]).flatmap(lambda s: st.text().map(s.__add__))
)
def test_any_text_is_an_address_or_a_refusal(text: str) -> None:
    """No text at all ends in another error."""
    with suppress(InvalidSettings):
        described(text)
    with suppress(InvalidSettings):
        made_absolute(text, Path("/folder"))


def test_which_stored_secrets_settings_name() -> None:
    """In a connection, in a channel, and wherever a task has one, also written in percent; each once."""
    assert stored_names(ConnectionSettings(start_date="2024-01-31", access_token_from="stored:connection/a")) == [
        "connection/a"
    ]
    assert stored_names(ConnectionSettings(start_date="2024-01-31", access_token_from="env:stored")) == []
    assert stored_names(ChannelSettings(url="stored:team")) == ["team"]
    task = TaskSettings(
        connection="a",
        to=[
            "postgresql://u@h/d?password=stored:pw&sslmode=require",
            "delta+s3://b/p?access_key_id=stored%3Aid&secret_access_key=stored:key%2Fa",
            "mysql://u@h/d?password=stored:pw",
        ],
        salt="stored:salt",
    )
    assert stored_names(task) == ["salt", "pw", "id", "key/a"]
