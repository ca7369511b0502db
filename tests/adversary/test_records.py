"""Records, pages and people as no document describes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cio_replicate.pipeline.report import Status
from tests.adversary.standin import Asked, Reply, StandIn, by_offset, paged
from tests.adversary.syncing import ask, of, sync

SUPPRESSED = [{"email": f"u{number}@example.com", "created": 1_700_000_000} for number in range(250)]


@pytest.mark.parametrize("name", ["activities", "campaigns", "customers", "messages", "eps_suppression"])
@pytest.mark.parametrize("item", ["text", None])
def test_a_list_of_something_else_fails_its_table_only(name: str, item: Any, tmp_path: Path) -> None:
    """What is no record is refused, and the other tables are complete."""
    path = {"eps_suppression": "/v1/esp/suppression/blocks"}.get(name, f"/v1/{name}")
    key = {"customers": "identifiers", "eps_suppression": "suppressions"}.get(name, name)
    with StandIn({path: {key: [item]}, "/v1/segments": {"segments": [{"id": 1}]}}) as api:
        report = sync(api.url, tmp_path, name, "segments")
        assert of(report, name).status is Status.FAILED
        assert "not a record" in str(of(report, name).error)
        assert of(report, "segments").inserted == 1


ODD_VALUES = (
    b"0.1e-99999999999999999999",
    b"1e99999999999999999999",
    b"1" * 5_000,
    b"-0",
    b'"9999-12-31T23:59:59-23:59"',
    b'"0001-01-01T00:00:00+23:59"',
    b"[" * 900 + b"]" * 900,
    b'"' + b"x" * 1_000_000 + b'"',
)


@pytest.mark.parametrize("field", ["unknown", "updated", "id", "name", "tags", "active"])
def test_no_value_is_fatal(field: str, tmp_path: Path) -> None:
    """Numbers beyond every range, dates beyond every calendar, depth and length arrive, or are kept as received."""
    other = "id" if field != "id" else "name"
    records = (b'{"%s":"%d","%s":%s}' % (other.encode(), n, field.encode(), v) for n, v in enumerate(ODD_VALUES))
    with StandIn({"/v1/campaigns": Reply(b'{"campaigns":[%s]}' % b",".join(records))}) as api:
        assert of(sync(api.url, tmp_path, "campaigns"), "campaigns").status is Status.COMPLETE
    rows = ask(tmp_path, f'SELECT "{field}"::VARCHAR, _cio_extra FROM campaigns ORDER BY {other}::INTEGER')
    assert len(rows) == len(ODD_VALUES)
    for value, (held, extra) in zip(ODD_VALUES, rows, strict=True):
        assert held is not None or value.decode() in extra


@pytest.mark.parametrize("updated", [0, -5, None, "", "never"])
def test_a_record_without_a_date_is_not_older_than_the_start_date(updated: Any, tmp_path: Path) -> None:
    """Zero, like null, says that there is no date, and such records are kept."""
    with StandIn({"/v1/campaigns": {"campaigns": [{"id": 1, "updated": updated}, {"id": 2, "updated": 5}]}}) as api:
        sync(api.url, tmp_path, "campaigns")
    assert ask(tmp_path, "SELECT id FROM campaigns") == [(1,)]


def test_an_id_in_any_notation_is_one_row(tmp_path: Path) -> None:
    """7, "7" and 7.0 are the same campaign, in one answer and in later ones."""
    with StandIn({"/v1/campaigns": {"campaigns": [{"id": 7}, {"id": "7"}]}}) as api:
        sync(api.url, tmp_path, "campaigns")
        api.answers["/v1/campaigns"] = Reply(b'{"campaigns":[{"id":7.0,"name":"new"}]}')
        sync(api.url, tmp_path, "campaigns")
    assert ask(tmp_path, "SELECT id, name, _cio_deleted_at FROM campaigns") == [(7, "new", None)]


@pytest.mark.parametrize("most", [25, 75, 100, 249])
def test_a_server_with_smaller_pages_is_read_to_its_end(most: int, tmp_path: Path) -> None:
    """However few suppressions a page holds, all arrive and none is marked as deleted."""
    with StandIn({"/v1/esp/suppression/blocks": by_offset("suppressions", SUPPRESSED)}) as api:
        sync(api.url, tmp_path, "eps_suppression")
        api.answers["/v1/esp/suppression/blocks"] = by_offset("suppressions", SUPPRESSED, most)
        report = of(sync(api.url, tmp_path, "eps_suppression"), "eps_suppression")
    assert (report.status, report.read, report.deleted) == (Status.COMPLETE, 250, 0)


@pytest.mark.parametrize("count", [1, 100, 1000, 1700])
def test_a_server_that_ignores_the_offset_is_an_error(count: int, tmp_path: Path) -> None:
    """The same page again and again ends in an error instead of never."""
    records = [{"email": f"u{number}@example.com"} for number in range(count)]
    with StandIn({"/v1/esp/suppression/blocks": {"suppressions": records}}) as api:
        report = of(sync(api.url, tmp_path, "eps_suppression"), "eps_suppression")
        assert report.status is Status.FAILED
        assert "does not end" in str(report.error)
        assert len(api.asked) < 15


def test_a_server_that_ignores_the_page_token_is_an_error(tmp_path: Path) -> None:
    """The same page under ever new tokens ends in an error instead of never."""

    def answer(asked: Asked) -> Any:
        return {"newsletters": [{"id": 1}], "next": f"token {asked.number}"}

    with StandIn({"/v1/newsletters": answer}) as api:
        assert "does not end" in str(of(sync(api.url, tmp_path, "newsletters"), "newsletters").error)
        assert len(api.asked) < 10


@pytest.mark.parametrize(("name", "parameter"), [("sender_identities", "hidden"), ("activities", "deleted")])
def test_a_parameter_that_the_api_does_not_know_is_no_failure(name: str, parameter: str, tmp_path: Path) -> None:
    """An older generation of the API that refuses a parameter still gives what it has without it, and that is said."""

    def answer(asked: Asked) -> Any:
        return Reply(b"", 400) if parameter in asked.query else {name: [{"id": 1}]}

    with StandIn({f"/v1/{name}": {name: [{"id": 1}, {"id": 2}]}}) as api:
        sync(api.url, tmp_path, name)
        api.answers[f"/v1/{name}"] = answer
        report = of(sync(api.url, tmp_path, name), name)
    assert (report.status, report.read, report.deleted) == (Status.COMPLETE, 1, 0)
    assert f"does not take {parameter}=true" in report.notes[0]


@pytest.mark.parametrize("nothing", [None, []])
def test_one_empty_answer_deletes_no_table(nothing: Any, tmp_path: Path) -> None:
    """A list that had rows and is empty is asked for again; when it stays empty, its rows are gone."""
    full = {"campaigns": [{"id": 1}, {"id": 2}]}
    with StandIn({"/v1/campaigns": full}) as api:
        sync(api.url, tmp_path, "campaigns")
        api.answers["/v1/campaigns"] = lambda asked: {"campaigns": nothing} if asked.number == 2 else full
        assert of(sync(api.url, tmp_path, "campaigns"), "campaigns").deleted == 0
        api.answers["/v1/campaigns"] = {"campaigns": nothing}
        assert of(sync(api.url, tmp_path, "campaigns"), "campaigns").deleted == 2
        asked = len(api.asked)
        sync(api.url, tmp_path, "campaigns")
        assert len(api.asked) == asked + 1


def _people(answers: Any, listed: list[Any]) -> dict[str, Any]:
    def attributes(asked: Asked) -> Any:
        return {"customers": [person for one in asked.body["ids"] for person in answers(one)]}

    return {"/v1/customers": paged("identifiers", listed, 1000), "/v1/customers/attributes": attributes}


def test_people_listed_and_answered_twice_are_one_row_each(tmp_path: Path) -> None:
    """Repetitions in the list or the answers, with and without prefix, make no second row."""
    listed = [{"cio_id": f"{number:06x}"} for number in range(1_100)] + [{"cio_id": "cio_000001"}, {"cio_id": "000002"}]

    def answers(one: str) -> list[Any]:
        return [{"cio_id": f"cio_{one}", "attributes": {"x": 1}}, {"customer": {"cio_id": one, "attributes": {"x": 2}}}]

    with StandIn(_people(answers, listed)) as api:
        for _ in range(2):
            assert sync(api.url, tmp_path, "customers").status is Status.COMPLETE
    assert ask(tmp_path, "SELECT count(*), min(attributes), max(_cio_deleted_at) FROM customers") == [
        (1_100, '{"x":2}', None)
    ]


def test_a_person_answered_in_place_of_another_takes_no_ones_row(tmp_path: Path) -> None:
    """Who was merged away keeps the row it had until the list no longer names it."""
    listed = [{"cio_id": "00a1"}, {"cio_id": "00b2"}]
    with StandIn(_people(lambda one: [{"cio_id": one, "attributes": {"who": one}}], listed)) as api:
        sync(api.url, tmp_path, "customers")
        api.answers |= _people(lambda _one: [{"cio_id": "00a1", "attributes": {"who": "00a1"}}], listed)
        assert of(sync(api.url, tmp_path, "customers"), "customers").left_out == 1
        api.answers |= _people(lambda one: [{"cio_id": one, "attributes": {"who": one}}], listed[:1])
        assert of(sync(api.url, tmp_path, "customers"), "customers").deleted == 1
    assert ask(tmp_path, "SELECT cio_id, attributes FROM customers ORDER BY 1") == [
        ("00a1", '{"who":"00a1"}'),
        ("00b2", '{"who":"00b2"}'),
    ]
