"""Warehouses that cannot be had here: dlt is told what an address says, in dlt's own words, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from cio_replicate.base.errors import DestinationUnavailableError
from cio_replicate.base.text import Secret
from cio_replicate.config.destination_kind import Address
from cio_replicate.sinks.kinds import schemes
from cio_replicate.sinks.warehouse.dlt_backend import PackageBackend, alone
from cio_replicate.sinks.warehouse.warehouse_kinds import warehouse_store

KEY_FILE = (
    '{"type": "service_account", "project_id": "other", "client_email": "a@b.c", "token_uri": "https://t",'
    ' "private_key": "-----BEGIN PRIVATE KEY-----\\nx\\n-----END PRIVATE KEY-----\\n"}'
)
ODBC = "ODBC Driver 18 for SQL Server"
AWS = {"access_key_id": Secret("an id"), "secret_access_key": Secret("a key")}
SERVER = {"host": "db.internal", "user": "loader", "secrets": {"password": Secret("a word")}}

#: Per kind: the address's fields, and what dlt's configuration and its credentials must then say.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "snowflake": (
        {
            "host": "myorg-account",
            "path": "ANALYTICS",
            "user": "LOADER",
            "options": {"warehouse": "LOADING", "role": "R"},
            "secrets": {"private_key": Secret("a key"), "private_key_passphrase": Secret("a phrase")},
        },
        {"keep_staged_files": False},
        {
            "host": "myorg-account",
            "database": "ANALYTICS",
            "username": "LOADER",
            "warehouse": "LOADING",
            "role": "R",
            "private_key": "a key",
            "private_key_passphrase": "a phrase",
            "session_timezone": "UTC",
        },
    ),
    "bigquery": (
        {"host": "my-project", "path": "EU", "secrets": {"credentials": Secret(KEY_FILE)}},
        {"project_id": "my-project", "location": "EU"},
        {"client_email": "a@b.c"},
    ),
    "redshift": (
        {**SERVER, "path": "dev", "port": 5439, "options": {"connect_timeout": "3", "staging_iam_role": "arn:r"}},
        {"staging_iam_role": "arn:r"},
        {"host": "db.internal", "port": 5439, "username": "loader", "password": "a word", "connect_timeout": 3},
    ),
    "databricks": (
        {
            "host": "dbc.example",
            "path": "main",
            "options": {"http_path": "/sql/1", "client_id": "an id"},
            "secrets": {"client_secret": Secret("a word")},
        },
        {},
        {
            "server_hostname": "dbc.example",
            "catalog": "main",
            "http_path": "/sql/1",
            "client_id": "an id",
            "client_secret": "a word",
            "session_timezone": "UTC",
        },
    ),
    "clickhouse": (
        {**SERVER, "path": "default", "port": 9440, "options": {"http_port": "8444", "secure": "0"}},
        {"dataset_table_separator": "___"},
        {"host": "db.internal", "port": 9440, "http_port": 8444, "secure": 0, "password": "a word"},
    ),
    "motherduck": (
        {"path": "analytics", "secrets": {"token": Secret("a word")}},
        {},
        {"database": "analytics", "password": "a word"},
    ),
    "mssql": (
        {**SERVER, "path": "db", "port": 1433, "options": {"driver": ODBC, "trust_server_certificate": "yes"}},
        {},
        {"host": "db.internal", "port": 1433, "driver": ODBC, "query": {"TrustServerCertificate": "yes"}},
    ),
    "synapse": (
        {**SERVER, "path": "pool", "port": 1433, "options": {"driver": ODBC, "connect_timeout": "9"}},
        {"default_table_index_type": "heap"},
        {"database": "pool", "driver": ODBC, "connect_timeout": 9, "password": "a word"},
    ),
    "athena": (
        {
            "host": "eu-west-1",
            "path": "awsdatacatalog",
            "options": {"data": "s3://b/data", "results": "s3://b/results", "workgroup": "w"},
            "secrets": AWS,
        },
        {"query_result_bucket": "s3://b/results", "athena_work_group": "w", "aws_data_catalog": "awsdatacatalog"},
        {"region_name": "eu-west-1", "aws_access_key_id": "an id", "aws_secret_access_key": "a key"},
    ),
    "ducklake": (
        {"path": "/data/lake.sqlite", "options": {"data": "/data/rows", "catalog": "sqlite"}},
        {},
        {"ducklake_name": "lake"},
    ),
}
#: The module that each kind's driver is imported by.
DRIVERS = {
    "snowflake": "snowflake.connector",
    "bigquery": "google.cloud.bigquery",
    "databricks": "databricks.sql",
    "clickhouse": "clickhouse_driver",
    "mssql": "pyodbc",
    "athena": "pyathena",
}


def _place(kind: str, folder: Path) -> PackageBackend:
    store = warehouse_store(Address(kind=schemes()[kind], **CASES[kind][0]), "customerio", folder)
    assert isinstance(store, PackageBackend)
    return store


def _resolved(destination: Any) -> Any:  # a configuration of dlt's
    return destination.configuration(destination.spec()._bind_dataset_name(dataset_name="customerio"))


@pytest.mark.parametrize("kind", CASES)
def test_what_dlt_is_told(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every field of the address arrives in dlt's configuration, and no setting that dlt would find elsewhere."""
    for name in ("ROLE", "WAREHOUSE", "PASSWORD", "HOST", "QUERY"):
        monkeypatch.setenv(f"DESTINATION__{kind.upper()}__CREDENTIALS__{name}", "from elsewhere")
    place = _place(kind, tmp_path)
    _, expected, login = CASES[kind]
    with alone(tmp_path):
        destination = place.warehouse.destination()
        configuration = _resolved(destination)
        capabilities = destination.capabilities(configuration)
    assert _these(configuration, expected) == expected
    assert _these(configuration.credentials, login) == login
    assert "from elsewhere" not in str({**configuration, **configuration.credentials})
    assert "delete-insert" in (capabilities.supported_merge_strategies or ())


