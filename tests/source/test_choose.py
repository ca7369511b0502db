"""A table as the user wants it."""

from __future__ import annotations

import pytest

from cio_replicate.base.text import Secret
from cio_replicate.config.column_rules import column_rules
from cio_replicate.config.table_options import AS_IS, Naming, SchemaChanges, naming
from cio_replicate.schema.table import Column, ColumnType, KnownColumns, Table
from cio_replicate.source.catalog import TABLES, table
from cio_replicate.source.catalog.selection import (
    chosen,
    named,
    require_erasable,
    require_readable_changes,
)
from tests.config.refused import refusal

COLUMNS = {one.name: [column.name for column in one.columns] for one in TABLES}
SALT = Secret("0123456789abcdef")


def made(name: str, *texts: str, naming: Naming = AS_IS, salt: Secret = SALT) -> Table:
    """The table of that name by these rules."""
    return chosen(table(name), column_rules(texts, salt, COLUMNS)[name], naming)


def test_without_rules_nothing_is_different() -> None:
    """A table for which nothing is settled is the declared one itself."""
    assert all(chosen(one) is one and named(one, AS_IS) is one for one in TABLES)
    assert all(one.target == one.name and one.key_columns == one.key and one.rules == "" for one in TABLES)


def test_an_excluded_column_is_not_in_the_copy() -> None:
    """What is excluded is no column any more, and the object that it stood in is flattened as before."""
    one = made("messages", "messages:exclude=recipient,customer_identifiers__email,customer_identifiers__id")
    assert {column.name for column in one.hidden} == {
        "recipient",
        "customer_identifiers__email",
        "customer_identifiers__id",
    }
    assert {*one.columns, *one.hidden} == set(table("messages").columns)
    one = made(
        "messages", "*:exclude=customer_identifiers__email,customer_identifiers__id,customer_identifiers__cio_id"
    )
    assert one.objects == table("messages").objects


def test_what_reading_needs_is_kept_though_it_is_not_included() -> None:
    """Key, replication key and start date stay, although nobody asked for them."""
    rules = column_rules(["segments:include=name", "messages:include=id,type"], None, COLUMNS)
    one = chosen(table("segments"), rules["segments"])
    assert [column.name for column in one.columns] == ["id", "name", "updated_at"]
    assert [column.name for column in chosen(table("messages"), rules["messages"]).columns] == ["id", "type", "created"]


def test_hashed_and_masked_columns_are_text_and_json_stays_json() -> None:
    """A whole column that is hashed or masked is text; a key within a JSON column leaves it JSON."""
    one = made("messages", "messages:hash=campaign_id", "messages:mask=forgotten")
    assert {one.column(name).type for name in ("campaign_id", "forgotten")} == {ColumnType.STRING}
    assert made("customers", "customers:hash=attributes.ssn").column("attributes").type is ColumnType.JSON


def test_a_renamed_column_is_found_by_its_path() -> None:
    """A new name is one in the copy only: fields, key and times still lead to it."""
    one = made("messages", "messages:rename=created:sent_at,id:message_id,customer_identifiers__email:Email")
    assert (one.start_date_column, one.key, one.key_columns) == ("sent_at", ("id",), ("message_id",))
    assert one.column("sent_at").path == ("created",)
    assert one.name_of("customer_identifiers", "email") == "Email"
    assert one.name_of("metrics", "secondary:delivered") == "metrics__secondary_delivered"
    two = made("campaigns", "campaigns:rename=updated:changed")
    assert two.replication_key == "changed"


def test_names_follow_the_rule_but_for_those_that_were_chosen() -> None:
    """Prefix and case hold for the table and every column; a name that the user wrote is final."""
    one = made("messages", "messages:rename=created:sentAt", naming=naming("cio_", "m_", "upper"))
    assert (one.name, one.target) == ("messages", "CIO_MESSAGES")
    assert one.name_of("created") == "sentAt"
    assert one.name_of("customer_identifiers", "email") == "M_CUSTOMER_IDENTIFIERS__EMAIL"
    assert all(column.name == "sentAt" or column.name.startswith("M_") for column in one.columns)


