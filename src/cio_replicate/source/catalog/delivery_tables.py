"""What happened: messages, each a delivery to one person, and the log of activities."""

from __future__ import annotations

from cio_replicate.schema.table import DeclaredPartition, Table, boolean, integer, json, string, timestamp
from cio_replicate.source.catalog.shared_columns import DEDUPLICATE_ID, person_identifiers

#: The moments of a delivery: the API's name, and what happened then.
_METRICS = (
    ("created", "the delivery was created"),
    ("drafted", "it was put aside as a draft, to be sent by hand"),
    ("attempted", "the provider refused it for the time being, to be tried again"),
    ("sent", "it was handed to the provider"),
    ("delivered", "the provider reported it as delivered"),
    ("secondary:delivered", "a delivery that Customer.io calls secondary was reported (undocumented)"),
    ("opened", "it was opened, by a person or by a machine"),
    ("human_opened", "a person opened it, machines left out (recorded since 20 March 2025)"),
    ("prefetch_opened", "a mail program fetched it ahead of the reader"),
    ("clicked", "a link in it was clicked, by a person or by a machine"),
    ("human_clicked", "a person clicked a link in it, machines left out (recorded since 20 April 2025)"),
    ("prefetch_clicked", "a machine followed a link in it"),
    ("converted", "the recipient reached the goal, which counts for up to 90 days"),
    ("replied", "the recipient answered it (SMS and WhatsApp)"),
    ("bounced", "the recipient's provider refused it for good"),
    ("dropped", "it was dropped because the recipient is suppressed"),
    ("failed", "sending it failed"),
    ("undeliverable", "it was given up: a message limit, a cancelled newsletter or a disabled delivery"),
    ("spammed", "the recipient marked it as spam"),
    ("unsubscribed", "the recipient unsubscribed through it"),
)

MESSAGES = Table(
    name="messages",
    about="Deliveries: one row per message to one person, on any channel, with the moments it reached.",
    operation="listMessages",
    path="/v1/messages",
    strategy="windows",
    partitioned_by="created",
    page_size=1000,
    start_date_column="created",
    absence_deletes=False,
    person="customer_identifiers__cio_id",
    columns=(
        string("id", "The delivery's id; `activities.delivery_id` joins to it."),
        DEDUPLICATE_ID,
        string(
            "type",
            "The channel: `email`, `webhook`, `twilio` (SMS), `slack`, `push`, `in_app`, `whatsapp` or "
            "`live_notification`.",
        ),
        timestamp("created", "When the delivery was created, which can be well before it is sent."),
        string(
            "customer_id",
            "The id you gave the person; null when you gave none or the person was deleted.",
            personal=True,
            identifies=True,
        ),
        *person_identifiers("customer_identifiers"),
        string(
            "recipient",
            "Where it went: an email address, a phone number, a device or whatever else the channel needs.",
            personal=True,
            identifies=True,
        ),
        string("subject", "The subject as sent; null or empty on channels without one.", personal=True),
        *(
            timestamp(f"metrics__{name.replace(':', '_')}", f"When {happened}; null until then.", ("metrics", name))
            for name, happened in _METRICS
        ),
        string("failure_message", "Why it failed, in the provider's words; null when it did not.", personal=True),
        integer("campaign_id", "The campaign it belongs to, a `campaigns.id`; null when it has none."),
        integer(
            "action_id",
            "The step of the campaign or broadcast that sent it; null in newsletters and transactional messages.",
        ),
        integer("parent_action_id", "The split test above that step; null when the step stands in none."),
        integer("broadcast_id", "The broadcast it belongs to, a `broadcasts.id`; null when it has none."),
        integer("newsletter_id", "The newsletter it belongs to, a `newsletters.id`; null when it has none."),
        integer(
            "content_id",
            "The version of the newsletter's content, one of `newsletters.content_ids`; null outside newsletters.",
        ),
        integer(
            "transactional_message_id",
            "The transactional message it was sent from, a `transactional_messages.id`; null when it has none.",
        ),
        string("trigger_event_id", "The event that started the campaign for this person; null when no event did."),
        integer("msg_template_id", "The template's id, under the name the API uses; deprecated by it."),
        integer(
            "message_template_id",
            "The template's id, under the name the API documents; usually null, see `msg_template_id`.",
        ),
        boolean("forgotten", "Whether Customer.io no longer keeps the content of the message."),
    ),
    notes=(
        (
            "A delivery is not final when it is first read: it is delivered hours later, converts for 90 days, and is "
            "opened and clicked for six months. So later runs read those of the last 30 days again (`--recent-days`), "
            "and older ones when they get 30, 60, 90 and 180 days old. What changes after that is seen by "
            "`--full-refresh messages` only."
        ),
        (
            "At most one of `campaign_id`, `broadcast_id`, `newsletter_id` and `transactional_message_id` is filled, "
            "by all that is known."
        ),
        "Messages that wait as drafts are not listed.",
        (
            "Once a person is suppressed in Customer.io, its deliveries become anonymous there; a row copied before "
            "that keeps the address until it is read again."
        ),
    ),
)

ACTIVITIES = Table(
    name="activities",
    about="The activity log: one row per event, attribute change, delivery step or other thing that happened.",
    operation="listActivities",
    path="/v1/activities",
    page_size=100,
    slices=(
        DeclaredPartition("with deleted", query={"deleted": "true"}),
        DeclaredPartition("default", covered_by="with deleted"),
    ),
    start_date_column="timestamp",
    absence_deletes=False,
    person="customer_identifiers__cio_id",
    strategy="log",
    partitioned_by="timestamp",
    retention_days=30,
    columns=(
        string("id", "The activity's id."),
        string(
            "type",
            "What happened, such as `event`, `page`, `attribute_change`, `profile_merge`, `sent_email`, or "
            "`_o:1:create` for objects of type 1.",
        ),
        timestamp(
            "timestamp",
            "When it happened, which for a back-dated event is earlier than when Customer.io learned of it.",
        ),
        string("name", "The name of the event or screen; null in activities of other types.", personal=True),
        string("url", "The address of the page viewed; null in activities of other types.", personal=True),
        string(
            "customer_id",
            "The id you gave the person; null when you gave none or the activity concerns no person.",
            personal=True,
            identifies=True,
        ),
        *person_identifiers("customer_identifiers"),
        json(
            "data",
            "What there is to know about it, as an object whose keys depend on `type`: the body of an event, `from` "
            "and `to` of each changed attribute.",
            personal=True,
        ),
        string("delivery_id", "The delivery it concerns, a `messages.id`; null when it concerns none."),
        string(
            "delivery_type",
            "What the delivery went to: `email`, `phone`, `ios` or `android`; null when it concerns no delivery.",
        ),
    ),
    notes=(
        (
            "Everything once read is kept, so the copy grows older than the source. A gap between two runs that is "
            "longer than the source keeps its log is a gap in the copy."
        ),
        (
            "Later runs read back to a day before the last run. Entries can be back-dated further, so the log is read "
            "to its end every 7 days (`--full-every`), and the run says how many of those it found."
        ),
        "The log takes 100 rows a request: a million activities are 10,000 requests, about 17 minutes at full speed.",
        "Activities of deleted people are read too.",
    ),
)
