"""`simulate`: serve a made-up workspace until Ctrl-C."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.cli.options import command
from cio_replicate.cli.terminal import messages as message_console
from cio_replicate.cli.terminal import say_as_is
from cio_replicate.config.connection_options import TOKEN_VARIABLE
from customerio_simulator import Faults, WorkspaceSpec, serve

DAY = 86_400


@dataclass(frozen=True, kw_only=True)
class WorkspaceSizeOptions:
    """How much the workspace holds."""

    messages: Annotated[int, typer.Option(metavar="COUNT", min=0, help="Messages that the workspace has sent.")] = 3_000
    people: Annotated[int, typer.Option(metavar="COUNT", min=0, help="People in the workspace.")] = 250
    activities: Annotated[int, typer.Option(metavar="COUNT", min=0, help="Entries in the log of activities.")] = 1_200
    days: Annotated[int, typer.Option(metavar="COUNT", min=1, help="Days over which the messages were sent.")] = 400
    bursts: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Share of the messages that are sent in short bursts, as newsletters are.",
        ),
    ] = 0.0


@dataclass(frozen=True, kw_only=True)
class SimulatorOptions:
    """Which workspace is made up, who is let in, and how callers are treated."""

    rps: Annotated[
        int, typer.Option(metavar="NUMBER", min=0, help="Requests per second that are let through; 0 for no limit.")
    ] = 10
    others_rps: Annotated[
        float,
        typer.Option(
            metavar="NUMBER", min=0, help="Requests per second that somebody else makes, within the same limit."
        ),
    ] = 0.0
    latency: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="Time that passes before each answer.")] = 0.0
    seed: Annotated[
        int, typer.Option(metavar="NUMBER", help="Another number makes another workspace, the same one the same.")
    ] = 1
    token: Annotated[
        str, typer.Option(metavar="TOKEN", help="The access token that is let in; made up, as all of this.")
    ] = "simulator-token"  # noqa: S105 - opens nothing but the simulator
    faults: Annotated[
        str,
        typer.Option(
            metavar="none|everything",
            help="Whether to misbehave in every way a client must survive: errors, resets, cut answers, odd pages.",
        ),
    ] = "none"


@command(
    "simulate",
    "cio-replicate simulate",
    "cio-replicate simulate --messages 200000 --days 900 --rps 10",
    "cio-replicate simulate --others-rps 4 --bursts 0.3",
)
def simulate(
    *,
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65_535, help="Port on this machine; 0 takes a free one.")
    ] = 0,
    size: WorkspaceSizeOptions,
    treatment: SimulatorOptions,
) -> int:
    """Serve a made-up Customer.io workspace on this machine until Ctrl-C, to try things without a key.

    The first line of standard output is its address. Nothing leaves this machine.
    """
    spec = spec_of(size, treatment.seed, time.time())
    misbehaviour = faults_of(treatment.faults, treatment.seed)

    def listening(url: str) -> None:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        console = message_console()
        for line in hints(url, treatment.token, spec.start):
            say_as_is(console, line)

    try:
        serve(
            spec,
            port=port,
            token=treatment.token,
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


def spec_of(size: WorkspaceSizeOptions, seed: int, now: float) -> WorkspaceSpec:
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
