"""What the API answers when it does not do what it was asked."""

from __future__ import annotations

import msgspec
from litestar.openapi.datastructures import ResponseSpec


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The cause, and what to do about it. `id` is by which the console's log has the rest."""

    message: str
    fix: str = ""
    id: str | None = None


_SAID = {
    400: "The request is not as the description has it.",
    401: "No token of the console was sent, or one that does not count.",
    403: "The token's role may not do this.",
    404: "What the address names is not there.",
    413: "The request is too large.",
    422: "It cannot be done, and the answer says why.",
    503: "The console's database is away.",
}

#: What every handler may answer besides what it is for.
PROBLEMS = {status: ResponseSpec(Problem, description=said, generate_examples=False) for status, said in _SAID.items()}
