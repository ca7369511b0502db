"""Everything one running simulator holds together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from .answer_cache import AnswerCache
from .behaviour import Behaviour
from .faults import Faults
from .gate import SlidingWindow
from .request_log import RequestLog
from .workspace import Workspace

_ANSWERS_KEPT = 256 * 1024 * 1024  # bytes: three million deliveries, compressed


@dataclass(slots=True)
class SimulatorState:
    """`closing` is set when the server stops, so that stalled answers let go at once.

    `bugs` are exceptions that no answer was made of: mistakes of the simulator, never of a client.
    """

    workspace: Workspace
    behaviour: Behaviour
    faults: Faults
    log: RequestLog
    answers: AnswerCache = field(default_factory=lambda: AnswerCache(_ANSWERS_KEPT))
    window: SlidingWindow = field(default_factory=SlidingWindow)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    bugs: list[Exception] = field(default_factory=list)
