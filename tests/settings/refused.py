"""What every refusal of a setting must be like."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cio_replicate.base.errors import Refused


def refusal(call: Callable[[], object]) -> str:
    """The text of the Refused that `call` raises: a sentence for the cause and one for the fix, on one line."""
    with pytest.raises(Refused) as caught:
        call()
    error = caught.value
    for sentence in (error.cause, error.fix):
        assert sentence.endswith(".")
        assert sentence[0].isupper() or sentence.startswith("--")
        assert ". " not in sentence
    assert "\n" not in str(error)
    return str(error)
