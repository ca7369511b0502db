"""What every refusal of a setting must be like."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cio_replicate.base.errors import Refused
from cio_replicate.config.options import as_options


def refusal(call: Callable[[], object]) -> str:
    """What the command line says of the refusal that `call` raises: a sentence for the cause, one for the fix."""
    with pytest.raises(Refused) as caught:
        call()
    error = caught.value
    cause, fix = as_options(error.cause), as_options(error.fix)
    for sentence in (cause, fix):
        assert sentence.endswith(".")
        assert sentence[0].isupper() or sentence.startswith("--")
        assert ". " not in sentence
    assert "\n" not in cause + fix
    return f"{cause} {fix}"
