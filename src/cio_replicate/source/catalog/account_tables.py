"""What belongs to the workspace or the account as a whole: senders, content, settings, exports, suppressions."""

from __future__ import annotations

from cio_replicate.schema.table import DeclaredPartition, Table, boolean, integer, json, string, timestamp
from cio_replicate.source.catalog import shared_columns
from cio_replicate.source.catalog.shared_columns import DEDUPLICATE_ID

EXPORTS = Table(
    name="exports",
    about="Exports of people or deliveries that someone asked for, one row each.",
    operation="listExports",
    path="/v1/exports",
    replication_key="updated_at",
    columns=(
        integer("id", "The export's id."),
        DEDUPLICATE_ID,
        string("type", "What is exported: `customers` or `deliveries`."),
        string("status", "How it went: `pending`, `done` or `failed`."),
        boolean("failed", "Whether it failed, as `status` says too."),
        string("description", "What the export holds, in words."),
        integer("total", "How many rows it holds; 0 until it is done."),
        integer("downloads", "How many times its file was downloaded."),
        integer("user_id", "The account member who asked for it; null or 0 when there is none."),
        string("user_email", "The email address of that member."),
        timestamp("created_at", "When the export was asked for."),
        timestamp("updated_at", "When the export last changed."),
    ),
    notes=("Only the list of exports is copied, not the files.",),
)

SENDER_IDENTITIES = Table(
    name="sender_identities",
    about="Sender identities, the names and addresses that messages come from, hidden ones included.",
    operation="listSenders",
    path="/v1/sender_identities",
    page_size=100,
    slices=(DeclaredPartition("visible"), DeclaredPartition("hidden", query={"hidden": "true"})),
    columns=(
        integer("id", "The sender's id."),
        DEDUPLICATE_ID,
        string("name", "The name that recipients see."),
        string("email", "The sender's email address; null or empty in senders of text messages."),
        string("phone", "The sender's phone number; null or empty in senders of email."),
        string("address", "Name and address together, as they stand in the `From` of a message."),
        string("template_type", "What it sends: `email` or `phone`."),
        boolean("auto_generated", "Whether Customer.io made it by itself, instead of a person."),
        boolean("hidden", "Whether it is kept out of the choice of senders; null when not sent."),
    ),
)

REPORTING_WEBHOOKS = Table(
    name="reporting_webhooks",
    about="Reporting webhooks, which send events of deliveries to an address of yours, one row each.",
    operation="listWebhooks",
    path="/v1/reporting_webhooks",
    shape=shared_columns.webhook,
    columns=(
        integer("id", "The webhook's id."),
        string("name", "The webhook's name."),
        string("type", "What it is: `webhook` or `js`; null when not sent."),
        string(
            "endpoint", "The address that events are sent to; a user name and password in it read `***` in the copy."
        ),
        boolean("disabled", "Whether it is switched off."),
        boolean("full_resolution", "Whether it reports every open and click, and not only the first of each delivery."),
        boolean("with_content", "Whether it sends the content of messages along."),
        json("events", "The events it reports, as an array of names such as `email_sent`."),
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
    key=("name",),
    replication_key="updated_at",
    columns=(
        string("name", "The snippet's name, unique and never changed, since it has no id."),
        string("value", "The content, which may hold Liquid and HTML."),
        timestamp("updated_at", "When the snippet was last changed."),
    ),
)

IP_ADDRESSES = Table(
    name="ip_addresses",
    about="The addresses that Customer.io calls from, for your firewall, one row each.",
    operation="getCioAllowlist",
    path="/v1/info/ip_addresses",
    shape=shared_columns.ip_address,
    columns=(string("id", "The address itself."),),
)

COLLECTIONS = Table(
    name="collections",
    about="Collections, the data sets that messages can query, one row each without its content.",
    operation="getCollections",
    path="/v1/collections",
    replication_key="updated_at",
    columns=(
        integer("id", "The collection's id."),
        string("name", "The collection's name."),
        json("schema", "The top-level keys of its rows, as an array of texts."),
        integer("rows", "How many rows it holds."),
        integer("bytes", "How large it is, in bytes; Customer.io allows 10 MB."),
        timestamp("created_at", "When the collection was created."),
        timestamp("updated_at", "When the collection was last changed."),
    ),
    notes=("Only the list is copied, not the rows inside the collections.",),
)

TOPICS = Table(
    name="topics",
    about="Topics of the subscription centre, which people can subscribe to or not, one row each.",
    operation="getTopics",
    path="/v1/subscription_topics",
    columns=(
        integer("id", "The topic's id."),
        string(
            "identifier",
            "`topic_` and the id, the key under which a person's `cio_subscription_preferences` attribute names it.",
        ),
        string("name", "The topic's name, as people see it."),
        string("description", "What the topic is about, as people see it."),
        boolean("subscribed_by_default", "Whether people who have not chosen count as subscribed."),
    ),
    notes=("Empty until the first topic is created.",),
)

WORKSPACES = Table(
    name="workspaces",
    about="Workspaces of the account, one row each, with their size.",
    operation="listWorkspaces",
    path="/v1/workspaces",
    columns=(
        integer("id", "The workspace's id."),
        string("name", "The workspace's name."),
        integer("messages_sent", "Messages sent in the current billing period."),
        integer("billable_messages_sent", "Those of them that are billed, in the same billing period."),
        integer("people", "How many people it holds, up to two hours old."),
        integer("object_types", "How many object types it has, up to two hours old."),
        integer("objects", "How many objects it holds, up to two hours old."),
    ),
    notes=("Lists every workspace of the account, although a key reads the data of only one.",),
)

TYPES = Table(
    name="types",
    about="Object types, the kinds of things people relate to, such as companies, one row each.",
    operation="getObjectTypes",
    path="/v1/object_types",
    columns=(
        string("id", "The type's id, a number kept as text, counted from 1."),
        string("name", "The type's name, in the plural."),
        string("singular_name", "The type's name, in the singular."),
        string("slug", "The plural name as it is written in Liquid."),
        string("singular_slug", "The singular name as it is written in Liquid."),
        boolean("enabled", "Whether the type is switched on."),
        string("icon", "The name of the icon that Customer.io shows for it."),
    ),
    notes=("`campaigns.object_type_id` holds the same id as a number: cast one of them to join.",),
)

EPS_SUPPRESSION = Table(
    name="eps_suppression",
    about="Email addresses that the sending service no longer delivers to, one row per address, domain and list.",
    operation="getSuppressionByType",
    path="/v1/esp/suppression/{suppression_type}",
    records="suppressions",
    key_holds=("suppression_type", "domain", "email"),
    strategy="offset",
    page_size=1000,
    slices=tuple(
        DeclaredPartition(kind, path={"suppression_type": kind})
        for kind in ("bounces", "blocks", "spam_reports", "invalid_emails")
    ),
    shape=shared_columns.suppression,
    columns=(
        string("id", "List, sending domain and email address, joined by `|`; the API gives no id."),
        string("suppression_type", "The list it stands in: `bounces`, `blocks`, `spam_reports` or `invalid_emails`."),
        string("domain", "The domain that messages are sent from; null when not sent."),
        string("email", "The suppressed address."),
        timestamp("created", "When the address was suppressed."),
        string("reason", "Why, in the words of the sending service."),
        string("status", "The status code of the refusal as text, usually `550`."),
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
