"""The access gate: nothing is kept before the API has let every selected table in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable


class AccessGate:
    """Opens when each table has had its first answer, or after `patience` seconds: one slow table must not hold all.

    Until then an access error means that settings are wrong and the run leaves no trace; afterwards it fails a table.
    """

    def __init__(self, tables: Iterable[str], patience: float) -> None:
        self._waiting = set(tables)
        self._patience = patience
        self._open = asyncio.Event()
        if not self._waiting:
            self._open.set()

    @property
    def is_open(self) -> bool:
        """Whether landing may begin."""
        return self._open.is_set()

    def passed(self, table: str) -> None:
        """The API has answered for this table, well or badly, but not with a refusal of the key."""
        self._waiting.discard(table)
        if not self._waiting:
            self._open.set()

    async def opened(self) -> None:
        """Return when the gate is open."""
        try:
            async with asyncio.timeout(self._patience):
                await self._open.wait()
        except TimeoutError:
            self._open.set()
