"""Kinds of warehouses, and the backend for the address of a database or warehouse."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlencode

from cio_replicate.base.errors import DestinationUnavailableError
from cio_replicate.base.text import Secret
from cio_replicate.config.destination_kind import (
    S3_OPTIONS,
    Address,
    DestinationKind,
    OpenHint,
    OptionSyntax,
    SinkFamily,
    UrlOption,
    UrlStyle,
    UrlUser,
    password,
)
from cio_replicate.sinks.sql.mysql import Login, MysqlBackend
from cio_replicate.sinks.sql.postgres import SYSTEM, PostgresBackend
from cio_replicate.sinks.sql.server_kinds import connect_timeout
from cio_replicate.sinks.sql.sql_backend import SqlBackend
from cio_replicate.sinks.sql.sqlite import SqliteBackend, file_of
from cio_replicate.sinks.warehouse.dlt_backend import PackageBackend, Warehouse

if TYPE_CHECKING:
    from dlt.common.destination import AnyDestination
    from dlt.common.storages.configuration import FilesystemConfiguration

EXACT = "direct"  # dlt's naming that keeps names
FOLDED = "cio_replicate.sinks.warehouse.naming"  # the same, where people do not write upper and lower case


def warehouse_store(address: Address, dataset: str, folder: Path) -> SqlBackend:
    """The store for an address. `folder` is for working files. Nothing is opened yet, and nothing imported."""
    return _DIRECT.get(address.kind.scheme, package_store)(address, dataset, folder)


def package_store(address: Address, dataset: str, folder: Path) -> SqlBackend:
    """As `warehouse_store`, but the rows travel as packages of dlt even where there is a shorter way."""
    warehouse = _WAREHOUSES[address.kind.scheme](address)
    return PackageBackend(warehouse, dataset, folder, _described(address))


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


# The kinds of destination that are warehouses in somebody's cloud.


_COUNT = "select count(*) from customerio.campaigns where _cio_deleted_at is null"

SNOWFLAKE = DestinationKind(
    scheme="snowflake",
    title="Snowflake",
    engine=SinkFamily.WAREHOUSE,
    form="snowflake://USER@ACCOUNT/DATABASE?warehouse=NAME&role=NAME",
    place=UrlStyle.SERVER,
    about="A database of a Snowflake account.",
    example="snowflake://LOADER@myorg-account/ANALYTICS?warehouse=LOADING&role=LOADER&private_key=file:/run/secrets/key.pem",
    look=(OpenHint("sql", f"use database analytics; {_COUNT};"),),
    extra="snowflake",
    host_is="account",
    user=UrlUser.NEEDED,
    options=(
        UrlOption("warehouse", "The warehouse that does the work; without it, the user's own default."),
        UrlOption("role", "The role to take; without it, the user's own default."),
        password("env:SNOWFLAKE_PASSWORD", about="The user's password, or a programmatic access token."),
        UrlOption("private_key", "The user's private key, in PEM.", secret=True),
        UrlOption(
            "private_key_passphrase", "What the private key is locked with.", secret=True, goes_with=("private_key",)
        ),
        UrlOption("token", "A token for `authenticator=oauth`.", secret=True, goes_with=("authenticator",)),
        UrlOption("authenticator", "Another way to log in, as in Snowflake's connector, such as `oauth`."),
    ),
    one_of=("password", "private_key", "token"),
    notes=(
        "The account is written as in its address, without `.snowflakecomputing.com`.",
        "The role needs `USAGE` on the warehouse, and `USAGE` and `CREATE SCHEMA` on the database.",
        "Names of tables and columns are stored in upper case.",
        "JSON columns hold their text, since `VARIANT` would change it: `parse_json(attributes):plan` reads it.",
    ),
)

BIGQUERY = DestinationKind(
    scheme="bigquery",
    title="BigQuery",
    engine=SinkFamily.WAREHOUSE,
    form="bigquery://PROJECT/LOCATION",
    place=UrlStyle.SERVER,
    about="A Google Cloud project's BigQuery, in one location.",
    example="bigquery://my-project/EU?credentials=file:/run/secrets/service-account.json",
    look=(OpenHint("sh", f"bq query --project_id my-project --location EU --nouse_legacy_sql '{_COUNT}'"),),
    extra="bigquery",
    host_is="project",
    path_is="location",
    path_default="US",
    options=(
        UrlOption(
            "credentials",
            "The key of a service account, the JSON file as it was downloaded; without one, the credentials of the "
            "machine or of `gcloud auth application-default login` are used.",
            secret=True,
            references=("env-file:GOOGLE_APPLICATION_CREDENTIALS",),
        ),
    ),
    notes=(
        "The service account needs the roles BigQuery Data Editor, Job User and Read Session User.",
        "BigQuery calls a schema a dataset; it is made in the location of the address.",
        "A load is several jobs, so a reader can see it half done.",
        "JSON columns hold their text: `json_value(attributes, '$.plan')` reads it.",
    ),
)

REDSHIFT = DestinationKind(
    scheme="redshift",
    title="Redshift",
    engine=SinkFamily.WAREHOUSE,
    form="redshift://USER@HOST:PORT/DATABASE",
    place=UrlStyle.SERVER,
    about="A database of an Amazon Redshift cluster or workgroup.",
    example="redshift://loader@cluster.abc123.eu-west-1.redshift.amazonaws.com/analytics",
    look=(
        OpenHint(
            "sh", f'psql -h cluster.abc123.eu-west-1.redshift.amazonaws.com -p 5439 -U loader analytics -c "{_COUNT}"'
        ),
    ),
    extra="redshift",
    user=UrlUser.NEEDED,
    port=5439,
    options=(
        password("env:PGPASSWORD", needed=True),
        UrlOption(
            "staging",
            "A bucket, `s3://bucket/prefix`, through which rows travel as files; without it, as insert statements.",
            form=OptionSyntax.BUCKET,
        ),
        UrlOption("staging_iam_role", "The role with which Redshift reads that bucket; without it, the access key."),
        connect_timeout(15),
        *(option for option in S3_OPTIONS if option.name != "endpoint"),
    ),
    notes=(
        "The user needs `CREATE` on the database.",
        "Insert statements are slow: name a bucket with `staging` for more than a few thousand rows.",
        "A text holds at most 65,535 bytes.",
        "JSON columns hold their text: `json_parse(attributes)` reads it.",
    ),
)

DATABRICKS = DestinationKind(
    scheme="databricks",
    title="Databricks",
    engine=SinkFamily.WAREHOUSE,
    form="databricks://HOST/CATALOG?http_path=PATH",
    place=UrlStyle.SERVER,
    about="A catalog of Unity Catalog, written through a SQL warehouse.",
    example="databricks://dbc-1234.cloud.databricks.com/main?http_path=/sql/1.0/warehouses/abc123",
    look=(OpenHint("sql", f"use catalog main; {_COUNT};"),),
    extra="databricks",
    path_is="catalog",
    options=(
        UrlOption("http_path", "The HTTP path of the SQL warehouse, from its connection details.", needed=True),
        UrlOption("token", "A personal access token.", secret=True, references=("env:DATABRICKS_TOKEN",)),
        UrlOption("client_id", "The id of a service principal.", goes_with=("client_secret",)),
        UrlOption(
            "client_secret",
            "The OAuth secret of the service principal.",
            secret=True,
            references=("env:DATABRICKS_CLIENT_SECRET",),
            goes_with=("client_id",),
        ),
    ),
    one_of=("token", "client_secret"),
    notes=(
        "The principal needs `USE CATALOG` and `CREATE SCHEMA` on the catalog, and to use the warehouse.",
        "Rows travel as files through a volume that dlt makes, `_dlt_temp_load_volume`.",
        "JSON columns have the type `STRING`.",
    ),
)

MOTHERDUCK = DestinationKind(
    scheme="motherduck",
    title="MotherDuck",
    engine=SinkFamily.WAREHOUSE,
    form="motherduck://DATABASE",
    place=UrlStyle.NAME,
    about="A DuckDB database in MotherDuck's cloud.",
    example="motherduck://analytics",
    look=(OpenHint("sh", f'duckdb md:analytics "{_COUNT}"'),),
    extra="motherduck",
    aliases=("md",),
    options=(
        UrlOption(
            "token",
            "An access token of MotherDuck.",
            needed=True,
            secret=True,
            references=("env:MOTHERDUCK_TOKEN", "env:motherduck_token"),
        ),
    ),
    notes=(
        "MotherDuck takes the versions of DuckDB that it has caught up with, not always the newest.",
        "JSON columns hold their text.",
    ),
)

ATHENA = DestinationKind(
    scheme="athena",
    title="Athena",
    engine=SinkFamily.WAREHOUSE,
    form="athena://REGION/CATALOG?data=s3://BUCKET/PREFIX&results=s3://BUCKET/PREFIX",
    place=UrlStyle.SERVER,
    about="Tables in an AWS data catalog, their rows on S3 as Iceberg tables, asked through Athena.",
    example="athena://eu-west-1/awsdatacatalog?data=s3://lake/customerio&results=s3://lake/results",
    look=(OpenHint("sql", f"{_COUNT}; -- in Athena's editor"),),
    extra="athena",
    host_is="region",
    path_is="catalog",
    path_default="awsdatacatalog",
    options=(
        UrlOption("data", "The bucket for the rows.", needed=True, form=OptionSyntax.BUCKET),
        UrlOption("results", "The bucket for the answers of queries.", needed=True, form=OptionSyntax.BUCKET),
        UrlOption("workgroup", "The workgroup that queries run in; without it, the default one."),
        *(option for option in S3_OPTIONS if option.secret),
    ),
    notes=(
        "The key needs to use Athena and Glue, and to read and write both buckets.",
        "Only Iceberg tables can be merged into, so all are made as such.",
        "JSON columns have the type `string`.",
    ),
)
