"""The one list of everything served: routing, parameter checks and the published document all derive from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from . import log_reading as log
from . import people_reading as people
from . import reading
from .asking import Param
from .reading import Read
from .schemas import record_schema
from .spec import SUPPRESSION_TYPES

_CHANNELS = ("email", "webhook", "twilio", "slack", "push", "in_app", "whatsapp", "live_notification")
_METRICS = (
    "attempted", "sent", "delivered", "opened", "clicked", "converted", "bounced", "spammed", "unsubscribed",
    "dropped", "failed", "undeliverable",
)  # fmt: skip
_START = Param("start")
_SORT = Param("sort", enum=("asc", "desc"))
_ID_TYPE = Param("id_type", enum=("id", "email", "cio_id"))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation of the API.

    `table` is the replicated table it feeds (what a key's scope allows or denies). `key` holds the data (None:
    unwrapped), `record` names the schema of what is there, `siblings` the fields beside it. `many` tells a list.
    """

    operation: str
    method: Literal["GET", "POST"]
    path: str
    table: str
    read: Read
    key: str | None
    record: str
    many: bool = True
    nullable: bool = False
    siblings: tuple[str, ...] = ()
    path_params: tuple[Param, ...] = ()
    params: tuple[Param, ...] = ()
    body: Literal["filter", "ids"] | None = None


def _limit(default: int, maximum: int) -> Param:
    return Param("limit", "integer", default, 1, maximum)


def _list(operation: str, path: str, table: str, key: str, *, null_when_empty: bool = False) -> Endpoint:
    read = reading.whole(table, key, null_when_empty=null_when_empty)
    return Endpoint(operation, "GET", path, table, read, key, table, nullable=null_when_empty)


def _single(operation: str, path: str, table: str, key: str, parameter: str) -> Endpoint:
    read = reading.one(table, key, parameter)
    return Endpoint(
        operation, "GET", path, table, read, key, table, many=False, path_params=(Param(parameter, "integer"),)
    )


def _activity_types() -> tuple[str, ...]:
    return tuple(record_schema("activities")["properties"]["type"]["enum"])


