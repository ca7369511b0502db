"""Answers kept as they were sent, for whoever asks the same again, in bounded memory."""

from __future__ import annotations

from collections.abc import Hashable

_OVERHEAD = 200  # bytes that an answer takes beside its body, about


class AnswerCache:
    """Bodies by what was asked, all of one state of the workspace; what is kept never takes more than `most` bytes.

    When it is full it takes nothing more, so that a list longer than fits and read over and over is served from here
    in part rather than never. What nobody asks for any more goes when it keeps more answers out than there are.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._clear(None)

    def _clear(self, state: Hashable) -> None:
        self._state = state
        self._bodies: dict[Hashable, bytes] = {}
        self._size = self._kept_out = 0

    @property
    def size(self) -> int:
        """Bytes in use, about."""
        return self._size

    def get(self, state: Hashable, asked: Hashable) -> bytes | None:
        """The body that was sent for this when the workspace was in this state, if it is kept."""
        if state != self._state:
            self._clear(state)
        body = self._bodies.get(asked)
        if body is not None:
            self._kept_out = 0
        return body

    def put(self, state: Hashable, asked: Hashable, body: bytes) -> None:
        """Keeps the body, if there is room."""
        if state != self._state or asked in self._bodies:
            return
        if self._size + len(body) + _OVERHEAD > self._most:
            self._kept_out += 1
            if self._kept_out > len(self._bodies):
                self._clear(state)
            return
        self._bodies[asked] = body
        self._size += len(body) + _OVERHEAD
