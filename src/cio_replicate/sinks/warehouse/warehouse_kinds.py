"""From an address to the store that writes there: one function per kind of database."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import quote, urlencode

from cio_replicate.base.errors import DestinationUnavailableError
from cio_replicate.base.text import Secret
from cio_replicate.config.destination_kind import Address
from cio_replicate.sinks.sql.mysql import Login, MysqlBackend
from cio_replicate.sinks.sql.place import SqlBackend
from cio_replicate.sinks.sql.postgres import SYSTEM, PostgresBackend
from cio_replicate.sinks.sql.sqlite import SqliteBackend, file_of
from cio_replicate.sinks.sql.warehouse import WarehouseBackend
from cio_replicate.sinks.warehouse.dlt_backend import PackageBackend

if TYPE_CHECKING:
    from dlt.common.destination import AnyDestination
    from dlt.common.storages.configuration import FilesystemConfiguration

EXACT = "direct"  # dlt's naming that keeps names
FOLDED = "cio_replicate.sinks.warehouse.naming"  # the same, where people do not write upper and lower case


@dataclass(frozen=True, slots=True)
class Warehouse:
    """A destination of dlt, and what differs between them."""

    title: str
    extra: str
    destination: Callable[[], AnyDestination]  # made inside of dlt's context
    staging: Callable[[], AnyDestination | None]  # where files wait on their way, made likewise
    json: Literal["text", "json"] = "text"  # `json` only where the database's own type keeps the text as it is
    table_format: Literal["iceberg"] | None = None
    file_format: Literal["parquet"] | None = None  # None: what dlt takes to be the best
    as_text: str = "{}"
    true: str = "{} = TRUE"
    at_once: int = 2000
    longest_name: int = 120
    names_refused: frozenset[str] = frozenset()
    whole_edits: bool = True  # whether dlt merges in one transaction there


def warehouse_store(address: Address, dataset: str, folder: Path) -> WarehouseBackend:
    """The store for an address. `folder` is for working files. Nothing is opened yet, and nothing imported."""
    return WarehouseBackend(_DIRECT.get(address.kind.scheme, _packages)(address, dataset, folder))


def package_store(address: Address, dataset: str, folder: Path) -> WarehouseBackend:
    """As `warehouse_store`, but the rows travel as packages of dlt even where there is a shorter way."""
    return WarehouseBackend(_packages(address, dataset, folder))


# --- places of our own: one transaction per write --------------------------------------------------------------------


def _postgres(address: Address, dataset: str, _folder: Path) -> SqlBackend:
    login = quote(address.user, safe="") + ":" + quote(_secret(address, "password"), safe="")
    options = {"application_name": "cio-replicate", **_options(address, "sslmode", "sslrootcert", "connect_timeout")}
    host = f"[{address.host}]" if ":" in address.host else quote(address.host, safe="")
    uri = f"postgresql://{login}@{host}:{address.port or 5432}/{quote(address.path, safe='')}?"
    return PostgresBackend(Secret(uri + urlencode(options, quote_via=quote)), dataset, _described(address))


def _sqlite(address: Address, dataset: str, _folder: Path) -> SqlBackend:
    return SqliteBackend(file_of(address.file, dataset))


def _mysql(address: Address, dataset: str, _folder: Path) -> SqlBackend:
    login = Login(
        host=address.host,
        port=address.port or 3306,
        user=address.user,
        password=Secret(_secret(address, "password")),
        database=address.path,
        connect_timeout=int(address.options.get("connect_timeout", "15")),
    )
    return MysqlBackend(login, dataset, _described(address))


_DIRECT: Mapping[str, Callable[[Address, str, Path], SqlBackend]] = {
    "postgresql": _postgres,
    "sqlite": _sqlite,
    "mysql": _mysql,
}


# --- places that dlt writes to ---------------------------------------------------------------------------------------


def _packages(address: Address, dataset: str, folder: Path) -> SqlBackend:
    warehouse = _WAREHOUSES[address.kind.scheme](address)
    return PackageBackend(warehouse, dataset, folder, _described(address))


def _warehouse(
    address: Address,
    make: Callable[[Any], AnyDestination],  # Any: dlt's module of destinations
    *,
    staging: str | None = None,
    **facts: Any,  # noqa: ANN401 - the fields of Warehouse
) -> Warehouse:
    def destination() -> AnyDestination:
        from dlt import destinations  # noqa: PLC0415 - an extra, slow to import

        return make(destinations)

    def waiting() -> AnyDestination | None:
        from dlt import destinations  # noqa: PLC0415 - an extra, slow to import

        if staging is None:
            return None
        return cast("AnyDestination", destinations.filesystem(bucket_url=staging, credentials=_aws(address) or None))

    return Warehouse(address.kind.title, address.kind.extra or "", destination, waiting, **facts)


def _dlt_postgres(address: Address) -> Warehouse:
    credentials = {**_server(address), "query": _options(address, "sslmode", "sslrootcert")}
    return _warehouse(
        address,
        lambda dlt: dlt.postgres(credentials=credentials, naming_convention=EXACT, create_indexes=False),
        json="json",
        as_text="{}::text",
        file_format="parquet",
        longest_name=63,
        names_refused=SYSTEM,
    )


def _snowflake(address: Address) -> Warehouse:
    credentials = {
        "host": address.host,
        "database": address.path,
        "username": address.user,
        **_options(address, "warehouse", "role", "authenticator"),
        **_secrets(address, "password", "private_key", "private_key_passphrase", "token"),
    }
    return _warehouse(
        address,
        lambda dlt: dlt.snowflake(credentials=credentials, naming_convention=FOLDED, keep_staged_files=False),
        file_format="parquet",
    )


def _bigquery(address: Address) -> Warehouse:
    key = _secret(address, "credentials")
    try:
        credentials = json.loads(key) if key else None
    except ValueError:
        raise DestinationUnavailableError(
            "The credentials for BigQuery are no JSON.", "Give the key file of the service account as it was made."
        ) from None
    return _warehouse(
        address,
        lambda dlt: dlt.bigquery(
            credentials=credentials, project_id=address.host, location=address.path, naming_convention=EXACT
        ),
        whole_edits=False,
    )


def _redshift(address: Address) -> Warehouse:
    role = address.options.get("staging_iam_role")
    return _warehouse(
        address,
        lambda dlt: dlt.redshift(credentials=_server(address), staging_iam_role=role, naming_convention=EXACT),
        staging=address.options.get("staging"),
        longest_name=127,
    )


def _databricks(address: Address) -> Warehouse:
    token = _secret(address, "token")
    credentials = {
        "server_hostname": address.host,
        "catalog": address.path,
        "session_timezone": "UTC",
        **_options(address, "http_path", "client_id"),
        **_secrets(address, "client_secret"),
        **({"access_token": token} if token else {}),
    }
    return _warehouse(
        address, lambda dlt: dlt.databricks(credentials=credentials, naming_convention=EXACT), whole_edits=False
    )


def _clickhouse(address: Address) -> Warehouse:
    credentials = {
        **_server(address),
        "http_port": int(address.options.get("http_port", "8443")),
        "secure": int(address.options.get("secure", "1")),
    }
    return _warehouse(
        address,
        lambda dlt: dlt.clickhouse(credentials=credentials, naming_convention=EXACT),
        true="{} = true",
        whole_edits=False,
    )


def _motherduck(address: Address) -> Warehouse:
    credentials = {"database": address.path, "password": _secret(address, "token")}
    return _warehouse(
        address,
        lambda dlt: dlt.motherduck(credentials=credentials, naming_convention=EXACT),
    )


def _mssql(address: Address) -> Warehouse:
    return _warehouse(
        address,
        lambda dlt: dlt.mssql(credentials=_odbc(address), naming_convention=EXACT),
        true="{} = 1",
    )


def _synapse(address: Address) -> Warehouse:
    return _warehouse(
        address,
        lambda dlt: dlt.synapse(credentials=_odbc(address), naming_convention=EXACT),
        true="{} = 1",
        whole_edits=False,
    )


def _athena(address: Address) -> Warehouse:
    return _warehouse(
        address,
        lambda dlt: dlt.athena(
            credentials={**_aws(address), "region_name": address.host},
            query_result_bucket=address.options.get("results"),
            athena_work_group=address.options.get("workgroup"),
            aws_data_catalog=address.path,
            naming_convention=EXACT,
        ),
        staging=address.options.get("data"),
        table_format="iceberg",
        whole_edits=False,
    )


def _ducklake(address: Address) -> Warehouse:
    kind = address.options.get("catalog", "sqlite")
    data = address.options.get("data") or str(address.file.with_name(f"{address.file.name}.files"))

    def destination(dlt: Any) -> AnyDestination:  # noqa: ANN401 - dlt's module of destinations
        from dlt.destinations.impl.ducklake.configuration import DuckLakeCredentials  # noqa: PLC0415 - an extra

        credentials = DuckLakeCredentials("lake", catalog=f"{kind}:///{address.path}", storage=_storage(address, data))
        made: AnyDestination = dlt.ducklake(credentials=credentials, naming_convention=EXACT)
        return made

    return _warehouse(address, destination, names_refused=frozenset({"rowid"}))


def _storage(address: Address, where: str) -> str | FilesystemConfiguration:
    from dlt.common.configuration.specs import AwsCredentials  # noqa: PLC0415 - an extra
    from dlt.common.storages.configuration import FilesystemConfiguration  # noqa: PLC0415

    aws = _aws(address)
    return FilesystemConfiguration(bucket_url=where, credentials=AwsCredentials(**cast("Any", aws))) if aws else where


_WAREHOUSES: Mapping[str, Callable[[Address], Warehouse]] = {
    "postgresql": _dlt_postgres,
    "snowflake": _snowflake,
    "bigquery": _bigquery,
    "redshift": _redshift,
    "databricks": _databricks,
    "clickhouse": _clickhouse,
    "motherduck": _motherduck,
    "mssql": _mssql,
    "synapse": _synapse,
    "athena": _athena,
    "ducklake": _ducklake,
}


def _server(address: Address) -> dict[str, Any]:  # Any: texts and numbers, as dlt wants them
    return {
        "host": address.host,
        "port": address.port or address.kind.port,
        "database": address.path,
        "username": address.user or address.kind.user_default,
        "password": _secret(address, "password"),
        "connect_timeout": int(address.options.get("connect_timeout", "15")),
    }


def _odbc(address: Address) -> dict[str, Any]:  # Any: as above
    trust = address.options.get("trust_server_certificate")
    query = {"TrustServerCertificate": trust} if trust else {}
    return {**_server(address), **_options(address, "driver"), "query": query}


def _aws(address: Address) -> dict[str, str]:
    """The login to S3 as dlt wants it; empty when the machine's own is to be used."""
    names = ("access_key_id", "secret_access_key", "session_token")
    aws = {f"aws_{name}": secret for name, secret in _secrets(address, *names).items()}
    region, endpoint = address.options.get("region"), address.options.get("endpoint")
    return aws | ({"region_name": region} if region else {}) | ({"endpoint_url": endpoint} if endpoint else {})


def _options(address: Address, *names: str) -> dict[str, str]:
    return {name: address.options[name] for name in names if name in address.options}


def _secrets(address: Address, *names: str) -> dict[str, str]:
    return {name: address.secrets[name].reveal() for name in names if name in address.secrets}


def _secret(address: Address, name: str) -> str:
    return _secrets(address, name).get(name, "")


def _described(address: Address) -> str:
    return f"{address.kind.title} at {address}"
