"""What belongs to the workspace or the account as a whole: senders, content, settings, exports, suppressions."""

from __future__ import annotations

from cio_replicate.schema.table import Column, ColumnType, DeclaredPartition, Method, Table
from cio_replicate.source.catalog import shared_columns
from cio_replicate.source.catalog.shared_columns import DEDUPLICATE_ID

EXPORTS = Table(
    name="exports",
    about="Exports of people or deliveries that someone asked for, one row each.",
    operation="listExports",
    path="/v1/exports",
    records="exports",
    key=("id",),
    method=Method.INCREMENTAL,
    replication_key="updated_at",
    start_date_column="updated_at",
    columns=(
        Column("id", ColumnType.INTEGER, "The export's id."),
        DEDUPLICATE_ID,
        Column("type", ColumnType.STRING, "What is exported: `customers` or `deliveries`."),
        Column("status", ColumnType.STRING, "How it went: `pending`, `done` or `failed`."),
        Column("failed", ColumnType.BOOLEAN, "Whether it failed, as `status` says too."),
        Column("description", ColumnType.STRING, "What the export holds, in words."),
        Column("total", ColumnType.INTEGER, "How many rows it holds; 0 until it is done."),
        Column("downloads", ColumnType.INTEGER, "How many times its file was downloaded."),
        Column("user_id", ColumnType.INTEGER, "The account member who asked for it; null or 0 when there is none."),
        Column("user_email", ColumnType.STRING, "The email address of that member."),
        Column("created_at", ColumnType.TIMESTAMP, "When the export was asked for."),
        Column("updated_at", ColumnType.TIMESTAMP, "When the export last changed."),
    ),
    notes=("Only the list of exports is copied, not the files.",),
)

SENDER_IDENTITIES = Table(
    name="sender_identities",
    about="Sender identities, the names and addresses that messages come from, hidden ones included.",
    operation="listSenders",
    path="/v1/sender_identities",
    records="sender_identities",
    key=("id",),
    method=Method.FULL,
    page_size=100,
    slices=(DeclaredPartition("visible"), DeclaredPartition("hidden", query={"hidden": "true"})),
    columns=(
        Column("id", ColumnType.INTEGER, "The sender's id."),
        DEDUPLICATE_ID,
        Column("name", ColumnType.STRING, "The name that recipients see."),
        Column("email", ColumnType.STRING, "The sender's email address; null or empty in senders of text messages."),
        Column("phone", ColumnType.STRING, "The sender's phone number; null or empty in senders of email."),
        Column("address", ColumnType.STRING, "Name and address together, as they stand in the `From` of a message."),
        Column("template_type", ColumnType.STRING, "What it sends: `email` or `phone`."),
        Column(
            "auto_generated",
            ColumnType.BOOLEAN,
            "Whether Customer.io made it by itself, instead of a person.",
        ),
        Column("hidden", ColumnType.BOOLEAN, "Whether it is kept out of the choice of senders; null when not sent."),
    ),
)

REPORTING_WEBHOOKS = Table(
    name="reporting_webhooks",
    about="Reporting webhooks, which send events of deliveries to an address of yours, one row each.",
    operation="listWebhooks",
    path="/v1/reporting_webhooks",
    records="reporting_webhooks",
    key=("id",),
    method=Method.FULL,
    shape=shared_columns.webhook,
    columns=(
        Column("id", ColumnType.INTEGER, "The webhook's id."),
        Column("name", ColumnType.STRING, "The webhook's name."),
        Column("type", ColumnType.STRING, "What it is: `webhook` or `js`; null when not sent."),
        Column(
            "endpoint",
            ColumnType.STRING,
            "The address that events are sent to; a user name and password in it read `***` in the copy.",
        ),
        Column("disabled", ColumnType.BOOLEAN, "Whether it is switched off."),
        Column(
            "full_resolution",
            ColumnType.BOOLEAN,
            "Whether it reports every open and click, and not only the first of each delivery.",
        ),
        Column("with_content", ColumnType.BOOLEAN, "Whether it sends the content of messages along."),
        Column("events", ColumnType.JSON, "The events it reports, as an array of names such as `email_sent`."),
    ),
    notes=(
        "A user name and password in the address are masked before anything is written.",
        "A token elsewhere in the address, such as `?token=…`, is copied as it stands.",
    ),
)

SNIPPETS = Table(
    name="snippets",
    about="Snippets, pieces of content that messages share, one row each.",
    operation="listSnippets",
    path="/v1/snippets",
    records="snippets",
    key=("name",),
    method=Method.INCREMENTAL,
    replication_key="updated_at",
    start_date_column="updated_at",
    columns=(
        Column("name", ColumnType.STRING, "The snippet's name, unique and never changed, since it has no id."),
        Column("value", ColumnType.STRING, "The content, which may hold Liquid and HTML."),
        Column("updated_at", ColumnType.TIMESTAMP, "When the snippet was last changed."),
    ),
)

IP_ADDRESSES = Table(
    name="ip_addresses",
    about="The addresses that Customer.io calls from, for your firewall, one row each.",
    operation="getCioAllowlist",
    path="/v1/info/ip_addresses",
    records="ip_addresses",
    key=("id",),
    method=Method.FULL,
    shape=shared_columns.ip_address,
    columns=(Column("id", ColumnType.STRING, "The address itself."),),
)

