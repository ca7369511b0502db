"""The kinds of destination that are files: databases in a file, and lakes in a folder or a bucket."""

from __future__ import annotations

from cio_replicate.config.destination_kind import (
    S3_OPTIONS,
    DestinationKind,
    OpenHint,
    OptionSyntax,
    SinkFamily,
    UrlOption,
    UrlStyle,
)

DUCKDB = DestinationKind(
    scheme="duckdb",
    title="DuckDB",
    engine=SinkFamily.DUCKDB,
    form="duckdb:///FILE",
    place=UrlStyle.FILE,
    about="One file that holds the whole copy and answers SQL: the default, and the fastest to write.",
    example="duckdb:///workspace.duckdb",
    look=(
        OpenHint(
            "sh", 'duckdb workspace.duckdb "select count(*) from customerio.campaigns where _cio_deleted_at is null"'
        ),
    ),
    proved=True,
    notes=(
        "The path is taken letter by letter: nothing in it is decoded, and nothing can stand behind it.",
        "Every load is one transaction that holds the rows and the positions.",
        "One program at a time can write the file, and none can read it meanwhile.",
        "JSON columns have the type `JSON`.",
    ),
)

SQLITE = DestinationKind(
    scheme="sqlite",
    title="SQLite",
    form="sqlite:///FILE",
    place=UrlStyle.FILE,
    about="One small file that nearly every tool can open.",
    example="sqlite:///workspace.db",
    look=(
        OpenHint(
            "sh", 'sqlite3 workspace__customerio.db "select count(*) from campaigns where _cio_deleted_at is null"'
        ),
    ),
    proved=True,
    notes=(
        "The path is taken letter by letter: nothing in it is decoded, and nothing can stand behind it.",
        "SQLite knows no schemas: the dataset is a file beside the one named, its name after two underscores.",
        "SQLite has no type for moments or JSON: both are kept as text that its functions read.",
    ),
)

PARQUET = DestinationKind(
    scheme="parquet",
    title="Parquet files",
    engine=SinkFamily.PARQUET,
    form="parquet:///FOLDER",
    place=UrlStyle.FOLDER,
    about="Plain files in a folder or on S3, for every engine that reads Parquet.",
    example="parquet:///lake",
    look=(
        OpenHint(
            "sql", "select count(*) from 'lake/customerio/campaigns/*.parquet' where _cio_deleted_at is null; -- DuckDB"
        ),
        OpenHint("python", 'pyarrow.parquet.read_table("lake/customerio/campaigns")'),
    ),
    proved=True,
    notes=(
        "JSON columns hold their text.",
        (
            "A small table is one file; a large one is several, each of 32 MB, and messages and activities begin new "
            "ones every month. Each file is replaced in one step, and a row never moves to another."
        ),
        (
            "A query that meets a file in the moment it is replaced fails; run it again. Where that must not happen, "
            "take Delta or Iceberg."
        ),
    ),
)

DELTA = DestinationKind(
    scheme="delta",
    title="Delta tables",
    engine=SinkFamily.DELTA,
    form="delta:///FOLDER",
    place=UrlStyle.FOLDER,
    about="Tables with a log of their commits, in a folder or on S3, for Spark, Databricks, DuckDB and others.",
    example="delta:///lake",
    look=(
        OpenHint("python", 'deltalake.DeltaTable("lake/customerio/campaigns").to_pyarrow_table()'),
        OpenHint(
            "sql",
            "select count(*) from delta_scan('lake/customerio/campaigns') where _cio_deleted_at is null; -- DuckDB",
        ),
    ),
    extra="delta",
    proved=True,
    notes=("JSON columns hold their text.", "A reader sees the table as it was before a load, or as after it."),
)

ICEBERG = DestinationKind(
    scheme="iceberg",
    title="Iceberg tables",
    engine=SinkFamily.ICEBERG,
    form="iceberg:///FOLDER",
    place=UrlStyle.FOLDER,
    about="Tables with snapshots, in a folder or on S3, for Spark, Trino, Snowflake, DuckDB and others.",
    example="iceberg:///lake",
    options=(
        UrlOption(
            "catalog",
            "The name of a catalog that pyiceberg's own settings describe; without it, each table is a folder that "
            "needs none.",
            identifies=True,
        ),
    ),
    look=(
        OpenHint(
            "python", 'StaticTable.from_metadata("lake/customerio/campaigns").scan().to_arrow()  # pyiceberg.table'
        ),
        OpenHint(
            "sql",
            "select count(*) from iceberg_scan('lake/customerio/campaigns') where _cio_deleted_at is null; -- DuckDB",
        ),
    ),
    extra="iceberg",
    proved=True,
    notes=("JSON columns hold their text.", "A reader sees the table as it was before a load, or as after it."),
)

DUCKLAKE = DestinationKind(
    scheme="ducklake",
    title="DuckLake",
    form="ducklake:///FILE?data=FOLDER",
    place=UrlStyle.FILE,
    about="A catalog in a small database file, its rows in Parquet files in a folder or on S3.",
    example="ducklake:///lake.sqlite?data=lake-files",
    look=(OpenHint("sql", "attach 'ducklake:sqlite:lake.sqlite' as lake; from lake.customerio.campaigns; -- DuckDB"),),
    extra="ducklake",
    options=(
        UrlOption(
            "data",
            "Where the rows are: a folder, or `s3://bucket/prefix`; without it, a folder beside the catalog.",
            form=OptionSyntax.FOLDER,
        ),
        UrlOption("catalog", "What kind of file the catalog is.", default="sqlite", choices=("sqlite", "duckdb")),
        *S3_OPTIONS,
    ),
    notes=(
        "DuckDB downloads its extensions `ducklake` and `sqlite` when they are first used.",
        "JSON columns hold their text.",
    ),
)
