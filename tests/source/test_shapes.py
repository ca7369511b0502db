"""Items of lists that are not records of rows yet."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cio_replicate.schema.table import DeclaredPartition, Shape
from cio_replicate.source.catalog import shared_columns

ALL = DeclaredPartition()
BOUNCES = DeclaredPartition("bounces", path={"suppression_type": "bounces"})


def shaped(shape: Shape, item: object, part: DeclaredPartition = ALL) -> Any:
    """What the shape makes of this item, decoded."""
    return msgspec.json.decode(shape(msgspec.Raw(msgspec.json.encode(item)), part))


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("https://ann:secret@example.com/hook", "https://***@example.com/hook"),
        ("https://token@example.com", "https://***@example.com"),
        ("https://:secret@example.com:8443/?a=b#c", "https://***@example.com:8443/?a=b#c"),
        ("https://ann:secret@[2001:db8::1]:8443/", "https://***@[2001:db8::1]:8443/"),
        ("//ann:secret@example.com/hook", "//***@example.com/hook"),
        ("ann:secret@example.com/hook", "***@example.com/hook"),
        ("https:ann:secret@example.com", "***@example.com"),
        ("https:\\\\ann:secret@example.com", "https:\\\\***@example.com"),
        ("\n https://ann:secret@example.com", "\n https://***@example.com"),
        ("https://ann:sec@ret@example.com/x@y", "https://***@example.com/x@y"),
        ("https://ann:secret＠example.com/", "https://***@example.com/"),
        ("https://ann:secret@[broken/", "https://***@[broken/"),
    ],
)
def test_credentials_are_masked(address: str, masked: str) -> None:
    """What stands before the `@` of an address's host is masked, and the rest stays as it is."""
    assert shared_columns.mask_credentials(address) == masked


@pytest.mark.parametrize(
    "address",
    [
        "https://ann:sec/ret@example.com/hook",
        "https://ann:sec?ret@example.com/hook",
        "https://ann:sec#ret@example.com/hook",
        "https://ann:sec\\ret@example.com/hook",
        "https://ann@home:sec/ret@example.com/hook",
        "https://ann:sec/ret@example.com/?mail=ann@example.org",
        "ht\ttps://ann:sec@ret@example.com",
        "https://ann:sec ret/@example.com",
    ],
)
def test_no_part_of_a_password_is_left(address: str) -> None:
    """A password that should have been escaped and was not is masked whole."""
    masked = shared_columns.mask_credentials(address)
    assert "***@" in masked
    assert not any(part in masked for part in ("ann:", "sec", "ret"))


@pytest.mark.parametrize(
    "address",
    [
        "",
        "https://example.com/hook",
        "https://example.com/@ann?mail=ann@example.org#@",
        "https://example.com:8443/?mail=ann@example.org",
        "https://[2001:db8::1]/@ann",
        "https://bücher.example/@ann",
        "not an address",
    ],
)
def test_an_address_without_credentials_is_unchanged(address: str) -> None:
    """An `@` after the host is no sign of credentials."""
    assert shared_columns.mask_credentials(address) == address


def test_a_webhook_keeps_all_but_its_credentials() -> None:
    """A webhook's record is handed on field by field, with the credentials of its endpoint masked."""
    item = {"id": 7, "endpoint": "https://ann:secret@example.com/hook", "events": ["email_sent"], "new": {"a": None}}
    assert shaped(shared_columns.webhook, item) == {**item, "endpoint": "https://***@example.com/hook"}


@pytest.mark.parametrize("endpoint", ["https://example.com/hook", None, 7])
def test_a_webhook_without_credentials_is_handed_on_as_received(endpoint: object) -> None:
    """A webhook that holds no credentials is the same bytes as before."""
    item = msgspec.Raw(b' {"id" : 7, "endpoint": ' + msgspec.json.encode(endpoint) + b"}")
    assert shared_columns.webhook(item, ALL) == bytes(item)


def test_a_suppression_gets_an_id() -> None:
    """A suppressed address is identified by its list, its sending domain and itself."""
    item = {"email": "ann@example.com", "domain": "mail.example.org", "created": 1700000000}
    assert shaped(shared_columns.suppression, item, BOUNCES) == {
        "id": "bounces|mail.example.org|ann@example.com",
        "suppression_type": "bounces",
        **item,
    }


@pytest.mark.parametrize("item", [{"email": "ann@example.com"}, {"email": "ann@example.com", "domain": None}])
def test_a_suppression_without_a_domain(item: dict[str, Any]) -> None:
    """An address whose sending domain is not sent or null is identified all the same."""
    assert shaped(shared_columns.suppression, item, BOUNCES)["id"] == "bounces||ann@example.com"


def test_an_address_may_stand_in_a_list_once_per_domain() -> None:
    """The same address under two sending domains makes two rows."""
    items = [{"email": "ann@example.com", "domain": domain} for domain in ("a.example", "b.example")]
    assert len({shaped(shared_columns.suppression, item, BOUNCES)["id"] for item in items}) == 2


def test_a_suppression_keeps_fields_of_the_same_names() -> None:
    """A record's own `id` and `suppression_type` survive beside those that are made."""
    record = shaped(
        shared_columns.suppression, {"id": 9, "suppression_type": "hard", "email": "ann@example.com"}, BOUNCES
    )
    assert record == {
        "id": "bounces||ann@example.com",
        "suppression_type": "bounces",
        "source_id": 9,
        "source_suppression_type": "hard",
        "email": "ann@example.com",
    }


def test_a_bare_address_becomes_a_record() -> None:
    """An address that comes as a bare text is the `id` of its row."""
    assert shaped(shared_columns.ip_address, "192.0.2.1") == {"id": "192.0.2.1"}


def test_an_address_that_is_a_record_stays_one() -> None:
    """Should addresses ever come as records, they are handed on as received."""
    assert shared_columns.ip_address(msgspec.Raw(b' {"id": "192.0.2.1"}'), ALL) == b' {"id": "192.0.2.1"}'


@pytest.mark.parametrize("shape", [shared_columns.suppression, shared_columns.webhook])
@pytest.mark.parametrize("item", [b"null", b"7", b'"text"', b"[]"])
def test_what_is_no_record_is_handed_on(shape: Shape, item: bytes) -> None:
    """An item that is no record reaches the encoder of rows unchanged, which says what is wrong with it."""
    assert shape(msgspec.Raw(item), BOUNCES) == item
