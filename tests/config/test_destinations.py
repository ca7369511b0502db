"""The address of a destination: what is taken, which place it is, and what is refused with a reason."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.config.destination_kind import S3_OPTIONS, DestinationKind, SinkFamily, UrlStyle
from cio_replicate.sinks.addresses import destination, duckdb_file
from cio_replicate.sinks.kinds import KINDS, schemes
from docs.reference_pages import address_facts, destination_section
from tests.config.refused import refusal

POSTGRES = "postgresql://loader@db.internal/analytics"
EVERY = {"PGPASSWORD": "hunter2", "SQLCMDPASSWORD": "hunter2", "MOTHERDUCK_TOKEN": "hunter2"} | {
    "DATABRICKS_TOKEN": "hunter2",
    "SNOWFLAKE_PASSWORD": "hunter2",
}


def test_a_file_of_duckdb_is_the_place_it_always_was(tmp_path: Path) -> None:
    """The text that names a state folder is `duckdb:///` and the absolute path, whatever is in it."""
    for name in ("copy.duckdb", "a?b#c%20@d.duckdb", "ünï 1.duckdb", "it's:me"):
        address = destination(f"DuckDB:///{tmp_path}/{name}", {})
        assert str(address) == address.shown == f"duckdb:///{tmp_path}/{name}"
        assert address == duckdb_file(tmp_path / name) == destination(str(address), {})
        assert (address.kind.scheme, address.kind.engine, address.file) == (
            "duckdb",
            SinkFamily.DUCKDB,
            tmp_path / name,
        )


@pytest.mark.parametrize("scheme", ["duckdb", "sqlite", "parquet", "delta", "iceberg", "ducklake"])
def test_a_path_is_made_absolute(scheme: str) -> None:
    """Three slashes begin in the working folder, a tilde in the home folder, that of nobody being a name."""
    assert destination(f"{scheme}:///copy.x", {}).file == Path.cwd() / "copy.x"
    assert destination(f"{scheme}:///~/copy.x", {}).file == Path.home() / "copy.x"
    assert destination(f"{scheme}:///~nobody-here/x", {}).file == Path.cwd() / "~nobody-here" / "x"


def test_a_server() -> None:
    """User, host, port and database each find their field, and the usual port is filled in."""
    address = destination("postgres://loader@DB.internal/analytics?sslmode=require", {})
    assert (address.kind.scheme, address.user, address.host, address.port) == (
        "postgresql",
        "loader",
        "db.internal",
        5432,
    )
    assert (address.path, address.options) == ("analytics", {"sslmode": "require", "connect_timeout": "15"})
    assert str(address) == "postgresql://db.internal/analytics"
    assert address.shown == f"{POSTGRES}?sslmode=require"


@pytest.mark.parametrize(
    ("text", "host", "port", "path"),
    [
        ("postgresql://u@[::1]:5433/d", "::1", 5433, "d"),
        ("postgresql://u@[fe80::1%25eth0]/d", "fe80::1%eth0", 5432, "d"),
        ("postgresql://u@10.0.0.5/d/", "10.0.0.5", 5432, "d"),
        ("postgresql://u@%2Fvar%2Frun/d", "/var/run", 5432, "d"),
        ("postgresql://a%40b@h:1/a%2Fb%20c%3F", "h", 1, "a/b c?"),
        ("bigquery://my-project", "my-project", None, "US"),
        ("clickhouse://h", "h", 9440, "default"),
        ("motherduck://my%20db", "", None, "my db"),
        ("parquet+s3://lake/raw/cio/", "lake", None, "raw/cio"),
        ("DELTA+S3://lake", "lake", None, ""),
        ("parquet+s3://lake/a%25b?endpoint=http://127.0.0.1:9000/", "lake", None, "a%b"),
    ],
)
def test_forms_of_an_address(text: str, host: str, port: int | None, path: str) -> None:
    """Percent codes are decoded, and what an address shows can be given again and is the same place."""
    address = destination(text, EVERY)
    assert (address.host, address.port, address.path) == (host, port, path)
    again = destination(address.shown, EVERY)
    assert again == address
    assert str(again) == str(address)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (POSTGRES, "postgres://other@DB.INTERNAL:5432/analytics/?connect_timeout=3&sslmode=disable"),
        ("snowflake://A@Org-Acc/D?warehouse=X", "snowflake://B@org-acc/D?role=Y"),
        ("clickhouse://h", "clickhouse://default@h:9440/default?secure=0"),
        ("parquet+s3://lake/p", "parquet+s3://lake/p/?region=eu-west-1"),
        ("bigquery://p", "bigquery://p/US"),
        ("parquet:///a%2Fb", f"parquet:///{quote(str(Path.cwd()))}/a/b"),
    ],
)
def test_one_place_written_in_two_ways(one: str, other: str) -> None:
    """Who logs in, the usual port and most options do not make another place."""
    assert str(destination(one, EVERY)) == str(destination(other, EVERY))


def test_another_server_for_s3_is_another_place() -> None:
    """The same bucket on another server holds another copy."""
    there = destination("parquet+s3://lake/p?endpoint=https://s3.internal", {})
    assert str(there) == "parquet+s3://lake/p?endpoint=https://s3.internal"
    assert str(there) != str(destination("parquet+s3://lake/p", {}))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.scheme)
def test_a_row_of_the_table_agrees_with_itself(kind: DestinationKind) -> None:
    """The example is of the kind, what the row refers to exists, and what it says are sentences."""
    references = [option.name for option in kind.options if option.secret and f"{option.name}=" in kind.example]
    example = re.sub(r"=file:[^&]*", "=env:PGPASSWORD", kind.example)
    address = destination(example, EVERY)
    assert (address.kind, bool(address.secrets)) == (kind, bool(references or set(EVERY) & _variables(kind)))
    assert destination(address.shown, EVERY) == address
    names = [option.name for option in kind.options]
    assert len({*names}) == len(names)
    assert {*kind.one_of} | {name for option in kind.options for name in option.goes_with} <= {*names}
    assert not kind.path_default or kind.place is UrlStyle.SERVER
    sentences = [kind.about, *kind.notes, *address_facts(kind), *(option.about for option in kind.options)]
    assert [sentence for sentence in sentences if not sentence.endswith(".")] == []
    assert schemes()[kind.scheme] is kind


def test_every_secret_of_a_table_is_taken_by_reference() -> None:
    """No kind has an option that looks like a secret and is not one."""
    options = [option for kind in KINDS for option in (*kind.options, *S3_OPTIONS)]
    assert {option.name for option in options if re.search("pass|secret|token|key", option.name)} == {
        option.name for option in options if option.secret and option.name != "credentials"
    }


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        ("", "is not known", "duckdb:///file.duckdb"),
        ("copy.duckdb", "'copy.duckdb' is not known", "duckdb:///file.duckdb"),
        ("postgressql://h/d", "'postgressql://h/d'", "postgresql://USER@HOST"),
        ("mysq://h", "'mysq://h'", "mysql://"),
        ("oracle://h/d", "'oracle://h/d'", "one of: duckdb, postgresql,"),
        ("duckdb:///", "names no file", "duckdb:////path/file.duckdb"),
        ("duckdb://copy.duckdb", "names no file", "duckdb:///file.duckdb"),
        ("sqlite:///:memory:", "names no file", "sqlite:///file.db"),
        ("ducklake:///", "names no file", "ducklake:///file.sqlite"),
        ("parquet://lake", "names no folder", "parquet:///folder"),
        ("delta:///", "names no folder", "delta+s3://bucket/prefix"),
        ("parquet+gs://b", "no storage", "parquet+s3://"),
        ("postgresql+s3://b", "no storage", "postgresql://"),
        ("postgresql+asyncpg://b", "no storage", "postgresql://"),
        ("parquet+s3:///p", "no bucket", "parquet+s3://bucket/prefix"),
        ("parquet+s3://b:9000/p", "no bucket", "parquet+s3://bucket/prefix"),
        ("postgresql://u@/d", "no host", "USER@HOST"),
        ("postgresql://h/d", "no user", "USER@HOST"),
        ("postgresql://u@h", "no database", "/DATABASE"),
        ("postgresql://u@h/", "no database", "/DATABASE"),
        ("postgresql://u@h/a/b", "no database", "/DATABASE"),
        ("postgresql://u@h:0/d", "port", "usually with port 5432"),
        ("postgresql://u@h:65536/d", "port", "usually with port 5432"),
        ("postgresql://u@h:/d", "port", "usually with port 5432"),
        ("postgresql://u@h:٥/d", "port", "usually with port 5432"),
        ("postgresql://u@[::g]/d", "host that cannot be", "brackets"),
        ("postgresql://u@1::1/d", "port", "HOST"),
        ("postgresql://u@a b/d", "host that cannot be", "HOST"),
        ("mysql://u@%2Ftmp/d", "host that cannot be", "HOST"),
        ("bigquery://p:443/US", "no port", "bigquery://PROJECT"),
        ("snowflake://u@/d", "no account", "ACCOUNT"),
        ("motherduck://", "no database", "motherduck://DATABASE"),
        ("motherduck://a/b", "no database", "motherduck://DATABASE"),
        ("postgresql://u@h/d%00", "cannot be printed", "%25"),
        ("parquet:///%ff", "cannot be printed", "%25"),
        ("parquet:///a\nb", "cannot be printed", "%25"),
        (f"{POSTGRES}?sslmod=require", "no option 'sslmod'", "sslmode"),
        (f"{POSTGRES}?application=x", "not one of the options", "password, sslmode"),
        (f"{POSTGRES}?sslmode", "empty", "value"),
        (f"{POSTGRES}?sslmode=", "empty", "default"),
        (f"{POSTGRES}?sslmode=require&sslmode=require", "given twice", "once"),
        (f"{POSTGRES}?sslmode=maybe", "value of the option sslmode", "verify-full"),
        (f"{POSTGRES}?connect_timeout=soon", "value of the option connect_timeout", "whole number"),
        ("parquet:///lake?region=x", "not one of the options", "no option"),
        ("parquet+s3://lake?endpoint=minio:9000", "value of the option endpoint", "http://127.0.0.1:9000"),
        ("athena://eu-west-1?data=/tmp&results=s3://lake/p", "value of the option data", "s3://bucket/prefix"),
        ("athena://eu-west-1?data=s3://lake/p", "needs the option results", "results=…"),
        ("ducklake:///x?data=gs://b", "value of the option data", "s3://bucket/prefix"),
        ("databricks://h/c?token=env:PGPASSWORD", "needs the option http_path", "http_path=…"),
        ("databricks://h/c?http_path=/x&client_id=me&token=env:PGPASSWORD", "needs client_secret", "CLIENT_SECRET"),
    ],
)
def test_what_is_no_address_is_refused(text: str, message: str, fix: str) -> None:
    """A sentence says what is wrong with it, and one what to write instead."""
    said = refusal(lambda: destination(text, {"PGPASSWORD": "hunter2"}))
    assert message in said
    assert fix in said.partition(message)[2]


def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path: Path) -> None:
    """The refusal names what is there."""
    file = tmp_path / "file"
    file.touch()
    assert f"{tmp_path} is a folder" in refusal(lambda: destination(f"sqlite:///{tmp_path}", {}))
    assert f"{file} is a file" in refusal(lambda: destination(f"parquet:///{file}", {}))


PLACES = [
    "postgresql://loader:{}@db.internal/analytics",
    "postgresql://loader:{}@db.internal/analytics?sslmode=require",
    "postgresql://loader:{}/analytics",
    "postgresql://{}:x@h/d",
    "postgresql://loader@db.internal/analytics?password={}",
    "postgresql://loader@db.internal/analytics?sslmode=require&password={}&x=y",
    "postgresql://loader@db.internal/analytics?pasword={}",
    "postgresql://loader@db.internal/analytics?sslmode={}",
    "postgresql://loader@db.internal/analytics?{}",
    "postgresql://loader@db.internal:{}/analytics",
    "postgressql://loader:{}@db.internal/analytics",
    "jdbc:postgresql://db.internal/analytics?user=loader&password={}",
    "Server=tcp:db.internal;Password={}",
    "duckdb://loader:{}@db.internal/analytics",
    "ducklake://loader:{}@db.internal/analytics",
    "parquet+s3://key:{}@bucket/prefix",
    "parquet+s3://bucket/prefix?secret_access_key={}",
    "parquet+s3://bucket/prefix?endpoint=http://key:{}@127.0.0.1:9000",
    "motherduck://analytics?token={}",
    "motherduck://analytics?motherduck_token={}",
    "md:analytics?motherduck_token={}",
    "snowflake://loader:{}@account/db",
]


AROUND = st.text("!$&/?#@%=+;.,'\" äx", max_size=4)


@given(place=st.sampled_from(PLACES), around=st.tuples(AROUND, AROUND), safe=st.booleans())
def test_a_secret_that_is_written_out_is_refused_and_never_shown(
    place: str, around: tuple[str, str], *, safe: bool
) -> None:
    """Wherever a password is put, and whatever characters it has, the refusal does not hold it."""
    secret = f"{around[0]}hunter2{around[1]}"
    with pytest.raises(InvalidSettings) as refused:
        destination(place.format(quote(secret, safe="") if safe else secret), {})
    assert "hunter2" not in str(refused.value)


SCHEMES = st.sampled_from([*schemes(), *(f"{scheme}+s3" for scheme in schemes())])
NOISE = st.text("ab1:/@?&=%2F[].,;~ \n\0é", max_size=25)
PIECES = st.tuples(
    st.sampled_from(["", "u@", "a%40b@"]),
    st.sampled_from(["", "h", "H.Internal", "[::1]", "%2Ftmp", "lake"]),
    st.sampled_from(["", ":1", ":5432", ":99999"]),
    st.sampled_from(["", "/", "/d", "/d", "/d/", "/a%2Fb", "/a b", "/~/x", "/a/b"]),
    st.sampled_from(
        ["", "", "?", "?http_path=/x", "?region=a b", "?password=env:A&connect_timeout=7", "?staging=s3://ab/c"]
    ),
).map("".join)


@given(text=st.text(max_size=30) | st.tuples(SCHEMES, NOISE | PIECES).map("://".join))
def test_any_text_is_an_address_or_a_refusal(text: str) -> None:
    """No text at all ends in another error, and what is taken can be shown and given again."""
    environment = dict.fromkeys([*EVERY, "A", "AB"], "hunter2")
    try:
        address = destination(text, environment)
    except InvalidSettings:
        return
    assert "hunter2" not in f"{address}{address.shown}{address!r}"
    assert str(destination(address.shown, environment)) == str(address)


# --- the page --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.scheme)
def test_a_section_says_what_is_proved_and_takes_every_option(kind: DestinationKind) -> None:
    """Whether we have tried it stands in the section, and no cell breaks out of its row."""
    lines = list(destination_section(kind))
    assert any(("tested here" in line) == kind.proved for line in lines if "Known to work" in line)
    rows = [line for line in lines if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [option.name for option in kind.options]
    assert {row.replace("\\|", "").count("|") for row in rows} <= {4}


def _variables(kind: DestinationKind) -> set[str]:
    return {reference.partition(":")[2] for option in kind.options for reference in option.references}