@pytest.mark.parametrize("case", ["as-is", "lower", "upper"])
def test_a_discovered_column_follows_the_rule_and_leads_back_to_its_field(case: str) -> None:
    """New fields get names by the same rule, and from the name in the destination the field is found again."""
    one = named(table("messages"), naming("cio_", "c_", case))
    fields = KnownColumns(one)
    for path in (("surprise",), ("metrics", "waved")):
        column = fields.discover(path, ColumnType.STRING)
        assert column is not None
        assert column.name == one.naming.column("__".join(path))
        assert one.path_of(column.name) == path


def test_a_name_in_the_destination_whose_field_was_guessed_wrong_is_that_of_the_field_that_comes() -> None:
    """After a change of case the field behind a column is known for sure only when it is sent again."""
    one = named(table("messages"), naming(case="upper"))
    fields = KnownColumns(one, [Column("SURPRISE", ColumnType.STRING, "", one.path_of("SURPRISE"))])
    before = fields.changes
    column = fields.discover(("Surprise",), ColumnType.INTEGER)
    assert column is fields.at(("Surprise",))
    assert column is not None
    assert (column.name, column.type) == ("SURPRISE", ColumnType.STRING)
    assert (fields.all[-1], fields.changes > before) == (column, True)
    assert fields.discover(("surprise",), ColumnType.STRING) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("messages:exclude=id", "is the key of messages"),
        ("messages:mask=id", "is the key of messages"),
        ("messages:exclude=created", "tell what has been read"),
        ("segments:hash=updated_at", "tell what has been read"),
        ("messages:hash=recipient.x", "holds no objects"),
        ("messages:rename=created:recipient", "Two columns"),
        ("messages:rename=created:RECIPIENT", "Two columns"),
        ("messages:rename=created:file_row_number", "Two columns"),
        ("messages:rename=created:_cio_created", "program's own names"),
        ("messages:rename=created:a\nb", "cannot be called"),
        (f"messages:rename=created:{'x' * 101}", "cannot be called"),
        ("eps_suppression:exclude=email", "the key id holds it too"),
        ("eps_suppression:hash=email", "eps_suppression:hash=id"),
        ("eps_suppression:include=status", "the key id holds it too"),
    ],
)
def test_what_a_table_cannot_do_without_is_refused(text: str, says: str) -> None:
    """Rules that a table cannot follow are refused with the reason."""
    assert says in refusal(lambda: made(text.partition(":")[0], text))


def test_a_key_that_holds_a_hidden_value_may_be_hashed_with_it_or_asked_for() -> None:
    """An address in a key is no secret to who asks for the key, and none is left when both are hashed."""
    assert made("eps_suppression", "eps_suppression:hash=id,email").column("id").type is ColumnType.STRING
    assert made("eps_suppression", "eps_suppression:include=id,status").columns


def test_two_names_may_change_places() -> None:
    """Only the names that columns end up with must differ."""
    one = made("messages", "messages:rename=recipient:subject,subject:recipient")
    assert (one.name_of("recipient"), one.name_of("subject")) == ("subject", "recipient")


def test_a_prefix_cannot_make_a_name_of_our_own() -> None:
    """`_` before `cio_id` would read like a column of the program's."""
    assert "program's own names" in refusal(lambda: named(table("customers"), naming(column_prefix="_")))


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("customers:hash=cio_id", True),
        ("customers:mask=identifiers__email", True),
        ("activities:exclude=customer_id", True),
        ("customers:include=attributes", True),
        ("activities:include=type,customer_id,customer_identifiers__id,customer_identifiers__cio_id", False),
        ("customers:exclude=devices,timestamps,attributes.ssn", False),
        ("customers:rename=cio_id:person", False),
        ("activities:hash=data.email", False),
        ("messages:hash=customer_id", False),
    ],
)
def test_what_finds_changed_people_must_stay(text: str, *, refused: bool) -> None:
    """Mode `changes` goes by a few columns, and only rules that take those away are refused with it."""
    rules = column_rules([text], SALT, COLUMNS)
    if refused:
        assert "--customers changes finds people by" in refusal(lambda: require_readable_changes(TABLES, rules))
    else:
        require_readable_changes(TABLES, rules)


