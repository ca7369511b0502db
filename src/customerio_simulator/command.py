"""The command line: serve a made-up workspace until Ctrl-C."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from .faults import Faults
from .server import DEFAULT_TOKEN, serve
from .spec import DAY, WorkspaceSpec


def serve_workspace(  # noqa: PLR0913  (each is an option)
    *,
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65_535, help="Port on this machine; 0 takes a free one.")
    ] = 0,
    messages: Annotated[
        int, typer.Option(metavar="COUNT", min=0, help="Messages that the workspace has sent.")
    ] = 3_000,
    people: Annotated[int, typer.Option(metavar="COUNT", min=0, help="People in the workspace.")] = 250,
    activities: Annotated[int, typer.Option(metavar="COUNT", min=0, help="Entries in the log of activities.")] = 1_200,
    days: Annotated[int, typer.Option(metavar="COUNT", min=1, help="Days over which the messages were sent.")] = 400,
    bursts: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Share of the messages that are sent in short bursts, as newsletters are.",
        ),
    ] = 0.0,
    rps: Annotated[
        int, typer.Option(metavar="NUMBER", min=0, help="Requests per second that are let through; 0 for no limit.")
    ] = 10,
    others_rps: Annotated[
        float,
        typer.Option(
            metavar="NUMBER", min=0, help="Requests per second that somebody else makes, within the same limit."
        ),
    ] = 0.0,
    latency: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Time that passes before each answer.")
    ] = 0.0,
    seed: Annotated[
        int, typer.Option(metavar="NUMBER", help="Another number makes another workspace, the same one the same.")
    ] = 1,
    token: Annotated[
        str, typer.Option(metavar="TOKEN", help="The access token that is let in; made up, as all of this.")
    ] = DEFAULT_TOKEN,
    faults: Annotated[
        str,
        typer.Option(
            metavar="none|everything",
            help="Whether to misbehave in every way a client must survive: errors, resets, cut answers, odd pages.",
        ),
    ] = "none",
) -> None:
    """Serve a made-up Customer.io workspace on this machine until Ctrl-C.

    The first line of standard output is its address. Nothing leaves this machine.
    """  # ends with ValueError for what cannot be served
    misbehaviour = _faults(faults, seed)
    usual = WorkspaceSpec()
    end = min(usual.now, int(time.time()) // DAY * DAY - 2 * DAY)  # the same on every day, and never in the future
    spec = WorkspaceSpec(
        seed=seed,
        messages=messages,
        people=people,
        activities=activities,
        bursts=bursts,
        start=end - days * DAY,
        now=end,
    )

    def listening(url: str) -> None:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        day = datetime.fromtimestamp(spec.start, UTC).date()
        sys.stderr.write(
            "A made-up workspace is served at the address above until Ctrl-C. To copy it, in another terminal:\n"
            f"  export CIO_ACCESS_TOKEN={token}\n"
            f"  cio-replicate sync --start-date {day} --to duckdb:///simulated.duckdb --api-url {url}\n"
        )

    try:
        serve(
            spec,
            port=port,
            token=token,
            rps=rps or None,
            latency=latency,
            others_rps=others_rps,
            faults=misbehaviour,
            on_listening=listening,
        )
    except OSError as error:
        cause = f"Port {port} cannot be used ({error.strerror or error})."
        raise ValueError(f"{cause} Choose another --port, or 0 for a free one.") from None


def _faults(name: str, seed: int) -> Faults:
    if name == "none":
        return Faults()
    if name == "everything":
        return Faults.everything(seed)
    raise ValueError(f"There are no faults {name!r}. Choose none or everything.")
