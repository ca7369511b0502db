"""Users, in a database of each kind: one first user however many come at once, and no change without its line."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cio_replicate.base.errors import Conflict, InvalidSettings, NotAllowedError, NotFound
from cio_replicate.console.background import reap
from cio_replicate.console.installation import ControlServices
from cio_replicate.console.sessions import Sessions, Tokens
from cio_replicate.console.users import Users
from cio_replicate.database.actor import LOCAL, Role
from tests.console.stage import START, STORES
from tests.console.stores import ADMIN, OPERATOR, VIEWER, store_of, told
from tests.manual_clock import ManualClock

PASSWORD = "four odd words here"


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ControlServices]:
    """A store of each kind."""
    with store_of(request.param, tmp_path) as made:
        yield made


def test_of_many_who_open_the_first_link_at_once_one_comes_in(store: ControlServices) -> None:
    """The link makes one admin, whoever races for it."""
    people = Users(store.database, ManualClock(START))
    link = people.first_link()
    assert link is not None

    def come(name: str) -> str:
        try:
            people.accept(link, name, PASSWORD, "UTC")
        except NotFound as error:
            return error.cause
        return "came in"

    with ThreadPoolExecutor(4) as many:
        came = list(many.map(come, ["ada", "bob", "cy", "dot"]))
    assert sorted(came) == ["This link no longer counts."] * 3 + ["came in"]
    assert [one.role for one in people.all()] == [Role.ADMIN]


def test_names_differ_by_more_than_capitals(store: ControlServices) -> None:
    """Nobody can be invited under a name that looks like another's, and one logs in however one writes it."""
    people = Users(store.database, ManualClock(START))
    people.accept(people.invite("Ada", Role.ADMIN, LOCAL), "", PASSWORD, "UTC")
    with pytest.raises(Conflict, match="There is a user 'ADA' already"):
        people.invite("ADA", Role.VIEWER, LOCAL)
    assert people.log_in(" ada ", PASSWORD) == people.all()[0].id
    assert people.log_in("ada\x00", PASSWORD) is None


def test_capitals_of_any_alphabet_make_no_difference(store: ControlServices) -> None:
    """A name of other letters than those of English logs in, and is not given twice."""
    people = Users(store.database, ManualClock(START))
    user = people.accept(people.invite("Özgür Éa", Role.ADMIN, LOCAL), "", PASSWORD, "UTC")
    assert people.log_in("Özgür Éa", PASSWORD) == people.log_in("özgür éa", PASSWORD) == user
    with pytest.raises(Conflict, match="There is a user 'ÖZGÜR ÉA' already"):
        people.invite("ÖZGÜR ÉA", Role.VIEWER, LOCAL)


def test_an_admin_who_has_never_come_is_not_the_last(store: ControlServices) -> None:
    """Whoever can manage the console stays until another one can: a link that was not used may be lost."""
    people = Users(store.database, ManualClock(START))
    ada = people.accept(people.invite("ada", Role.ADMIN, LOCAL), "", PASSWORD, "UTC")
    link = people.invite("bob", Role.ADMIN, LOCAL)
    no_admin = "No admin would be left"
    with pytest.raises(Conflict, match=no_admin):
        people.remove(ada, ADMIN)
    with pytest.raises(Conflict, match=no_admin):
        people.disable(ada, ADMIN)
    with pytest.raises(Conflict, match=no_admin):
        people.change_role(ada, Role.VIEWER, ADMIN)
    people.accept(link, "", PASSWORD, "UTC")
    people.remove(ada, ADMIN)
    assert [one.name for one in people.all()] == ["bob"]


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\nb", "a\x00b"])
def test_a_name_is_one_that_can_be_shown(store: ControlServices, name: str) -> None:
    """A name is some characters that can be read."""
    with pytest.raises(InvalidSettings, match="A user's name has"):
        Users(store.database, ManualClock(START)).invite(name, Role.VIEWER, LOCAL)


def test_only_admins_change_users(store: ControlServices) -> None:
    """The services themselves refuse who may not, whichever face they are called from."""
    people = Users(store.database, ManualClock(START))
    people.invite("vera", Role.VIEWER, ADMIN)
    user = people.all()[0].id
    for actor in (OPERATOR, VIEWER):
        for change in (
            lambda by: people.invite("x", Role.VIEWER, by),
            lambda by: people.invite_again(user, by),
            lambda by: people.change_role(user, Role.ADMIN, by),
            lambda by: people.disable(user, by),
            lambda by: people.remove(user, by),
        ):
            with pytest.raises(NotAllowedError):
                change(actor)
    assert [one.role for one in people.all()] == [Role.VIEWER]


def test_who_is_removed_leaves_nothing_that_opens(store: ControlServices) -> None:
    """Sessions, tokens and links go with their user; the audit log keeps what was done."""
    clock = ManualClock(START)
    people, sessions, tokens = (
        Users(store.database, clock),
        Sessions(store.database, clock),
        Tokens(store.database, clock),
    )
    people.accept(people.first_link() or "", "ada", PASSWORD, "UTC")
    user = people.accept(people.invite("vera", Role.VIEWER, LOCAL), "", PASSWORD, "UTC")
    session, token = sessions.begin(user), tokens.create(user, "script", Role.VIEWER, None, LOCAL)
    link = people.invite_again(user, LOCAL)
    people.remove(user, LOCAL)
    assert (sessions.visitor(session), tokens.actor(token), people.invitation(link)) == (None, None, None)
    assert [one.did for one in told(store)][-1] == "user.remove"


def test_what_has_ended_is_tidied_away(store: ControlServices) -> None:
    """Sessions that are over and links that are too old do not stay for ever; a first link does, until it is used."""
    clock = ManualClock(START)
    people, sessions = Users(store.database, clock), Sessions(store.database, clock)
    first = people.first_link()
    clock.time += 400 * 86_400
    with store.database.writing() as connection:
        reap(connection, int(clock.now()))
    assert people.invitation(first or "") is not None
    user = people.accept(first or "", "ada", PASSWORD, "UTC")
    session = sessions.begin(user)
    clock.time += 8 * 86_400
    assert sessions.visitor(session) is None
