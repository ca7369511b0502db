"""`simulate`: serve a made-up workspace until Ctrl-C."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.cli.terminal import messages as message_console
from cio_replicate.cli.terminal import say_as_is
from cio_replicate.config.connection_options import TOKEN_VARIABLE
from customerio_simulator import Faults, WorkspaceSpec, serve

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Size:
    """How much the workspace holds."""

    messages: int
    people: int
    activities: int
    days: int
    bursts: float = 0.0


@dataclass(frozen=True, slots=True)
class Treatment:
    """How callers are treated: requests per second let through (0: no limit), others' among them, seconds to wait."""

    rps: int
    others_rps: float
    latency: float


def simulate(size: Size, seed: int, port: int, token: str, treatment: Treatment, *, faults: str) -> int:
    """Serve until a signal; the exit code. Raises Refused."""
    spec = spec_of(size, seed, time.time())
    misbehaviour = faults_of(faults, seed)

    def listening(url: str) -> None:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        console = message_console()
        for line in hints(url, token, spec.start):
            say_as_is(console, line)

    try:
        serve(
            spec,
            port=port,
            token=token,
            rps=treatment.rps or None,
            latency=treatment.latency,
            others_rps=treatment.others_rps,
            faults=misbehaviour,
            on_listening=listening,
        )
    except OSError as error:
        raise InvalidSettings(
            f"Port {port} cannot be used ({error.strerror or error}).", "Choose another --port, or 0 for a free one."
        ) from None
    return 0


def spec_of(size: Size, seed: int, now: float) -> WorkspaceSpec:
    """The workspace. Its last moment is the same on every day, unless that would lie in the future."""
    usual = WorkspaceSpec()
    end = min(usual.now, int(now) // DAY * DAY - 2 * DAY)
    return WorkspaceSpec(
        seed=seed,
        messages=size.messages,
        people=size.people,
        activities=size.activities,
        bursts=size.bursts,
        start=end - size.days * DAY,
        now=end,
    )


def faults_of(name: str, seed: int) -> Faults:
    """The misbehaviour of that name. Raises Refused when there is none."""
    if name == "none":
        return Faults()
    if name == "everything":
        return Faults.everything(seed)
    raise InvalidSettings(f"There are no faults {name!r}.", "Choose none or everything.")


def hints(url: str, token: str, start: int) -> list[str]:
    """How to read the workspace, in commands that can be copied."""
    day = datetime.fromtimestamp(start, UTC).date()
    return [
        "A made-up workspace is served at the address above until Ctrl-C. To copy it, in another terminal:",
        f"  export {TOKEN_VARIABLE}={token}",
        f"  cio-replicate sync --start-date {day} --to duckdb:///simulated.duckdb --api-url {url}",
    ]