def test_other_rules_are_told_apart() -> None:
    """What is landed by other rules, names or salt can be told from what is landed by these; the order is nothing."""
    texts = ("messages:hash=recipient", "messages:exclude=subject", "messages:rename=created:sent_at")
    others = [
        made("messages", *texts[:2]),
        made("messages", texts[0].replace("hash", "mask"), *texts[1:]),
        made("messages", *texts, salt=Secret("fedcba9876543210")),
        made("messages", *texts, naming=naming(column_prefix="c_")),
        made("messages", *texts, "messages:include=type,recipient"),
    ]
    one = made("messages", *texts)
    assert one.rules == made("messages", *reversed(texts)).rules
    assert len({one.rules, *(other.rules for other in others)}) == 6
    assert chosen(table("messages"), schema_changes=SchemaChanges.FREEZE).rules == ""


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["messages:exclude=customer_identifiers__cio_id"], "of messages, which is excluded"),
        (["activities:mask=customer_identifiers__cio_id"], "of activities, which is masked"),
        (["messages:include=id"], "of messages, which is not included"),
        (["customers:hash=cio_id"], "hashed in some tables only"),
        (["*:hash=customer_identifiers__cio_id"], "hashed in some tables only"),
    ],
)
def test_erasure_needs_the_person_in_every_table(texts: list[str], says: str) -> None:
    """Rules by which rows about somebody could not be found are refused."""
    rules = column_rules(texts, SALT, COLUMNS)
    assert says in refusal(lambda: require_erasable(TABLES, rules))


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["*:hash=cio_id", "*:hash=customer_identifiers__cio_id"],
        ["customers:include=unsubscribed", "messages:include=customer_identifiers__cio_id"],
        ["messages:exclude=recipient", "messages:rename=customer_identifiers__cio_id:person"],
    ],
)
def test_erasure_goes_with_all_other_rules(texts: list[str]) -> None:
    """As long as people are named in the same form everywhere."""
    require_erasable(TABLES, column_rules(texts, SALT, COLUMNS))


def test_whom_a_row_is_about_is_known_under_any_name() -> None:
    """A renamed column names the person still, one that is left out does not, and people are found by their key."""
    assert made("messages", "messages:rename=customer_identifiers__cio_id:who").person == "who"
    assert named(table("messages"), naming("", "M_", "lower")).person == "m_customer_identifiers__cio_id"
    assert made("messages", "messages:exclude=customer_identifiers__cio_id").person is None
    assert made("customers", "customers:rename=cio_id:who").person == "_cio_key"
    assert made("segments", "segments:exclude=name").person is None


def test_what_is_not_known_to_be_impersonal_is_blanked() -> None:
    """Personal columns, renamed ones too, those that nobody declared, and what did not fit; nothing that sums need."""
    one = made("messages", "messages:rename=recipient:sent_to")
    blanked = {"sent_to", "subject", "customer_id", "surprise", "_cio_extra", "_cio_before"}
    kept = {"id", "created", "campaign_id", "metrics__opened", "customer_identifiers__cio_id", "_cio_key", "_cio_run"}
    assert {name for name in (*blanked, *kept) if one.is_blanked(name)} == blanked


def test_a_column_that_identifies_is_personal() -> None:
    """And every table with personal columns says whom its rows are about."""
    for one in TABLES:
        assert [column.name for column in one.columns if column.identifies and not column.personal] == []
        assert (one.person is not None) == any(column.personal for column in one.columns)
