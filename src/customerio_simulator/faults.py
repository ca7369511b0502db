"""Scripted and random misbehaviour: which fault, if any, the next request meets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from .randomness import draw

Kind = Literal[
    "status", "rate_limited", "daily_quota",
    "reset", "reset_mid_body", "truncated_body", "truncated_gzip", "cut_json",
    "stall", "slow", "garbage",
    "expired_cursor", "repeated_cursor", "cursor_cycle", "endless_cursor",
    "empty_page", "null_list", "missing_key", "wrong_type", "next_form",
    "drift", "duplicates", "missing_ids", "reordered",
]  # fmt: skip
KINDS: tuple[str, ...] = get_args(Kind)
# What a client sees as a failed request; `max_consecutive` bounds these in a row for the same request.
FAILING = frozenset({
    "status", "rate_limited", "reset", "reset_mid_body", "truncated_body", "truncated_gzip", "cut_json", "stall",
    "garbage",
})  # fmt: skip
_NEEDS_CURSOR = frozenset({"expired_cursor", "repeated_cursor", "cursor_cycle"})
_REMEMBERED_TARGETS = 10_000


class Asked(NamedTuple):
    """The request as fault rules see it; `target` is the path with its query."""

    table: str
    operation: str
    method: str
    target: str
    has_cursor: bool


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One rule: which requests it meets and what happens to them.

    A request matches when `table`, `operation` and `path` (a prefix of the path) fit, where given. Matching requests
    are counted from 1; the rule strikes from the `nth` on, `times` times (None: for ever), each time with
    `probability`. `params` depend on the kind:

    status           status (500), body json|empty|html, retry_after
    rate_limited     429 with retry_after (seconds; None leaves the header out)
    daily_quota      429 without header; once struck, that operation stays refused
    reset            connection reset before any header
    reset_mid_body   reset after half the body
    truncated_body   Content-Length promises more than comes before the connection closes
    truncated_gzip   half of the compressed body, cleanly ended (half of the plain body when not compressed)
    cut_json         half of the JSON, cleanly ended, compressed as asked
    stall            headers_sent (false) then nothing for `seconds` (1), then the connection closes
    slow             the right answer after `seconds` (1)
    garbage          200 with body html|binary
    expired_cursor   400 for a `start` token that was valid
    repeated_cursor  `next` equal to the token just used
    cursor_cycle     `next` alternates between two tokens
    endless_cursor   empty pages with ever new tokens
    empty_page       an empty page whose `next` leads to what should have come
    null_list        `null` for the list; only_empty (false) strikes only lists that are empty anyway
    missing_key      no data key
    wrong_type       the data key holds `value` ("unexpected")
    next_form        the empty `next` after the last page becomes `form` null|absent|empty
    drift            what: extra|types|both (extra): unknown fields, changed types
    duplicates       the page's last row comes again on the next page
    missing_ids      every `every`-th (2) record is left out
    reordered        records in reverse
    """

    kind: Kind
    table: str | None = None
    operation: str | None = None
    path: str | None = None
    nth: int = 1
    times: int | None = 1
    probability: float = 1.0
    params: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            message = f"unknown fault kind {self.kind!r}; known: {', '.join(KINDS)}"
            raise ValueError(message)

    def matches(self, asked: Asked) -> bool:
        """Whether this rule is about such a request."""
        return (
            self.table in {None, asked.table}
            and self.operation in {None, asked.operation}
            and (self.path is None or asked.target.startswith(self.path))
            and (asked.has_cursor or self.kind not in _NEEDS_CURSOR)
        )


@dataclass(slots=True)
class _Tally:
    seen: int = 0
    struck: int = 0