COLLECTIONS = Table(
    name="collections",
    about="Collections, the data sets that messages can query, one row each without its content.",
    operation="getCollections",
    path="/v1/collections",
    records="collections",
    key=("id",),
    method=Method.INCREMENTAL,
    replication_key="updated_at",
    start_date_column="updated_at",
    columns=(
        Column("id", ColumnType.INTEGER, "The collection's id."),
        Column("name", ColumnType.STRING, "The collection's name."),
        Column("schema", ColumnType.JSON, "The top-level keys of its rows, as an array of texts."),
        Column("rows", ColumnType.INTEGER, "How many rows it holds."),
        Column("bytes", ColumnType.INTEGER, "How large it is, in bytes; Customer.io allows 10 MB."),
        Column("created_at", ColumnType.TIMESTAMP, "When the collection was created."),
        Column("updated_at", ColumnType.TIMESTAMP, "When the collection was last changed."),
    ),
    notes=("Only the list is copied, not the rows inside the collections.",),
)

TOPICS = Table(
    name="topics",
    about="Topics of the subscription centre, which people can subscribe to or not, one row each.",
    operation="getTopics",
    path="/v1/subscription_topics",
    records="topics",
    key=("id",),
    method=Method.FULL,
    columns=(
        Column("id", ColumnType.INTEGER, "The topic's id."),
        Column(
            "identifier",
            ColumnType.STRING,
            "`topic_` and the id, the key under which a person's `cio_subscription_preferences` attribute names it.",
        ),
        Column("name", ColumnType.STRING, "The topic's name, as people see it."),
        Column("description", ColumnType.STRING, "What the topic is about, as people see it."),
        Column(
            "subscribed_by_default",
            ColumnType.BOOLEAN,
            "Whether people who have not chosen count as subscribed.",
        ),
    ),
    notes=("Empty until the first topic is created.",),
)

WORKSPACES = Table(
    name="workspaces",
    about="Workspaces of the account, one row each, with their size.",
    operation="listWorkspaces",
    path="/v1/workspaces",
    records="workspaces",
    key=("id",),
    method=Method.FULL,
    columns=(
        Column("id", ColumnType.INTEGER, "The workspace's id."),
        Column("name", ColumnType.STRING, "The workspace's name."),
        Column("messages_sent", ColumnType.INTEGER, "Messages sent in the current billing period."),
        Column(
            "billable_messages_sent", ColumnType.INTEGER, "Those of them that are billed, in the same billing period."
        ),
        Column("people", ColumnType.INTEGER, "How many people it holds, up to two hours old."),
        Column("object_types", ColumnType.INTEGER, "How many object types it has, up to two hours old."),
        Column("objects", ColumnType.INTEGER, "How many objects it holds, up to two hours old."),
    ),
    notes=("Lists every workspace of the account, although a key reads the data of only one.",),
)

TYPES = Table(
    name="types",
    about="Object types, the kinds of things people relate to, such as companies, one row each.",
    operation="getObjectTypes",
    path="/v1/object_types",
    records="types",
    key=("id",),
    method=Method.FULL,
    columns=(
        Column("id", ColumnType.STRING, "The type's id, a number kept as text, counted from 1."),
        Column("name", ColumnType.STRING, "The type's name, in the plural."),
        Column("singular_name", ColumnType.STRING, "The type's name, in the singular."),
        Column("slug", ColumnType.STRING, "The plural name as it is written in Liquid."),
        Column("singular_slug", ColumnType.STRING, "The singular name as it is written in Liquid."),
        Column("enabled", ColumnType.BOOLEAN, "Whether the type is switched on."),
        Column("icon", ColumnType.STRING, "The name of the icon that Customer.io shows for it."),
    ),
    notes=("`campaigns.object_type_id` holds the same id as a number: cast one of them to join.",),
)

EPS_SUPPRESSION = Table(
    name="eps_suppression",
    about="Email addresses that the sending service no longer delivers to, one row per address, domain and list.",
    operation="getSuppressionByType",
    path="/v1/esp/suppression/{suppression_type}",
    records="suppressions",
    key=("id",),
    key_holds=("suppression_type", "domain", "email"),
    method=Method.FULL,
    strategy="offset",
    page_size=1000,
    slices=tuple(
        DeclaredPartition(kind, path={"suppression_type": kind})
        for kind in ("bounces", "blocks", "spam_reports", "invalid_emails")
    ),
    shape=shared_columns.suppression,
    columns=(
        Column("id", ColumnType.STRING, "List, sending domain and email address, joined by `|`; the API gives no id."),
        Column(
            "suppression_type",
            ColumnType.STRING,
            "The list it stands in: `bounces`, `blocks`, `spam_reports` or `invalid_emails`.",
        ),
        Column("domain", ColumnType.STRING, "The domain that messages are sent from; null when not sent."),
        Column("email", ColumnType.STRING, "The suppressed address."),
        Column("created", ColumnType.TIMESTAMP, "When the address was suppressed."),
        Column("reason", ColumnType.STRING, "Why, in the words of the sending service."),
        Column("status", ColumnType.STRING, "The status code of the refusal as text, usually `550`."),
    ),
    notes=(
        (
            "Kept per sending domain and shared by all workspaces that send from it, so a small workspace can have a "
            "long list, and an address can stand in it once per domain."
        ),
        (
            "Only for accounts that send through Customer.io's own service. Not the same as people who are suppressed "
            "in Customer.io."
        ),
    ),
)
