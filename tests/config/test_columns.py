"""Rules for columns, as they are written on the command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_replicate.base.text import Secret
from cio_replicate.config.column_rules import ColumnPath, ColumnRules, RedactionKind, column_rules
from cio_replicate.source.catalog import TABLES
from tests.config.refused import refusal

COLUMNS = {table.name: [column.name for column in table.columns] for table in TABLES}
SALT = Secret("0123456789abcdef")


def rules(*texts: str, salt: Secret | None = SALT) -> dict[str, ColumnRules]:
    """The rules that these texts say, of the tables there are."""
    return column_rules(texts, salt, COLUMNS)


def test_no_rules_unless_some_are_given() -> None:
    """Without a word no table has rules."""
    assert rules() == {}


def test_each_action_is_read() -> None:
    """Several options add up, in one table and in several; spaces around names are nothing."""
    made = rules(
        "customers:exclude=devices, timestamps",
        "customers : hash = identifiers__email,attributes.email",
        "customers:mask=attributes.phone",
        "messages:include=id,created",
        "messages:include=type,",
        "messages:rename=created:sent_at, id : message_id",
    )
    assert made["customers"] == ColumnRules(
        actions={
            ColumnPath("devices"): RedactionKind.EXCLUDE,
            ColumnPath("timestamps"): RedactionKind.EXCLUDE,
            ColumnPath("identifiers__email"): RedactionKind.HASH,
            ColumnPath("attributes", "email"): RedactionKind.HASH,
            ColumnPath("attributes", "phone"): RedactionKind.MASK,
        },
        salt=SALT,
    )
    assert made["messages"] == ColumnRules({"id", "created", "type"}, {}, {"created": "sent_at", "id": "message_id"})


def test_a_star_means_all_tables_that_have_the_column() -> None:
    """`*` stands for the tables with that column and for no other."""
    made = rules("*:exclude=tags")
    assert set(made) == {name for name, columns in COLUMNS.items() if "tags" in columns}
    assert all(one.actions == {ColumnPath("tags"): RedactionKind.EXCLUDE} for one in made.values())


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("attributes.a.b", "a.b"),
        ("attributes.last name", "last name"),
        (r"attributes.a\,b", "a,b"),
        (r"attributes.a\\b", r"a\b"),
        (r"attributes.ends in a space\ ", "ends in a space "),
        ("attributes.a=b:c", "a=b:c"),
        ("attributes.+ü{}", "+ü{}"),
        ("attributes.", ""),
        ("attributes._cio_x", "_cio_x"),
    ],
)
def test_a_key_may_hold_any_characters(written: str, key: str) -> None:
    """All that follows the first dot is the key, a backslash taking the next character as it is."""
    made = rules(f"customers:exclude={written}", "customers:mask=devices.id")
    assert set(made["customers"].actions) == {ColumnPath("attributes", key), ColumnPath("devices", "id")}


@given(key=st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_every_key_can_be_written(key: str) -> None:
    """There is a way to write each key there is: a backslash before each of its characters."""
    written = "".join("\\" + sign for sign in key)
    assert set(rules(f"customers:mask=attributes.{written}")["customers"].actions) == {ColumnPath("attributes", key)}


def test_a_field_that_no_documentation_knows_is_named_with_a_plus() -> None:
    """`+name` needs no column; that of a documented column is that column."""
    made = rules("messages:exclude=+surprise,+recipient")["messages"].actions
    assert set(made) == {ColumnPath("surprise", known=False), ColumnPath("recipient")}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("customers", "is no rule"),
        ("customers=devices", "is no rule"),
        (":exclude=devices", "is no rule"),
        ("customers:exclude", "is no rule"),
        ("customers:drop=devices", "names no action"),
        ("customers:exclude=", "names no column"),
        ("customers:exclude= , ", "names no column"),
        ("customer:exclude=devices", "Perhaps customers is meant"),
        ("people:exclude=devices", "The tables are: "),
        ("customers:exclude=device", "Perhaps devices is meant"),
        ("customers:exclude=identifiers.email", "Perhaps identifiers__email is meant"),
        ("customers:exclude=Devices", "Perhaps devices is meant"),
        ("ip_addresses:exclude=zzz", "The columns are: id"),
        ("*:exclude=recipent", "Perhaps recipient is meant"),
        ("*:include=id", "would empty most tables"),
        ("customers:exclude=_cio_key", "one of the program's own"),
        ("*:mask=_CIO_extra", "one of the program's own"),
        ("customers:include=attributes.ssn", "cannot include"),
        ("customers:rename=attributes.ssn:x", "cannot rename"),
        ("messages:rename=+surprise:x", "cannot rename"),
        ("messages:rename=created", "names no new name"),
        ("messages:rename=created:", "names no new name"),
    ],
)
def test_what_cannot_be_followed_is_refused(text: str, says: str) -> None:
    """A refusal says what is wrong with a rule, and what is likely meant."""
    assert says in refusal(lambda: rules(text))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("customers:exclude=devices", "customers:rename=devices:phones"),
        ("customers:exclude=devices", "customers:include=devices"),
        ("customers:hash=devices", "customers:mask=devices"),
        ("customers:hash=id", "*:exclude=id"),
        ("customers:exclude=devices", "customers:hash=devices.id"),
        ("customers:hash=attributes.a", "customers:mask=attributes.a"),
        ("messages:rename=created:a", "messages:rename=created:b"),
    ],
)
def test_rules_that_contradict_one_another_are_refused(one: str, other: str) -> None:
    """Two rules of which only one can be followed are refused in either order."""
    assert "is both" in refusal(lambda: rules(one, other))
    assert "is both" in refusal(lambda: rules(other, one))


def test_a_rule_said_twice_is_one_rule() -> None:
    """Repeating a rule changes nothing."""
    assert rules("customers:hash=id", "customers:hash=id,id") == rules("customers:hash=id")


def test_hashing_needs_a_good_salt() -> None:
    """Without a salt, or with one that can be guessed, nothing is hashed; other rules need none."""
    assert "there is no salt" in refusal(lambda: rules("customers:hash=id", salt=None))
    short = refusal(lambda: rules("customers:hash=id", salt=Secret("hunter2")))
    assert "can be guessed" in short
    assert "hunter2" not in short
    assert rules("customers:mask=id", salt=None)["customers"].salt is None