@dataclass(slots=True)
class Faults:
    """Rules in order of precedence: the first that strikes decides; a request meets at most one.

    `seed` decides the probabilities. `max_consecutive` bounds how many failing answers in a row one and the same
    request (method, path and query) meets, so that a client with more attempts than that always gets through.
    """

    rules: Sequence[Fault] = ()
    seed: int = 0
    max_consecutive: int | None = None
    _tallies: list[_Tally] = field(default_factory=list, repr=False)
    _failed: dict[tuple[str, str], int] = field(default_factory=dict, repr=False)
    _quotas: set[str] = field(default_factory=set, repr=False)
    _draws: int = field(default=0, repr=False)
    struck: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rules = tuple(self.rules)
        self._tallies = [_Tally() for _ in self.rules]

    @classmethod
    def script(cls, *rules: Fault) -> Faults:
        """The rules given, and nothing else."""
        return cls(rules)

    @classmethod
    def everything(cls, seed: int = 0, *, drift: bool = False, rate: float = 0.02) -> Faults:
        """Every fault that a correct client recovers from, each with probability `rate` on each request.

        At most two failing answers in a row for the same request, so three attempts always suffice. With `drift`
        every page also carries unknown fields.
        """
        return cls(tuple(_recoverable(rate, drift=drift)), seed=seed, max_consecutive=2)

    @classmethod
    def parse(cls, text: str) -> Faults:
        """Faults from a command line: `everything`, `everything:<seed>`, `drift`, `drift:<seed>` or JSON rules.

        `drift` is everything and drift. The JSON is an array of rules with the fields of `Fault`. Anything else raises
        `ValueError`, which says what was wrong.
        """
        name, _, seed = text.partition(":")
        if name in {"everything", "drift"}:
            return cls.everything(int(seed or 0), drift=name == "drift")
        return cls(msgspec.json.decode(text, type=list[Fault]))

    def choose(self, asked: Asked) -> Fault | None:
        """The fault this request meets, counted; None for an honest answer."""
        request = (asked.method, asked.target)
        fault = self._striking(asked, request)
        if fault is not None and fault.kind in FAILING:
            if len(self._failed) > _REMEMBERED_TARGETS:
                self._failed.clear()
            self._failed[request] = self._failed.get(request, 0) + 1
        else:
            self._failed.pop(request, None)
        if fault is not None:
            self.struck[fault.kind] = self.struck.get(fault.kind, 0) + 1
        return fault

    def _striking(self, asked: Asked, request: tuple[str, str]) -> Fault | None:
        if asked.operation in self._quotas:
            return Fault(kind="daily_quota")
        tired = self.max_consecutive is not None and self._failed.get(request, 0) >= self.max_consecutive
        for rule, tally in zip(self.rules, self._tallies, strict=True):
            if not rule.matches(asked) or (tired and rule.kind in FAILING):
                continue
            tally.seen += 1
            if tally.seen < rule.nth or (rule.times is not None and tally.struck >= rule.times):
                continue
            if rule.probability < 1.0 and not self._happens(rule.probability):
                continue
            tally.struck += 1
            if rule.kind == "daily_quota":
                self._quotas.add(asked.operation)
            return rule
        return None

    def _happens(self, probability: float) -> bool:
        self._draws += 1
        return draw(self.seed, 71, self._draws) / (1 << 64) < probability


def _recoverable(rate: float, *, drift: bool) -> Iterable[Fault]:
    failing: tuple[tuple[Kind, dict[str, Any]], ...] = (
        ("status", {"status": 500}),
        ("status", {"status": 502, "body": "html"}),
        ("status", {"status": 503, "body": "empty"}),
        ("status", {"status": 408}),
        ("rate_limited", {"retry_after": 1}),
        ("rate_limited", {"retry_after": None}),
        ("reset", {}),
        ("reset_mid_body", {}),
        ("truncated_body", {}),
        ("truncated_gzip", {}),
        ("cut_json", {}),
        ("stall", {"seconds": 0.05}),
        ("stall", {"seconds": 0.05, "headers_sent": True}),
        ("garbage", {}),
        ("garbage", {"body": "binary"}),
    )
    bending: tuple[tuple[Kind, dict[str, Any]], ...] = (
        ("slow", {"seconds": 0.05}),
        ("empty_page", {}),
        ("null_list", {"only_empty": True}),
        ("next_form", {"form": "null"}),
        ("next_form", {"form": "absent"}),
        ("duplicates", {}),
        ("reordered", {}),
    )
    for kind, params in (*failing, *bending):
        table = "customers" if kind == "reordered" else None
        operation = "getPeopleById" if kind == "reordered" else None
        yield Fault(kind=kind, table=table, operation=operation, times=None, probability=rate, params=params)
    if drift:
        yield Fault(kind="drift", times=None, params={"what": "extra"})
