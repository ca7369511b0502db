"""Enrolment: a key pair is made on this machine, and its public half goes to the console, with a one-time code."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

import tenacity

from cio_replicate.base.errors import BoardAwayError, StateFolderError
from cio_replicate.base.runtime import Clock
from cio_replicate.base.version import __version__
from cio_replicate.gateway.identity import Enrolment, GatewayFolder
from cio_replicate.gateway.key import MemberKey, new_key, read_key
from cio_replicate.gateway.link import GatewayClient
from cio_replicate.jobs import gateway_protocol as wire
from cio_replicate.jobs.job import PROTOCOL

ATTEMPTS = 4


def enrol(
    folder: GatewayFolder,
    console: str,
    code: str,
    clock: Clock,
    *,
    ca_file: Path | None = None,
    pause: Callable[[float], None],
) -> Enrolment:
    """Enrol this machine and remember it. Raises GatewayRefusedError for a code that does not count, BoardAwayError.

    The key is kept before it is shown to anybody: when the answer is lost, the same command asks again, as the same.
    """
    key = _kept_key(folder)
    wish = wire.EnrolRequest(code.strip(), platform.node() or "unnamed", key.public, __version__, PROTOCOL)
    again = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(BoardAwayError),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=5),
        sleep=pause,
        reraise=True,
    )
    with GatewayClient(console, key, key.thumbprint, clock, ca_file=ca_file) as link:
        enrolled = again(link.ask, wire.ENROL, wish, wire.Enrolled)
    identity = Enrolment(
        console=console,
        gateway=enrolled.gateway,
        member=enrolled.member,
        ca_file=str(ca_file.absolute()) if ca_file is not None else None,
    )
    folder.remember(identity)
    return identity


def _kept_key(folder: GatewayFolder) -> MemberKey:
    try:
        return read_key(folder.path)
    except StateFolderError:  # none yet, or one that is worth nothing
        key = new_key()
        key.write(folder.path)
        return key
