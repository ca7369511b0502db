"""The API's address, the destination and the dataset: what is taken, and what is refused with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.config import connection_options
from cio_replicate.sinks.addresses import destination
from tests.config.refused import refusal


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://api.customer.io", "https://api.customer.io"),
        ("https://api.customer.io/", "https://api.customer.io"),
        ("https://api.customer.io/v1", "https://api.customer.io"),
        ("https://api.customer.io/v1/", "https://api.customer.io"),
        ("https://proxy.example//v1//", "https://proxy.example"),
        (" https://proxy.example\n", "https://proxy.example"),
        ("https://proxy.example:8443/cio/v1", "https://proxy.example:8443/cio"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/v1", "http://[::1]:8080"),
    ],
)
def test_an_api_address(text: str, address: str) -> None:
    """The `/v1` that the paths bring themselves, and what is around it, is left out."""
    assert connection_options.api_url(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "api.customer.io", "//api.customer.io", "https://", "https:///v1", "ftp://api.customer.io", "https://a:port",
     "https://a:99999", "https://[::1", "https://a b", "https://a/b c", "https://a\n.example", "https://a\x00",
     "https://a\\b", "file:///etc/passwd"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    """The refusal repeats what was given and shows how an address looks."""
    said = refusal(lambda: connection_options.api_url(text))
    assert repr(text) in said
    assert "https://host" in said


@pytest.mark.parametrize("tail", ["?api_key=hunter2", "#hunter2", "/v1?a=1&b=hunter2", "?", "#"])
def test_an_address_with_a_query_is_refused_without_showing_it(tail: str) -> None:
    """What follows a question mark may be a key."""
    said = refusal(lambda: connection_options.api_url("https://proxy.example" + tail))
    assert "https://proxy.example" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "text",
    ["https://user:hunter2@proxy.example", "https://hunter2@proxy.example", "https://@proxy.example",
     "http://localhost:hunter2@evil.example", "https://user:hunter2@proxy.example?x=1", "ftp://u:hunter2@host",
     "https://u:hunter2@host:port"],
)  # fmt: skip
def test_credentials_in_an_address_are_refused_without_showing_them(text: str) -> None:
    """A password belongs into no address, and into no error either."""
    said = refusal(lambda: connection_options.api_url(text))
    assert "credentials" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "text",
    ["http://api.customer.io", "http://10.0.0.5:80", "http://localhost.evil.example", "http://127.0.0.1.evil.example",
     "HTTP://proxy.example"],
)  # fmt: skip
def test_plain_http_is_for_this_machine_only(text: str) -> None:
    """A token does not travel unprotected to another machine."""
    assert "unprotected" in refusal(lambda: connection_options.api_url(text))


@given(text=st.text(max_size=30) | st.text("htps:/@?#[]1.a\\ \n", max_size=20).map(lambda tail: "https://" + tail))
def test_any_text_is_an_address_or_a_refusal(text: str) -> None:
    """No text at all ends in another error, and what is taken holds nothing that an address cannot."""
    try:
        address = connection_options.api_url(text)
    except InvalidSettings:
        return
    assert address.isprintable()
    assert not set(address) & set("@?#\\ ")


def test_a_relative_destination_is_in_this_folder() -> None:
    """Three slashes and a name are a file in the working folder."""
    assert destination("duckdb:///copy.duckdb").file == Path.cwd() / "copy.duckdb"
    assert destination("DuckDB:///sub/copy.duckdb").file == Path.cwd() / "sub" / "copy.duckdb"


def test_an_absolute_destination(tmp_path: Path) -> None:
    """Four slashes are an absolute path, and the address shows as one that can be given again."""
    address = destination(f"duckdb:///{tmp_path}/copy.duckdb")
    assert address.file == tmp_path / "copy.duckdb"
    assert destination(str(address)) == address


def test_a_destination_in_the_home_folder() -> None:
    """A tilde is the home folder; that of nobody is a name like any other."""
    assert destination("duckdb:///~/copy.duckdb").file == Path.home() / "copy.duckdb"
    assert destination("duckdb:///~nobody-here/copy").file == Path.cwd() / "~nobody-here" / "copy"


@pytest.mark.parametrize("tail", ["copy 1.duckdb", "ünï.duckdb", "a?b#c%20.duckdb", "it's.duckdb", "x" * 5000])
def test_a_destination_is_a_path_and_no_url(tail: str, tmp_path: Path) -> None:
    """Nothing in a path is decoded or cut off."""
    assert destination(f"duckdb:///{tmp_path}/{tail}").file == tmp_path / tail


@pytest.mark.parametrize(
    "text",
    ["duckdb://", "duckdb:///", "duckdb:///:memory:", "duckdb:///:memory:shared", "duckdb://copy.duckdb",
     "duckdb:///folder/", "duckdb:///a\x00b"],
)  # fmt: skip
def test_a_destination_that_names_no_file_is_refused(text: str) -> None:
    """A copy needs a file that lasts."""
    said = refusal(lambda: destination(text))
    assert "names no file" in said
    assert "duckdb:///file.duckdb" in said


def test_a_folder_is_no_destination(tmp_path: Path) -> None:
    """The refusal names the folder."""
    said = refusal(lambda: destination(f"duckdb:///{tmp_path}"))
    assert f"{tmp_path} is a folder" in said


@pytest.mark.parametrize("text", ["", "copy.duckdb", "duckdb:copy", "oracle://host/db", "md:copy", "/tmp/copy.duckdb"])
def test_another_scheme_is_refused(text: str) -> None:
    """The refusal repeats what was given and shows what is known."""
    said = refusal(lambda: destination(text))
    assert repr(text) in said
    assert "duckdb:///file.duckdb" in said


@pytest.mark.parametrize("text", ["postgres://user:hunter2@host/db", "user:hunter2@host", "mysql://a:hunter2@b@c/d"])
def test_a_refused_destination_does_not_show_its_password(text: str) -> None:
    """A copied address of another database may hold a password."""
    assert "hunter2" not in refusal(lambda: destination(text))


@pytest.mark.parametrize("text", ["customerio", "_x", "A1", "select", "a" * 63])
def test_a_dataset(text: str) -> None:
    """Letters, digits and underscores name a schema everywhere."""
    assert connection_options.dataset(text) == text


@pytest.mark.parametrize("text", ["", "1a", "a b", "a-b", 'a"b', "a.b", "é", "a\n", "a\x00", "a" * 64])
def test_a_name_that_no_schema_can_have_is_refused(text: str) -> None:
    """The refusal repeats the name and says what one is made of."""
    said = refusal(lambda: connection_options.dataset(text))
    assert repr(text) in said
    assert "letters, digits and underscores" in said
