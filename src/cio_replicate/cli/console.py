"""`console`: serve the web console until a signal."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from cio_replicate.app.settings import state_root
from cio_replicate.base.runtime import SystemClock
from cio_replicate.cli.failure import COMPLETE
from cio_replicate.cli.terminal import messages, product, say, say_as_is
from cio_replicate.console.installation import opened
from cio_replicate.console.web.application import listening, serve
from cio_replicate.console.web.http_security import Site, site


@dataclass(frozen=True, slots=True)
class Reached:
    """Where the console is reached, as the user wrote it."""

    host: str
    port: int
    url: str | None
    allowed: tuple[str, ...]
    certificate: Path | None
    key: Path | None
    proxy: str | None


def console(reached: Reached, store: str | None, state_dir: Path | None) -> int:
    """Serve until a signal; the exit code. Raises Refused and DatabaseError."""
    clock, environment = SystemClock(), dict(os.environ)
    _log_to_stderr()
    tls = reached.certificate is not None
    site(reached.host, reached.port, reached.url, reached.allowed, tls=tls)  # refused before anything is opened
    taken = listening(reached.host, reached.port, reached.certificate, reached.key, reached.proxy)
    here = site(reached.host, taken.port, reached.url, reached.allowed, tls=tls)
    with taken.server, opened(store, environment, clock) as kept:
        serve(
            taken,
            here,
            kept.database,
            kept.keys,
            clock,
            state_root(state_dir),
            environment=environment,
            ready=lambda link: _tell(here, link, kept.database.shown),
        )
    say(messages(), "Ended; runs that had begun go on from their last page when the console is started again.")
    return COMPLETE


def _tell(here: Site, link: str | None, store: str) -> None:
    """Say where the console is; while there is no user, the link that makes the first one."""
    out, told = product(), messages()
    say_as_is(out, f"{here.url}/" if link is None else f"{here.url}/welcome/{link}")
    sys.stdout.flush()
    if link is None:
        say(told, "The console is at the address above until Ctrl-C.")
    else:
        say(told, "Nobody can log in yet: open the link above, once, to become the admin. Ctrl-C ends the console.")
    say(told, f"It keeps its settings in {store}.")


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    for name in ("cio_replicate", "uvicorn.error"):
        log = logging.getLogger(name)
        log.addHandler(handler)
        log.setLevel(logging.WARNING)
