"""The kinds of destination that are database servers, with a host, a port, a user and a password."""

from __future__ import annotations

from cio_replicate.config.destination_kind import (
    DestinationKind,
    OpenHint,
    OptionSyntax,
    UrlOption,
    UrlUser,
    connect_timeout,
    password,
)

_COUNT = "select count(*) from customerio.campaigns where _cio_deleted_at is null"


POSTGRESQL = DestinationKind(
    scheme="postgresql",
    title="PostgreSQL",
    form="postgresql://USER@HOST:PORT/DATABASE",
    about="A database on a PostgreSQL server, or on a service that speaks its protocol.",
    example="postgresql://loader@db.internal/analytics?sslmode=require",
    look=(OpenHint("sh", f'psql -h db.internal -U loader analytics -c "{_COUNT}"'),),
    extra="postgres",
    proved=True,
    aliases=("postgres",),
    user=UrlUser.NEEDED,
    port=5432,
    socket=True,
    options=(
        password("env:PGPASSWORD", about="The user's password; none where the server trusts the user."),
        UrlOption(
            "sslmode",
            "How the connection is protected, as in libpq.",
            choices=("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
        ),
        UrlOption("sslrootcert", "The file with the certificates that the server's is checked against."),
        connect_timeout(15),
    ),
    notes=(
        "The user needs `CREATE` on the database for the first run, which makes the schema.",
        "The folder of a Unix socket is a host too: `postgresql://loader@%2Fvar%2Frun%2Fpostgresql/analytics`.",
        "Rows travel as Arrow through ADBC, several times as fast as CSV, in one transaction per batch.",
        "JSON columns have the type `json`, which keeps the text as it is: cast it to `jsonb` for an index.",
        "PostgreSQL's text cannot hold the character NUL: it is left out, and the whole value is in `_cio_extra`.",
    ),
)

MYSQL = DestinationKind(
    scheme="mysql",
    title="MySQL",
    form="mysql://USER@HOST:PORT/DATABASE",
    about="A MySQL or MariaDB server.",
    example="mysql://loader@db.internal/analytics",
    look=(OpenHint("sh", f'mysql -h db.internal -u loader -p -e "{_COUNT}"'),),
    extra="mysql",
    proved=True,
    aliases=("mariadb",),
    user=UrlUser.NEEDED,
    port=3306,
    options=(
        password("env:MYSQL_PWD", about="The user's password; none where the server trusts the user."),
        connect_timeout(15),
    ),
    notes=(
        "Tested with MariaDB; MySQL must be 8.0.17 or later, MariaDB 10.2 or later.",
        "In MySQL a schema is a database: the tables are in the one that `--dataset` names.",
        "The database in the address is only where the connection begins.",
        "The user needs `CREATE` on the database of the dataset.",
    ),
)

MSSQL = DestinationKind(
    scheme="mssql",
    title="SQL Server",
    form="mssql://USER@HOST:PORT/DATABASE",
    about="A database of SQL Server or Azure SQL.",
    example="mssql://loader@db.internal/analytics",
    look=(OpenHint("sh", f'sqlcmd -S db.internal -U loader -d analytics -Q "{_COUNT}"'),),
    extra="mssql",
    aliases=("sqlserver",),
    user=UrlUser.NEEDED,
    port=1433,
    options=(
        password("env:SQLCMDPASSWORD", needed=True),
        UrlOption(
            "driver",
            "The ODBC driver; without it, the newest one that is installed.",
            choices=("ODBC Driver 18 for SQL Server", "ODBC Driver 17 for SQL Server"),
        ),
        UrlOption(
            "trust_server_certificate",
            "Whether a certificate that nobody has signed is accepted.",
            default="no",
            choices=("no", "yes"),
        ),
        connect_timeout(30),
    ),
    notes=(
        "Microsoft's ODBC driver must be installed.",
        "The user needs `CREATE SCHEMA` and `CREATE TABLE` on the database.",
        "Rows travel as insert statements, which is slower than files.",
        "JSON columns hold their text.",
    ),
)

SYNAPSE = DestinationKind(
    scheme="synapse",
    title="Azure Synapse",
    form="synapse://USER@HOST:PORT/POOL",
    about="A dedicated SQL pool of Azure Synapse.",
    example="synapse://loader@workspace.sql.azuresynapse.net/pool",
    look=(OpenHint("sh", f'sqlcmd -S workspace.sql.azuresynapse.net -U loader -d pool -Q "{_COUNT}"'),),
    extra="synapse",
    path_is="pool",
    user=UrlUser.NEEDED,
    port=1433,
    options=(
        password("env:SQLCMDPASSWORD", needed=True),
        UrlOption("driver", "The ODBC driver.", choices=("ODBC Driver 18 for SQL Server",)),
        connect_timeout(30),
    ),
    notes=(
        "Microsoft's ODBC driver 18 must be installed.",
        "Tables are heaps, since column stores hold no text of any length.",
        "Rows travel as insert statements, which is slower than files.",
        "JSON columns hold their text.",
    ),
)

CLICKHOUSE = DestinationKind(
    scheme="clickhouse",
    title="ClickHouse",
    form="clickhouse://USER@HOST:PORT/DATABASE",
    about="A database of a ClickHouse server or of ClickHouse Cloud.",
    example="clickhouse://loader@db.internal/analytics",
    look=(
        OpenHint(
            "sh",
            "clickhouse-client --secure --host db.internal --user loader --database analytics --query "
            '"select count() from customerio___campaigns where _cio_deleted_at is null"',
        ),
    ),
    extra="clickhouse",
    path_default="default",
    user=UrlUser.OPTIONAL,
    user_default="default",
    port=9440,
    options=(
        password("env:CLICKHOUSE_PASSWORD", about="The user's password; none where the server trusts the user."),
        UrlOption("http_port", "The port for HTTP, over which files travel.", default="8443", form=OptionSyntax.NUMBER),
        UrlOption("secure", "Whether the connection is encrypted: 1, or 0 for none.", default="1", choices=("1", "0")),
        connect_timeout(15),
    ),
    notes=(
        "The port in the address is the native one; both it and the one for HTTP must be reachable.",
        "There are no schemas: the dataset stands before each table's name, `customerio___campaigns`.",
        "ClickHouse has no transactions, so a reader can see a load that is half done.",
        "JSON columns have the type `String`.",
    ),
)
