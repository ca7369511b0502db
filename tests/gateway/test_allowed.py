"""What a gateway's owner allows: addresses for the token, destinations for rows."""

from __future__ import annotations

import pytest

from cio_replicate.base.errors import Forbidden, InvalidSettings
from cio_replicate.config.documents import ConnectionSettings
from cio_replicate.gateway.policy import allowed, require_allowed

DATABASE = "postgresql://copy@db.internal/warehouse?password=env:P"


def _require(
    api: str | None = None, to: str = "duckdb:////data/x.duckdb", *, apis: tuple[str, ...] = (), only: str = ""
) -> None:
    connection = ConnectionSettings(start_date="2024-01-01", api_url=api)
    require_allowed(connection, [to], allowed(apis, [only] if only else []))


@pytest.mark.parametrize(
    "api", [None, "https://api.customer.io", "https://api-eu.customer.io/v1/", "http://127.0.0.1:8080"]
)
def test_the_token_goes_to_customer_io(api: str | None) -> None:
    """Or to a stand-in on this machine, from where it goes nowhere."""
    _require(api)


@pytest.mark.parametrize(
    "api", ["https://api.customer.io.evil.example", "https://evil.example", "https://api.customer.io:8443"]
)
def test_the_token_goes_nowhere_else(api: str) -> None:
    """Unless the owner has said so."""
    with pytest.raises(Forbidden, match="does not send its access token"):
        _require(api)
    _require(api, apis=(api,))


@pytest.mark.parametrize(
    ("only", "to"),
    [
        ("", DATABASE),
        (DATABASE, DATABASE),
        (DATABASE, DATABASE.replace("env:P", "file:/run/secrets/p")),
        ("duckdb:////data", "duckdb:////data/shop/copy.duckdb"),
        ("duckdb:////data/copy.duckdb", "duckdb:////data/copy.duckdb"),
        ("parquet+s3://bucket/lake?region=eu-west-1", "parquet+s3://bucket/lake/shop?region=eu-west-1"),
    ],
)
def test_what_is_allowed_is_written(only: str, to: str) -> None:
    """The same place, however its secret is kept, or one in the same folder."""
    _require(to=to, only=only)


@pytest.mark.parametrize(
    ("only", "to"),
    [
        (DATABASE, DATABASE.replace("db.internal", "evil.example")),
        (DATABASE, DATABASE.replace("db.internal", "db.internal.evil.example")),
        (DATABASE, DATABASE.replace("db.internal", "db.internal:5433")),
        (DATABASE, DATABASE.replace("warehouse", "other")),
        (DATABASE, DATABASE.replace("copy@", "postgres@")),
        (DATABASE, "duckdb:////data/copy.duckdb"),
        ("duckdb:////data", "duckdb:////database/copy.duckdb"),
        ("duckdb:////data", "duckdb:////data/../etc/copy.duckdb"),
        ("parquet+s3://bucket/lake", "parquet+s3://bucket/lake?endpoint=https://evil.example"),
        ("parquet+s3://bucket/lake", "parquet+s3://other/lake"),
        ("parquet+s3://bucket/lake", "parquet:////bucket/lake"),
    ],
)
def test_what_is_not_allowed_is_refused(only: str, to: str) -> None:
    """Another server, port, user, database, bucket, folder, or way to it."""
    with pytest.raises(Forbidden, match="This gateway does not write to"):
        _require(to=to, only=only)


def test_what_is_no_address_cannot_be_allowed() -> None:
    """A mistake is told at the start, not when a run comes."""
    for apis, only in ((["nowhere"], []), ([], ["nowhere"])):
        with pytest.raises(InvalidSettings):
            allowed(apis, only)
