"""`simulate`: serve a made-up workspace until Ctrl-C."""

from __future__ import annotations

from functools import wraps
from typing import Any

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.cli.failure import COMPLETE
from cio_replicate.cli.options import command
from customerio_simulator.command import serve_workspace


@command(
    "simulate",
    "cio-replicate simulate",
    "cio-replicate simulate --messages 200000 --days 900 --rps 10",
    "cio-replicate simulate --others-rps 4 --bursts 0.3",
)
@wraps(serve_workspace, assigned=("__annotations__",))
def simulate(**options: Any) -> int:  # noqa: ANN401 - the options of the simulator's own command
    """Serve a made-up Customer.io workspace on this machine until Ctrl-C, to try things without a key.

    The first line of standard output is its address. Nothing leaves this machine.
    """
    try:
        serve_workspace(**options)
    except ValueError as error:
        raise InvalidSettings(str(error)) from None
    return COMPLETE
