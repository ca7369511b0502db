"""Which tables are replicated, and which are read anew."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_replicate.config import connection_options
from cio_replicate.source.catalog import names
from tests.config.refused import refusal

ALL = names()
ANY = st.lists(st.sampled_from(ALL), min_size=1)


def test_all_tables_unless_told_otherwise() -> None:
    """Without a word every table is replicated and none is read anew."""
    assert connection_options.selected(ALL, None, None) == ALL
    assert connection_options.refreshed(ALL, None) == ()


@given(chosen=ANY)
def test_only_those_named(chosen: list[str]) -> None:
    """Named tables come in their own order, each once, whatever the spaces and commas between them."""
    text = " , ".join(chosen) + ",,"
    assert connection_options.selected(ALL, text, None) == tuple(name for name in ALL if name in chosen)


@given(left_out=ANY)
def test_all_but_those_named(left_out: list[str]) -> None:
    """Left out are those that are named, and never all of them."""
    rest = tuple(name for name in ALL if name not in left_out)
    if rest:
        assert connection_options.selected(ALL, None, ",".join(left_out)) == rest
    else:
        assert "No table is left" in refusal(lambda: connection_options.selected(ALL, None, ",".join(left_out)))


@pytest.mark.parametrize("unknown", ["campaign", "Campaigns", "all", "campaigns;", "*"])
@pytest.mark.parametrize("option", ["--tables", "--exclude", "--full-refresh"])
def test_an_unknown_table_is_refused_with_the_list(unknown: str, option: str) -> None:
    """The refusal names the table, the option, and every table there is."""
    text = f"customers,{unknown}"

    def call() -> object:
        if option == "--full-refresh":
            return connection_options.refreshed(ALL, text)
        return connection_options.selected(ALL, *((text, None) if option == "--tables" else (None, text)))

    said = refusal(call)
    assert repr(unknown) in said
    assert option in said
    assert ", ".join(ALL) in said


@pytest.mark.parametrize("text", ["", " ", ",", " , "])
def test_an_option_that_names_nothing_is_refused(text: str) -> None:
    """An empty value, as of a variable that is not set, is not taken for all tables."""
    for call in (
        lambda: connection_options.selected(ALL, text, None),
        lambda: connection_options.selected(ALL, None, text),
        lambda: connection_options.refreshed(ALL, text),
    ):
        assert "names no table" in refusal(call)


def test_both_options_are_refused() -> None:
    """Which one should win is not guessed."""
    said = refusal(lambda: connection_options.selected(ALL, "customers", "messages"))
    assert "--tables" in said
    assert "--exclude" in said


def test_no_table_left_is_refused() -> None:
    """A run over nothing would be a success that means nothing."""
    assert "No table is left" in refusal(lambda: connection_options.selected(ALL, None, ",".join(ALL)))


def test_full_refresh_of_all_and_of_some() -> None:
    """`all` means every table."""
    assert connection_options.refreshed(ALL, " all ") == ALL
    assert connection_options.refreshed(ALL, "messages, customers") == ("messages", "customers")
