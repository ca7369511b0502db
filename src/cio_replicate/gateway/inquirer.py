"""Answers what the console asks about connections besides runs: whether a key works, what the tables hold and cost."""

from __future__ import annotations

import asyncio
import logging
import threading

from cio_replicate.app.settings import connection_of
from cio_replicate.base.errors import BoardAwayError, CioReplicateError, GatewayRefusedError, defect
from cio_replicate.base.runtime import Clock
from cio_replicate.gateway.allowed import GatewayPolicy, require_allowed
from cio_replicate.gateway.job import connection_settings_of
from cio_replicate.gateway.link import GatewayClient
from cio_replicate.gateway.policy import found_to_tell
from cio_replicate.jobs import gateway_protocol as wire
from cio_replicate.jobs.ports import ProbeRequest, ProbeResult, inquire, refused

log = logging.getLogger(__name__)

PAUSE = 3.0  # seconds between two looks for a question


class ProbeRunner:
    """Asks for questions and answers them, one at a time. `step` takes as long as a question does."""

    def __init__(self, name: str, link: GatewayClient, clock: Clock, allowed: GatewayPolicy | None = None) -> None:
        self._name = name
        self._link = link
        self._clock = clock
        self._allowed = allowed or GatewayPolicy()

    def step(self) -> bool:
        """Answer a question, if there is one; whether there was. Raises nothing: what fails is asked again."""
        if not self._link.is_open:
            return False
        try:
            asked = self._link.ask(wire.INQUIRY, wire.ProbeRequestBody(self._name), wire.ProbeAnswer)
            if asked.id is None:
                return False
            found = found_to_tell(self._found(asked))
            self._link.ask(wire.found_path(asked.id), wire.ProbeResultBody(self._name, found), wire.Acknowledged)
        except (BoardAwayError, GatewayRefusedError) as error:
            log.debug("%s", error)  # the board tells the same
            return False
        return True

    def work(self, stop: threading.Event) -> None:
        """Answer questions until it is told to stop."""
        while not stop.wait(PAUSE):
            while not stop.is_set() and self.step():
                pass

    def _found(self, asked: wire.ProbeAnswer) -> ProbeResult:
        try:
            settings = connection_settings_of(asked.connection)
            require_allowed(settings, (), self._allowed)
            connection = connection_of(settings, self._clock, settings.start_date)
            found = asyncio.run(inquire(connection, ProbeRequest(asked.about), self._clock))
        except CioReplicateError as error:
            log.info("A question about a connection: %s", error)
            return refused(error)
        except ValueError:
            return ProbeResult(
                cause="This gateway does not know the question.", fix="Bring it to the console's version."
            )
        except Exception as error:  # noqa: BLE001 - a question must not end whoever answers the next ones
            return ProbeResult(cause=defect(error), fix="Look at the gateway's own log.")
        log.info("A question about a connection (%s): answered with %d requests.", asked.about, found.requests)
        return found
