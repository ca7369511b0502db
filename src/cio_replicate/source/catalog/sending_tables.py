"""What sends messages: broadcasts, transactional messages, campaigns and newsletters."""

from __future__ import annotations

from cio_replicate.schema.table import Table, boolean, integer, json, string, timestamp
from cio_replicate.source.catalog.shared_columns import ACTION_COLUMNS, CREATED_BY, DEDUPLICATE_ID, SCHEDULED, TAGS

BROADCASTS = Table(
    name="broadcasts",
    about="Broadcasts that you trigger through the API, one row each.",
    operation="listBroadcasts",
    path="/v1/broadcasts",
    replication_key="updated",
    columns=(
        integer("id", "The broadcast's id; `messages.broadcast_id` joins to it."),
        DEDUPLICATE_ID,
        string("name", "The broadcast's name."),
        string("type", "The kind of broadcast, so far always `triggered_broadcast`."),
        timestamp("created", "When the broadcast was created."),
        timestamp("updated", "When the broadcast itself was last changed."),
        boolean("active", "Whether the broadcast can be triggered and will send."),
        string("state", "Where the broadcast stands: `running` or `draft`."),
        json(
            "actions",
            "The steps of the broadcast, as an array of objects with `id` and `type`, either of which may be missing.",
        ),
        json(
            "msg_template_ids",
            "The message templates, as an array of objects with `id` and `type`; deprecated in favour of `actions`.",
        ),
        timestamp("first_started", "When the broadcast was first started; null when it never was."),
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
    replication_key="updated_at",
    columns=(
        integer("id", "The message's id; `messages.transactional_message_id` joins to it."),
        string("name", "The message's name."),
        string("description", "What the message is for, as written in Customer.io."),
        string(
            "trigger_name", "The name by which the message can be triggered instead of its id; null when it has none."
        ),
        boolean("send_to_unsubscribed", "Whether people who have unsubscribed receive it as well."),
        boolean("link_tracking", "Whether clicks on its links are tracked."),
        boolean("open_tracking", "Whether opens are tracked."),
        boolean(
            "hide_message_body", "Whether the body of sent messages is kept out of Customer.io's delivery history."
        ),
        boolean("queue_drafts", "Whether messages wait as drafts instead of being sent at once."),
        timestamp("created_at", "When the message was created."),
        timestamp("updated_at", "When the message was last changed."),
    ),
    notes=("These are the templates; what was sent from them is in [`messages`](#messages).",),
)

CAMPAIGNS = Table(
    name="campaigns",
    about="Campaigns, the automated workflows that Customer.io also calls automations, one row each.",
    operation="listCampaigns",
    path="/v1/campaigns",
    replication_key="updated",
    columns=(
        integer("id", "The campaign's id; `messages.campaign_id` joins to it."),
        DEDUPLICATE_ID,
        string("name", "The campaign's name."),
        string("description", "What the campaign is for; null when nobody has written it."),
        string(
            "type",
            "What starts it: `segment`, `event`, `form`, `date`, `relationship`, `object`, `webhook` or `seg_attr`; "
            "deprecated by Customer.io.",
        ),
        timestamp("created", "When the campaign was created."),
        timestamp("updated", "When the campaign itself was last changed."),
        boolean("active", "Whether the campaign takes in people and sends."),
        string("state", "Where the campaign stands: `draft`, `running` or `stopped`."),
        json("actions", "The steps of the workflow, as an array of objects with `id` and `type`."),
        timestamp("first_started", "When the campaign was first started; null when it never was."),
        TAGS,
        CREATED_BY,
        *SCHEDULED,
        json(
            "trigger_segment_ids",
            "The segments that start it, as an array of `segments.id`; only in campaigns started by a segment.",
        ),
        json(
            "filter_segment_ids",
            "The segments a person must also be in, as an array of `segments.id`; null in campaigns of a webhook.",
        ),
        json(
            "msg_templates",
            "The message templates, as an array of objects with `id` and `type`; deprecated in favour of `actions`.",
        ),
        string("event_name", "The event that starts the campaign; null in campaigns started by anything else."),
        string("event_type", "The kind of event that starts the campaign; undocumented and null in most campaigns."),
        string(
            "frequency",
            "How often a date starts it: `once`, `monthly` or `yearly`; only in campaigns started by a date.",
        ),
        string("date_attribute", "The attribute that holds the date; null in campaigns not started by a date."),
        string(
            "timezone",
            "The time zone of the start, by region such as `America/New_York`; only in campaigns started by a date.",
        ),
        boolean(
            "use_customer_timezone",
            "Whether the start follows each person's own time zone; only in campaigns started by a date.",
        ),
        integer(
            "start_hour",
            "The hour of the day at which it starts, in its time zone; only in campaigns started by a date.",
        ),
        integer("start_minutes", "The minute of that hour at which it starts; only in campaigns started by a date."),
        integer(
            "object_type_id",
            "The object type that starts it, as a number (`types.id` holds it as text); null in campaigns of people.",
        ),
        string(
            "filter_object_attributes",
            "Conditions on the object, as text; only in campaigns started by an object or a relationship.",
        ),
        string(
            "filter_relationship_attributes",
            "Conditions on the relationship, as text; only in campaigns started by an object or a relationship.",
        ),
        integer(
            "audience__type", "The kind of audience, 0 or 1; only in campaigns started by an object or a relationship."
        ),
        json(
            "audience__person_filters", "Which of the related people take part, as an object or as text that holds one."
        ),
        json("audience__relationship_filters", "Which relationships count, as an object or as text that holds one."),
        json(
            "object_attribute_triggers",
            "The changes of an object that start it, as an object or as text that holds one.",
        ),
        json(
            "relationship_attribute_triggers",
            "The changes of a relationship that start it, as an object or as text that holds one.",
        ),
        integer("webhook_id", "The incoming webhook that starts it; null in all other campaigns."),
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
    replication_key="updated",
    page_size=100,
    columns=(
        integer("id", "The newsletter's id; `messages.newsletter_id` joins to it."),
        DEDUPLICATE_ID,
        json(
            "content_ids",
            "The versions of its content (languages and test variants), as an array of ids; "
            "`messages.content_id` holds one of them.",
        ),
        string("name", "The newsletter's name."),
        timestamp("sent_at", "When it was sent; null until then."),
        timestamp("created", "When the newsletter was created."),
        timestamp("updated", "When the newsletter was last changed."),
        string("type", "The channel: `email`, `webhook`, `twilio` (SMS), `slack`, `push`, `in_app` or `inbox`."),
        TAGS,
        json("recipient_segment_ids", "The segments it is sent to, as an array of `segments.id`."),
        integer(
            "subscription_topic_id",
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
    strategy="children",
    parent=CAMPAIGNS,
    columns=(
        integer("id", "The action's id; `messages.action_id` joins to it."),
        integer("campaign_id", "The campaign it belongs to, a `campaigns.id`."),
        integer("broadcast_id", "Documented, but null in actions of campaigns."),
        *ACTION_COLUMNS,
        integer("parent_action_id", "The action that it is a variant of; null in most actions."),
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
    strategy="children",
    parent=BROADCASTS,
    columns=(
        integer("id", "The action's id; `messages.action_id` joins to it."),
        integer("broadcast_id", "The broadcast it belongs to, a `broadcasts.id`."),
        *ACTION_COLUMNS,
        integer(
            "multi_language_branch_action_id",
            "What the actions of one message in several languages have in common; undocumented.",
        ),
    ),
    notes=("Ids often come as text; they are numbers here, and the text as received is in `_cio_extra`.",),
)
