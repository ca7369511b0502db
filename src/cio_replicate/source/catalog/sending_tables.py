"""What sends messages: broadcasts, transactional messages, campaigns and newsletters."""

from __future__ import annotations

from cio_replicate.schema.table import Column, ColumnType, Method, Table
from cio_replicate.source.catalog.shared_columns import ACTION_COLUMNS, CREATED_BY, DEDUPLICATE_ID, SCHEDULED, TAGS

BROADCASTS = Table(
    name="broadcasts",
    about="Broadcasts that you trigger through the API, one row each.",
    operation="listBroadcasts",
    path="/v1/broadcasts",
    records="broadcasts",
    key=("id",),
    method=Method.INCREMENTAL,
    replication_key="updated",
    start_date_column="updated",
    columns=(
        Column("id", ColumnType.INTEGER, "The broadcast's id; `messages.broadcast_id` joins to it."),
        DEDUPLICATE_ID,
        Column("name", ColumnType.STRING, "The broadcast's name."),
        Column("type", ColumnType.STRING, "The kind of broadcast, so far always `triggered_broadcast`."),
        Column("created", ColumnType.TIMESTAMP, "When the broadcast was created."),
        Column("updated", ColumnType.TIMESTAMP, "When the broadcast itself was last changed."),
        Column("active", ColumnType.BOOLEAN, "Whether the broadcast can be triggered and will send."),
        Column("state", ColumnType.STRING, "Where the broadcast stands: `running` or `draft`."),
        Column(
            "actions",
            ColumnType.JSON,
            "The steps of the broadcast, as an array of objects with `id` and `type`, either of which may be missing.",
        ),
        Column(
            "msg_template_ids",
            ColumnType.JSON,
            "The message templates, as an array of objects with `id` and `type`; deprecated in favour of `actions`.",
        ),
        Column("first_started", ColumnType.TIMESTAMP, "When the broadcast was first started; null when it never was."),
        TAGS,
        CREATED_BY,
        *SCHEDULED,
    ),
)

TRANSACTIONAL_MESSAGES = Table(
    name="transactional_messages",
    about="Transactional message templates, such as receipts and password resets, one row each.",
    operation="listTransactional",
    path="/v1/transactional",
    records="messages",
    key=("id",),
    method=Method.INCREMENTAL,
    replication_key="updated_at",
    start_date_column="updated_at",
    columns=(
        Column("id", ColumnType.INTEGER, "The message's id; `messages.transactional_message_id` joins to it."),
        Column("name", ColumnType.STRING, "The message's name."),
        Column("description", ColumnType.STRING, "What the message is for, as written in Customer.io."),
        Column(
            "trigger_name",
            ColumnType.STRING,
            "The name by which the message can be triggered instead of its id; null when it has none.",
        ),
        Column("send_to_unsubscribed", ColumnType.BOOLEAN, "Whether people who have unsubscribed receive it as well."),
        Column("link_tracking", ColumnType.BOOLEAN, "Whether clicks on its links are tracked."),
        Column("open_tracking", ColumnType.BOOLEAN, "Whether opens are tracked."),
        Column(
            "hide_message_body",
            ColumnType.BOOLEAN,
            "Whether the body of sent messages is kept out of Customer.io's delivery history.",
        ),
        Column("queue_drafts", ColumnType.BOOLEAN, "Whether messages wait as drafts instead of being sent at once."),
        Column("created_at", ColumnType.TIMESTAMP, "When the message was created."),
        Column("updated_at", ColumnType.TIMESTAMP, "When the message was last changed."),
    ),
    notes=("These are the templates; what was sent from them is in [`messages`](#messages).",),
)

