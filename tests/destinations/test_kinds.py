"""What the table of destinations says of our tests is so."""

from __future__ import annotations

from cio_replicate.sinks.kinds import KINDS
from tests.destinations import kinds


def test_what_is_said_to_be_tested_is_tested() -> None:
    """Exactly the kinds that the documents call tested are tried here against a real place."""
    assert {name.removesuffix("-s3") for name in kinds.KINDS} == {kind.scheme for kind in KINDS if kind.proved}
