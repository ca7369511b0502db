"""Answers that are kept: the same bytes for the same question, never an old state, never more than the bound."""

from __future__ import annotations

from customerio_simulator.answer_cache import AnswerCache
from tests.simulator.conftest import Simulate
from tests.simulator.walking import EVERYBODY


def test_the_same_question_gets_the_same_bytes_until_something_changes(simulate: Simulate) -> None:
    """A list, a search and people by id come the same again, and new after an edit, a setting or passing time."""
    sim, client = simulate()

    def ask() -> list[bytes]:
        return [
            client.get("/v1/messages?limit=1000").content,
            client.get("/v1/activities?limit=100&deleted=true").content,
            client.post("/v1/customers", json=EVERYBODY).content,
            client.post("/v1/customers/attributes?id_type=cio_id", json={"ids": ["30e00001"]}).content,
        ]

    first = ask()
    assert ask() == first
    sim.behaviour.wrapped_people = sim.behaviour.oldest_first = True
    sim.behaviour.page_ceiling = 9
    assert not set(ask()) & set(first)
    sim.behaviour.wrapped_people = sim.behaviour.oldest_first = False
    sim.behaviour.page_ceiling = None
    assert ask() == first
    newest = client.get("/v1/messages").json()["messages"][0]
    sim.workspace.put("messages", newest | {"subject": "edited"})
    sim.workspace.delete("customers", "30e00001")
    assert [one != other for one, other in zip(ask(), first, strict=True)] == [True, False, True, True]


def test_one_answer_is_not_given_for_another_question(simulate: Simulate) -> None:
    """Compressed and plain, and bodies of their own, are told apart."""
    _, client = simulate()
    plain = client.get("/v1/newsletters", headers={"accept-encoding": "identity"})
    assert client.get("/v1/newsletters", headers={"accept-encoding": "gzip"}).content == plain.content
    for cio_id in ("30e00001", "30e00002"):
        answer = client.post("/v1/customers/attributes?id_type=cio_id", json={"ids": [cio_id]}).json()
        assert answer["customers"][0]["attributes"]["cio_id"] == cio_id


def test_no_more_is_kept_than_allowed() -> None:
    """A list longer than fits is kept in part; what is of no use makes room in the end."""
    cache = AnswerCache(10_000)
    for page in range(50):
        cache.put(None, page, bytes(800))
        assert cache.size <= 10_000
        assert page == 0 or cache.get(None, 0) is not None
    for page in range(50, 70):
        cache.put(None, page, bytes(800))
    assert cache.get(None, 0) is None
    assert cache.get(None, 69) is not None


def test_another_state_forgets_everything() -> None:
    """Nothing of an earlier state is kept, and nothing that belongs to one comes in late."""
    cache = AnswerCache(10_000)
    assert cache.get("old", 1) is None
    cache.put("old", 1, b"old")
    assert cache.get("old", 1) == b"old"
    assert cache.get("new", 1) is None
    cache.put("old", 1, b"old")
    assert cache.get("new", 1) is None
    assert cache.size == 0