CAMPAIGNS = Table(
    name="campaigns",
    about="Campaigns, the automated workflows that Customer.io also calls automations, one row each.",
    operation="listCampaigns",
    path="/v1/campaigns",
    records="campaigns",
    key=("id",),
    method=Method.INCREMENTAL,
    replication_key="updated",
    start_date_column="updated",
    columns=(
        Column("id", ColumnType.INTEGER, "The campaign's id; `messages.campaign_id` joins to it."),
        DEDUPLICATE_ID,
        Column("name", ColumnType.STRING, "The campaign's name."),
        Column("description", ColumnType.STRING, "What the campaign is for; null when nobody has written it."),
        Column(
            "type",
            ColumnType.STRING,
            "What starts it: `segment`, `event`, `form`, `date`, `relationship`, `object`, `webhook` or `seg_attr`; "
            "deprecated by Customer.io.",
        ),
        Column("created", ColumnType.TIMESTAMP, "When the campaign was created."),
        Column("updated", ColumnType.TIMESTAMP, "When the campaign itself was last changed."),
        Column("active", ColumnType.BOOLEAN, "Whether the campaign takes in people and sends."),
        Column("state", ColumnType.STRING, "Where the campaign stands: `draft`, `running` or `stopped`."),
        Column("actions", ColumnType.JSON, "The steps of the workflow, as an array of objects with `id` and `type`."),
        Column("first_started", ColumnType.TIMESTAMP, "When the campaign was first started; null when it never was."),
        TAGS,
        CREATED_BY,
        *SCHEDULED,
        Column(
            "trigger_segment_ids",
            ColumnType.JSON,
            "The segments that start it, as an array of `segments.id`; only in campaigns started by a segment.",
        ),
        Column(
            "filter_segment_ids",
            ColumnType.JSON,
            "The segments a person must also be in, as an array of `segments.id`; null in campaigns of a webhook.",
        ),
        Column(
            "msg_templates",
            ColumnType.JSON,
            "The message templates, as an array of objects with `id` and `type`; deprecated in favour of `actions`.",
        ),
        Column(
            "event_name",
            ColumnType.STRING,
            "The event that starts the campaign; null in campaigns started by anything else.",
        ),
        Column(
            "event_type",
            ColumnType.STRING,
            "The kind of event that starts the campaign; undocumented and null in most campaigns.",
        ),
        Column(
            "frequency",
            ColumnType.STRING,
            "How often a date starts it: `once`, `monthly` or `yearly`; only in campaigns started by a date.",
        ),
        Column(
            "date_attribute",
            ColumnType.STRING,
            "The attribute that holds the date; null in campaigns not started by a date.",
        ),
        Column(
            "timezone",
            ColumnType.STRING,
            "The time zone of the start, by region such as `America/New_York`; only in campaigns started by a date.",
        ),
        Column(
            "use_customer_timezone",
            ColumnType.BOOLEAN,
            "Whether the start follows each person's own time zone; only in campaigns started by a date.",
        ),
        Column(
            "start_hour",
            ColumnType.INTEGER,
            "The hour of the day at which it starts, in its time zone; only in campaigns started by a date.",
        ),
        Column(
            "start_minutes",
            ColumnType.INTEGER,
            "The minute of that hour at which it starts; only in campaigns started by a date.",
        ),
        Column(
            "object_type_id",
            ColumnType.INTEGER,
            "The object type that starts it, as a number (`types.id` holds it as text); null in campaigns of people.",
        ),
        Column(
            "filter_object_attributes",
            ColumnType.STRING,
            "Conditions on the object, as text; only in campaigns started by an object or a relationship.",
        ),
        Column(
            "filter_relationship_attributes",
            ColumnType.STRING,
            "Conditions on the relationship, as text; only in campaigns started by an object or a relationship.",
        ),
        Column(
            "audience__type",
            ColumnType.INTEGER,
            "The kind of audience, 0 or 1; only in campaigns started by an object or a relationship.",
        ),
        Column(
            "audience__person_filters",
            ColumnType.JSON,
            "Which of the related people take part, as an object or as text that holds one.",
        ),
        Column(
            "audience__relationship_filters",
            ColumnType.JSON,
            "Which relationships count, as an object or as text that holds one.",
        ),
        Column(
            "object_attribute_triggers",
            ColumnType.JSON,
            "The changes of an object that start it, as an object or as text that holds one.",
        ),
        Column(
            "relationship_attribute_triggers",
            ColumnType.JSON,
            "The changes of a relationship that start it, as an object or as text that holds one.",
        ),
        Column("webhook_id", ColumnType.INTEGER, "The incoming webhook that starts it; null in all other campaigns."),
    ),
    notes=(
        "What starts a campaign decides which columns it fills; the others are null.",
        "`updated` does not move when only one of the campaign's actions is edited.",
    ),
)

