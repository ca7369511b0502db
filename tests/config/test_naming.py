"""Prefixes and the naming rule, and the policies for changes of schema."""

from __future__ import annotations

import pytest

from cio_replicate.config.table_options import LetterCase, Naming, SchemaChanges, naming, schema_changes
from tests.config.refused import refusal

TABLES = ("customers", "messages")


def test_names_stay_unless_told_otherwise() -> None:
    """Without a word every name is our own."""
    assert naming() == Naming()
    assert (Naming().table("customers"), Naming().column("cio_id")) == ("customers", "cio_id")


def test_prefixes_and_case_make_names() -> None:
    """A prefix comes first, and the rule for letters goes over both."""
    made = naming("cio_", "c_", "upper")
    assert (made.table("customers"), made.column("cio_id")) == ("CIO_CUSTOMERS", "C_CIO_ID")
    assert made.field("C_CIO_ID") == "cio_id"
    assert naming("Cio_", "", "lower").table("customers") == "cio_customers"


@pytest.mark.parametrize("prefix", ["9a", "a b", "a-", "x" * 31, "_cio_", "_CIO_x", "a.b", "é"])
@pytest.mark.parametrize("option", ["--table-prefix", "--column-prefix"])
def test_a_prefix_that_makes_no_name_is_refused(option: str, prefix: str) -> None:
    """Prefixes are letters, digits and underscores, and not those of the program's own names."""
    both = (prefix, "") if option == "--table-prefix" else ("", prefix)
    assert option in refusal(lambda: naming(*both))


def test_an_unknown_rule_is_refused_with_the_list() -> None:
    """The refusal names every rule there is."""
    assert all(case in refusal(lambda: naming(case="camel")) for case in LetterCase)


def test_a_policy_is_set_for_all_tables_or_for_one() -> None:
    """Without a word tables evolve; a policy for one table goes before that for all, wherever it stands."""
    assert set(schema_changes([], TABLES).values()) == {SchemaChanges.EVOLVE}
    for texts in (["freeze", "messages=ignore"], ["messages=ignore", "freeze", "freeze"]):
        made = schema_changes(texts, TABLES)
        assert made == {"customers": SchemaChanges.FREEZE, "messages": SchemaChanges.IGNORE}


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["stop"], "no policy 'stop'"),
        (["messages="], "no policy ''"),
        (["message=freeze"], "no table 'message'"),
        (["=freeze"], "no table ''"),
        (["freeze", "ignore"], "two policies"),
        (["messages=freeze", "messages=ignore"], "two policies"),
    ],
)
def test_a_policy_that_cannot_be_followed_is_refused(texts: list[str], says: str) -> None:
    """Unknown policies and tables, and two policies for the same, are refused."""
    assert says in refusal(lambda: schema_changes(texts, TABLES))
