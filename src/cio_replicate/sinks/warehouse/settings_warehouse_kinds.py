"""The kinds of destination that are warehouses in somebody's cloud."""

from __future__ import annotations

from cio_replicate.config.destination_kind import (
    S3_OPTIONS,
    DestinationKind,
    OpenHint,
    OptionSyntax,
    SinkFamily,
    UrlOption,
    UrlStyle,
    UrlUser,
    password,
)
from cio_replicate.sinks.sql.server_kinds import connect_timeout

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