def _these(found: Any, wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {name: getattr(found, name) for name in wanted}


def test_files_on_their_way(tmp_path: Path) -> None:
    """Athena's rows, and Redshift's where a bucket is named, wait on S3 with the address's own key."""
    for kind, options, bucket in (
        ("athena", CASES["athena"][0]["options"], "s3://b/data"),
        ("redshift", {"staging": "s3://b/staging", "region": "eu-west-1"}, "s3://b/staging"),
    ):
        fields = {**CASES[kind][0], "options": options, "secrets": {**AWS, "password": Secret("a word")}}
        place = warehouse_store(Address(kind=schemes()[kind], **fields), "customerio", tmp_path)
        assert isinstance(place, PackageBackend)
        with alone(tmp_path):
            staging = _resolved(place.warehouse.staging())
        assert staging.bucket_url == bucket
        assert staging.credentials.aws_access_key_id == "an id"
    assert _place("redshift", tmp_path).warehouse.staging() is None


def test_where_the_lake_is(tmp_path: Path) -> None:
    """DuckLake's catalog is the file of the address, and its rows are where `data` says, or beside it."""
    for options, rows in (({"data": str(tmp_path / "rows")}, "rows"), ({}, "lake.sqlite.files")):
        address = Address(kind=schemes()["ducklake"], path=str(tmp_path / "lake.sqlite"), options=options)
        place = warehouse_store(address, "customerio", tmp_path / "working")
        assert isinstance(place, PackageBackend)
        with alone(tmp_path):
            credentials = _resolved(place.warehouse.destination()).credentials
        assert credentials.catalog.database == str(tmp_path / "lake.sqlite")
        assert credentials.catalog.drivername == "sqlite"
        assert credentials.storage_url == str(tmp_path / rows)


def test_a_key_that_is_no_key(tmp_path: Path) -> None:
    """BigQuery's credentials that are no JSON are refused without being shown."""
    fields = {**CASES["bigquery"][0], "secrets": {"credentials": Secret("a word")}}
    with pytest.raises(DestinationUnavailableError, match="are no JSON") as caught:
        warehouse_store(Address(kind=schemes()["bigquery"], **fields), "customerio", tmp_path)
    assert "a word" not in str(caught.value)


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("kind", [kind for kind, module in DRIVERS.items() if not _installed(module)])
def test_an_extra_that_is_missing(kind: str, tmp_path: Path) -> None:
    """Without the driver, opening the store says what to install."""
    store = _place(kind, tmp_path)
    with pytest.raises(DestinationUnavailableError, match=rf"needs the extra: pip install 'cio-replicate\[{kind}\]'"):
        store.open()


def test_nothing_of_dlt_outside_of_the_folder(tmp_path: Path) -> None:
    """No folder of dlt's appears, no setting of the user's is read, nothing is printed, and no address is called."""
    home, before = tmp_path / "home", Path("/var/dlt").exists()
    (home / ".dlt").mkdir(parents=True)
    (home / ".dlt" / "config.toml").write_text("this is no toml")
    program = f"""
import sys
from pathlib import Path
from cio_replicate.sinks.warehouse.dlt_backend import alone

def stop(event, details):
    if event == "socket.connect":
        raise SystemExit("something was called")

sys.addaudithook(stop)
with alone(Path({str(tmp_path / "ours")!r})):
    import dlt, pyarrow
    pipeline = dlt.pipeline("p", pipelines_dir={str(tmp_path / "ours")!r}, destination=dlt.destinations.dummy(
        completed_prob=1.0), dataset_name="d")
    pipeline.run(pyarrow.table({{"a": [1]}}), table_name="t")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=home,
        env={"HOME": str(home), "XDG_DATA_HOME": str(home), "RUNTIME__DLTHUB_TELEMETRY": "true"},
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(path.name for path in home.rglob("*")) == [".dlt", "config.toml"]
    assert Path("/var/dlt").exists() == before  # where dlt keeps root's


def test_importing_costs_nothing() -> None:
    """Making a store imports neither dlt nor a driver: most commands never need them."""
    program = """
import sys
from pathlib import Path
from cio_replicate.sinks.warehouse.warehouse_kinds import warehouse_store
from cio_replicate.config.destination_kind import Address
from cio_replicate.sinks.kinds import schemes
for kind in ("postgresql", "mysql", "snowflake", "sqlite"):
    warehouse_store(Address(kind=schemes()[kind], path="x", host="h", user="u"), "d", Path("f"))
print([name for name in ("dlt", "pymysql", "adbc_driver_manager", "sqlalchemy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
