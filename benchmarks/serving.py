"""The simulator's own process: serves the workspace of the recipe on the command line until it is ended."""

from __future__ import annotations

import sys

import msgspec

from customerio_simulator import WorkspaceSpec, serve

KEPT_REQUESTS = 100_000


class Serving(msgspec.Struct):
    """What is served, and how; `rps` None for no limit, `latency` in seconds."""

    spec: WorkspaceSpec
    token: str
    rps: int | None
    latency: float


def main(argument: str) -> None:
    """Serve what the JSON in `argument` says; the first line of standard output is the address."""
    serving = msgspec.json.decode(argument, type=Serving)
    serve(
        serving.spec,
        token=serving.token,
        rps=serving.rps,
        latency=serving.latency,
        keep_requests=KEPT_REQUESTS,
        on_listening=lambda url: print(url, flush=True),
    )


if __name__ == "__main__":
    main(sys.argv[1])