NEWSLETTERS = Table(
    name="newsletters",
    about="Newsletters, which Customer.io also calls one-time sends, one row each, sent or not.",
    operation="listNewsletters",
    path="/v1/newsletters",
    records="newsletters",
    key=("id",),
    method=Method.INCREMENTAL,
    replication_key="updated",
    start_date_column="updated",
    page_size=100,
    columns=(
        Column("id", ColumnType.INTEGER, "The newsletter's id; `messages.newsletter_id` joins to it."),
        DEDUPLICATE_ID,
        Column(
            "content_ids",
            ColumnType.JSON,
            "The versions of its content (languages and test variants), as an array of ids; "
            "`messages.content_id` holds one of them.",
        ),
        Column("name", ColumnType.STRING, "The newsletter's name."),
        Column("sent_at", ColumnType.TIMESTAMP, "When it was sent; null until then."),
        Column("created", ColumnType.TIMESTAMP, "When the newsletter was created."),
        Column("updated", ColumnType.TIMESTAMP, "When the newsletter was last changed."),
        Column(
            "type",
            ColumnType.STRING,
            "The channel: `email`, `webhook`, `twilio` (SMS), `slack`, `push`, `in_app` or `inbox`.",
        ),
        TAGS,
        Column("recipient_segment_ids", ColumnType.JSON, "The segments it is sent to, as an array of `segments.id`."),
        Column(
            "subscription_topic_id",
            ColumnType.INTEGER,
            "The subscription topic it belongs to, a `topics.id`; null when it belongs to none.",
        ),
    ),
)

CAMPAIGN_ACTIONS = Table(
    name="campaign_actions",
    about="The actions of campaigns that have content, one row each: emails, SMS, push notifications, webhooks.",
    operation="listCampaignActions",
    path="/v1/campaigns/{campaign_id}/actions",
    records="actions",
    key=("campaign_id", "id"),
    method=Method.FULL,
    strategy="children",
    parent=CAMPAIGNS,
    columns=(
        Column("id", ColumnType.INTEGER, "The action's id; `messages.action_id` joins to it."),
        Column("campaign_id", ColumnType.INTEGER, "The campaign it belongs to, a `campaigns.id`."),
        Column("broadcast_id", ColumnType.INTEGER, "Documented, but null in actions of campaigns."),
        *ACTION_COLUMNS,
        Column("parent_action_id", ColumnType.INTEGER, "The action that it is a variant of; null in most actions."),
    ),
    notes=(
        "Delays, branches and other steps without content are not listed; `campaigns.actions` has their ids.",
        "Ids often come as text; they are numbers here, and the text as received is in `_cio_extra`.",
        "A campaign's `updated` does not move with its actions, so those of all campaigns are read in every run.",
    ),
)

BROADCAST_ACTIONS = Table(
    name="broadcast_actions",
    about="The actions of broadcasts, one row for each language of each.",
    operation="broadcastActions",
    path="/v1/broadcasts/{broadcast_id}/actions",
    records="actions",
    key=("broadcast_id", "id"),
    method=Method.FULL,
    strategy="children",
    parent=BROADCASTS,
    columns=(
        Column("id", ColumnType.INTEGER, "The action's id; `messages.action_id` joins to it."),
        Column("broadcast_id", ColumnType.INTEGER, "The broadcast it belongs to, a `broadcasts.id`."),
        *ACTION_COLUMNS,
        Column(
            "multi_language_branch_action_id",
            ColumnType.INTEGER,
            "What the actions of one message in several languages have in common; undocumented.",
        ),
    ),
    notes=("Ids often come as text; they are numbers here, and the text as received is in `_cio_extra`.",),
)
