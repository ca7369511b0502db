"""The published OpenAPI document and the running simulator say the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi import checks

from customerio_simulator import Simulator, WorkspaceSpec
from customerio_simulator.endpoints import ENDPOINTS
from customerio_simulator.inventory import TABLES
from customerio_simulator.openapi import document, modern
from customerio_simulator.schemas import record_schema
from tests.simulator.conftest import TOKEN

published = schemathesis.openapi.from_dict(document())
# A made-up cursor or a person's id without its prefix fits its schema and is refused all the same; parameters that no
# operation has are ignored, as the API ignores them.
NOT_MEANT: list[CheckFunction] = [checks.positive_data_acceptance, checks.negative_data_rejection]


@pytest.fixture(scope="module")
def plain() -> Iterator[Simulator]:
    """A workspace whose records all fit their schemas, small enough to be asked thousands of times."""
    spec = WorkspaceSpec(hostile=False, people=30, messages=60, activities=40, newsletters=12, campaigns=8)
    with Simulator(spec, token=TOKEN, limit_over_max="reject") as sim:
        yield sim


@published.parametrize()
@settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_one_that_the_document_allows(case: schemathesis.Case[Any], plain: Simulator) -> None:
    """Whatever is asked, no server error comes, and status, headers and body are as published."""
    case.call_and_validate(
        base_url=plain.url,
        headers={"Authorization": f"Bearer {TOKEN}"},
        excluded_checks=NOT_MEANT,
    )


def test_the_document_has_every_endpoint_once() -> None:
    """Paths and operations derive from the one table."""
    listed = [(method.upper(), path) for path, item in document()["paths"].items() for method in item]
    assert sorted(listed) == sorted((endpoint.method, endpoint.path) for endpoint in ENDPOINTS)


@pytest.mark.parametrize("table", [table.name for table in TABLES])
def test_every_record_of_a_plain_workspace_fits_its_schema(plain: Simulator, table: str) -> None:
    """Without hostile data all tables follow the published schemas."""
    validator = jsonschema_rs.Draft202012Validator(modern(record_schema(table)), validate_formats=True)
    for record in plain.workspace.truth(table):
        validator.validate(json.loads(record))
