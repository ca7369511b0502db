"""The tables of the control database, each declared once: the migrations, the services and the pages derive from it."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TextClause,
    UniqueConstraint,
    text,
)

#: Names of constraints, so that a migration can name what it changes.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


#: Runs that wait and were never claimed: one of each task for each action.
WAITING = text("status = 'queued' AND claims = 0")
_RUNNING = text("status = 'running'")


def _id() -> Column[str]:
    return Column("id", String(32), primary_key=True)  # uuid4().hex


def _moment(name: str, *, nullable: bool = True) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)  # unix seconds


def _document(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable)  # JSON


def _one(name: str, *columns: str, where: TextClause) -> Index:
    """Return an index that lets one row of those with the same columns be so."""
    return Index(name, *columns, unique=True, sqlite_where=where, postgresql_where=where)


# --- what is replicated ----------------------------------------------------------------------------------------------

connections = Table(
    "connections",
    metadata,
    _id(),
    Column("name", String(100), nullable=False, unique=True),
    _document("settings"),  # ConnectionSettings; never a secret, only its place
    Column("gateway", String(100)),  # a copy of the setting, to look for
    Column("workspace", String(200), nullable=False),  # runs with the same value share a request budget: one at a time
    _document("metadata", nullable=True),  # what `open metadata` found last
    _moment("created_at", nullable=False),
    _moment("changed_at", nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    _id(),
    Column("name", String(100), nullable=False, unique=True),
    Column("connection_id", ForeignKey("connections.id"), nullable=False),
    _document("settings"),  # TaskSettings
    Column("paused", Boolean, nullable=False),
    _moment("next_at"),  # when its schedule lets it run next; null when nothing does
    Column("after_task", String(100)),  # the task whose end starts it, by name
    _moment("created_at", nullable=False),
    _moment("changed_at", nullable=False),
)

secrets = Table(
    "secrets",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("ciphertext", Text, nullable=False),
    _moment("changed_at", nullable=False),
)

channels = Table(  # where notifications go
    "channels",
    metadata,
    _id(),
    Column("name", String(100), nullable=False, unique=True),
    _document("settings"),  # ChannelSettings; its address is a reference
    _moment("changed_at", nullable=False),
)

# --- what runs -------------------------------------------------------------------------------------------------------

runs = Table(
    "runs",
    metadata,
    _id(),
    Column("task_id", ForeignKey("tasks.id"), nullable=False),
    Column("workspace", String(200), nullable=False),
    Column("gateway", String(100)),  # who may claim it; null is the console's own machine
    Column("cause", String(20), nullable=False),  # schedule, user, after, retry
    _document("action"),  # what is done: a sync, a resync of tables, a backfill
    Column("status", String(20), nullable=False),  # queued, running, or how it ended
    Column("attempt", Integer, nullable=False),  # 1, and more for a retry
    Column("claims", Integer, nullable=False),  # how often it was claimed: more than once when a worker died
    Column("merged", Integer, nullable=False),  # further times it was due while it waited
    Column("asked_by", String(100)),
    _moment("due_at", nullable=False),  # the time that its schedule named, or when it was asked for
    _moment("not_before", nullable=False),
    _moment("started_at"),
    _moment("ended_at"),
    Column("worker", String(100)),
    _moment("lease_until"),
    Column("cancelling", Boolean, nullable=False),
    _document("progress", nullable=True),  # Progress, while it runs
    _document("report", nullable=True),  # Report, when it ended
    Column("error", Text),
    Column("rows", BigInteger),  # rows that changed, for lists and charts
    Column("requests", BigInteger),
    Column("budget_used", Integer),  # per mille
    # the database itself lets one new run of a task wait for each thing that may be done, one run of it be executed,
    # and one run of a workspace; a run whose worker was lost waits besides
    _one("ix_runs_one_queued", "task_id", "action", where=WAITING),
    _one("ix_runs_one_running", "task_id", where=_RUNNING),
    _one("ix_runs_one_per_workspace", "workspace", where=_RUNNING),
    Index("ix_runs_task_due", "task_id", "due_at"),
    Index("ix_runs_status", "status", "not_before", "due_at", "id"),
    Index("ix_runs_ended", "ended_at"),
    Index("ix_runs_due", "due_at"),
    Index("ix_runs_task_ended", "task_id", "status", "ended_at"),
)

run_lines = Table(  # the log of a run
    "run_lines",
    metadata,
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    _moment("at", nullable=False),
    Column("level", String(10), nullable=False),  # info, warning, error
    Column("text", Text, nullable=False),
)

missed = Table(  # times at which a task was due and was not run, each with the reason
    "missed",
    metadata,
    _id(),
    Column("task_id", ForeignKey("tasks.id"), nullable=False),
    _moment("due_at", nullable=False),
    Column("count", Integer, nullable=False),
    Column("reason", String(200), nullable=False),
)

notices = Table(  # notifications that are to be sent, sent or given up
    "notices",
    metadata,
    _id(),
    Column("channel_id", ForeignKey("channels.id"), nullable=False),
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("event", String(20), nullable=False),  # failure, recovery, short, schema
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    _moment("not_before", nullable=False),
    _moment("sent_at"),
    Column("error", Text),
    UniqueConstraint("channel_id", "run_id", "event"),
)

# --- gateways --------------------------------------------------------------------------------------------------------

gateways = Table(
    "gateways",
    metadata,
    Column("name", String(100), primary_key=True),
    _moment("created_at", nullable=False),
)

gateway_codes = Table(  # one-time codes to enrol a machine
    "gateway_codes",
    metadata,
    Column("digest", String(64), primary_key=True),  # SHA-256 of the code
    Column("gateway", ForeignKey("gateways.name"), nullable=False),
    _moment("expires_at", nullable=False),
    _moment("used_at"),
)

gateway_members = Table(  # the machines that serve under a gateway's name
    "gateway_members",
    metadata,
    _id(),
    Column("gateway", ForeignKey("gateways.name"), nullable=False),
    Column("machine", String(200), nullable=False),
    Column("public_key", Text, nullable=False),  # a JSON Web Key, Ed25519
    Column("version", String(50), nullable=False),
    _moment("enrolled_at", nullable=False),
    _moment("seen_at"),
    _moment("revoked_at"),
)

gateway_nonces = Table(  # requests that were answered, so that none is taken twice
    "gateway_nonces",
    metadata,
    Column("nonce", String(64), primary_key=True),
    _moment("expires_at", nullable=False),
)

inquiries = Table(  # what a gateway is asked about a connection besides runs, and what it found
    "inquiries",
    metadata,
    _id(),
    Column("gateway", String(100), nullable=False),
    Column("about", String(20), nullable=False),
    _document("settings"),  # ConnectionSettings
    _moment("asked_at", nullable=False),
    Column("worker", String(100)),
    _moment("lease_until"),
    _moment("answered_at"),
    _document("found", nullable=True),
    Index("ix_inquiries_gateway", "gateway", "answered_at"),
)

# --- who uses it -----------------------------------------------------------------------------------------------------

users = Table(
    "users",
    metadata,
    _id(),
    Column("name", String(200), nullable=False, unique=True),  # an e-mail address or any other name
    Column("password", Text),  # an Argon2 hash; null for who comes from OIDC only
    Column("subject", String(300), unique=True),  # issuer and subject of OIDC
    Column("role", String(20), nullable=False),  # viewer, operator, admin
    Column("zone", String(60), nullable=False),  # the time zone in which dates are shown
    Column("disabled", Boolean, nullable=False),
    _moment("created_at", nullable=False),
    _moment("seen_at"),
)

invitations = Table(  # one-time links: the first admin's, a new user's, a new password's
    "invitations",
    metadata,
    Column("digest", String(64), primary_key=True),  # SHA-256 of what the link holds
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE")),  # null: the first user, who chooses a name
    _moment("expires_at", nullable=False),
    _moment("used_at"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", String(64), primary_key=True),  # SHA-256 of the cookie's value
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("csrf", String(64), nullable=False),
    _moment("created_at", nullable=False),
    _moment("seen_at", nullable=False),
    _moment("expires_at", nullable=False),
)

logins = Table(  # logins by an identity provider that have begun; each ends once, at any console
    "logins",
    metadata,
    Column("state", String(64), primary_key=True),  # SHA-256 of what the provider hands back
    Column("holder", String(64), nullable=False),  # SHA-256 of what only the browser that began it holds
    Column("nonce", String(64), nullable=False),
    Column("verifier", String(64), nullable=False),
    _moment("expires_at", nullable=False),
    Index("ix_logins_expires_at", "expires_at"),
)

login_attempts = Table(  # how often somebody tried to log in lately, under a name or from an address
    "login_attempts",
    metadata,
    Column("key", String(64), primary_key=True),  # SHA-256
    Column("free_at", BigInteger, nullable=False),  # when all tries are there again, in unix milliseconds
    Index("ix_login_attempts_free_at", "free_at"),
)

tokens = Table(  # for programs that use the API
    "tokens",
    metadata,
    _id(),
    Column("name", String(100), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("role", String(20), nullable=False),  # never more than the user's own
    _moment("created_at", nullable=False),
    _moment("expires_at"),
    _moment("seen_at"),
    _moment("revoked_at"),
)

audit = Table(
    "audit",
    metadata,
    _id(),
    _moment("at", nullable=False),
    Column("who", String(200), nullable=False),
    Column("did", String(60), nullable=False),
    Column("what", String(300), nullable=False),
    Column("detail", Text),
    Index("ix_audit_at", "at"),
)