ENDPOINTS: tuple[Endpoint, ...] = (
    _list("listBroadcasts", "/v1/broadcasts", "broadcasts", "broadcasts"),
    _single("getBroadcast", "/v1/broadcasts/{broadcast_id}", "broadcasts", "broadcast", "broadcast_id"),
    _list("listTransactional", "/v1/transactional", "transactional_messages", "messages"),
    _single("getTransactional", "/v1/transactional/{transactional_id}", "transactional_messages", "message",
            "transactional_id"),
    _list("listCampaigns", "/v1/campaigns", "campaigns", "campaigns"),
    _single("getCampaigns", "/v1/campaigns/{campaign_id}", "campaigns", "campaign", "campaign_id"),
    Endpoint("listCampaignActions", "GET", "/v1/campaigns/{campaign_id}/actions", "campaign_actions",
             reading.campaign_actions, "actions", "campaign_actions", siblings=("next",),
             path_params=(Param("campaign_id", "integer"),), params=(_START,)),
    Endpoint("broadcastActions", "GET", "/v1/broadcasts/{broadcast_id}/actions", "broadcast_actions",
             reading.broadcast_actions, "actions", "broadcast_actions",
             path_params=(Param("broadcast_id", "integer"),)),
    Endpoint("listNewsletters", "GET", "/v1/newsletters", "newsletters", reading.newsletters, "newsletters",
             "newsletters", siblings=("next",), params=(_START, _limit(50, 100), _SORT)),
    _single("getNewsletters", "/v1/newsletters/{newsletter_id}", "newsletters", "newsletter", "newsletter_id"),
    Endpoint("listMessages", "GET", "/v1/messages", "messages", log.deliveries, "messages", "messages",
             siblings=("next",),
             params=(_START, _limit(50, 1000),
                     Param("start_ts", "integer", minimum=0), Param("end_ts", "integer", minimum=0),
                     Param("type", enum=_CHANNELS), Param("metric", enum=_METRICS), Param("campaign_id", "integer"),
                     Param("newsletter_id", "integer"), Param("action_id", "integer"),
                     Param("drafts", "boolean", default=False))),
    Endpoint("getMessage", "GET", "/v1/messages/{message_id}", "messages", log.delivery, "message", "messages",
             many=False, path_params=(Param("message_id"),)),
    _list("listSegments", "/v1/segments", "segments", "segments"),
    _single("getSegment", "/v1/segments/{segment_id}", "segments", "segment", "segment_id"),
    Endpoint("getSegmentMembership", "GET", "/v1/segments/{segment_id}/membership", "segments", people.membership,
             "identifiers", "identifiers", siblings=("ids", "next", "segment_id"),
             path_params=(Param("segment_id", "integer"),), params=(_START, _limit(1000, 30_000))),
    Endpoint("getSegmentCount", "GET", "/v1/segments/{segment_id}/customer_count", "segments", people.segment_count,
             None, "segment_count", many=False, path_params=(Param("segment_id", "integer"),)),
    Endpoint("getPeopleFilter", "POST", "/v1/customers", "customers", people.search, "identifiers", "identifiers",
             siblings=("ids", "next"), params=(_START, _limit(50, 1000)), body="filter"),
    Endpoint("getPeopleById", "POST", "/v1/customers/attributes", "customers", people.attributes_of_many, "customers",
             "customers", params=(_ID_TYPE,), body="ids"),
    Endpoint("getPersonAttributes", "GET", "/v1/customers/{customer_id}/attributes", "customers",
             people.attributes_of_one, "customer", "customers", many=False, path_params=(Param("customer_id"),),
             params=(_ID_TYPE,)),
    Endpoint("listActivities", "GET", "/v1/activities", "activities", log.activities, "activities", "activities",
             siblings=("next",),
             params=(_START, _limit(10, 100), Param("type", enum=_activity_types()), Param("name"),
                     Param("deleted", "boolean", default=False), Param("customer_id"), _ID_TYPE)),
    Endpoint("listSenders", "GET", "/v1/sender_identities", "sender_identities", reading.senders, "sender_identities",
             "sender_identities", siblings=("next",),
             params=(_START, _limit(50, 1000), _SORT, Param("hidden", "boolean", default=False))),
    _single("getSender", "/v1/sender_identities/{sender_id}", "sender_identities", "sender_identity", "sender_id"),
    _list("listWebhooks", "/v1/reporting_webhooks", "reporting_webhooks", "reporting_webhooks"),
    _list("listSnippets", "/v1/snippets", "snippets", "snippets"),
    _list("getCioAllowlist", "/v1/info/ip_addresses", "ip_addresses", "ip_addresses"),
    _list("getCollections", "/v1/collections", "collections", "collections"),
    _single("getCollection", "/v1/collections/{collection_id}", "collections", "collection", "collection_id"),
    _list("getTopics", "/v1/subscription_topics", "topics", "topics"),
    _list("listWorkspaces", "/v1/workspaces", "workspaces", "workspaces"),
    _list("getObjectTypes", "/v1/object_types", "types", "types"),
    _list("listExports", "/v1/exports", "exports", "exports", null_when_empty=True),
    _single("getExport", "/v1/exports/{export_id}", "exports", "export", "export_id"),
    Endpoint("getSuppressionByType", "GET", "/v1/esp/suppression/{suppression_type}", "eps_suppression",
             reading.suppressions, "suppressions", "eps_suppression", nullable=True, siblings=("category",),
             path_params=(Param("suppression_type", enum=SUPPRESSION_TYPES),),
             params=(_limit(100, 1000), Param("offset", "integer", 0, 0), Param("domain"))),
    Endpoint("getSuppression", "GET", "/v1/esp/search_suppression/{email_address}", "eps_suppression",
             reading.search_suppression, "suppressions", "eps_suppression", nullable=True, siblings=("category",),
             path_params=(Param("email_address"),)),
)  # fmt: skip
