"""`console`: serve the web console until a signal."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cio_replicate.app.settings import state_root
from cio_replicate.base.runtime import SystemClock
from cio_replicate.cli.failure import COMPLETE
from cio_replicate.cli.options import StoreOptions, command, option
from cio_replicate.cli.terminal import log_to_stderr, messages, product, say, say_as_is
from cio_replicate.console.installation import opened
from cio_replicate.console.web.application import listening, serve
from cio_replicate.console.web.http_security import Site, site

REACHED, PROTECTED = "Where it is reached", "How it is protected"


@dataclass(frozen=True, kw_only=True)
class ConsoleUrlOptions:
    """Where the console is reached, how it is protected, and where it keeps pages, as the user wrote it."""

    host: Annotated[
        str, option("--host", "ADDRESS", "Where it listens; other machines reach only what is not loopback.", REACHED)
    ] = "127.0.0.1"
    port: Annotated[int, option("--port", "PORT", "The port; 0 takes a free one.", REACHED, min=0, max=65_535)] = 8765
    url: Annotated[
        str | None, option("--url", "URL", "Its address for people, when a proxy stands before it.", REACHED)
    ] = None
    allowed_host: Annotated[
        list[str] | None,
        option("--allowed-host", "HOST", "A further name that it answers to; may be given several times.", REACHED),
    ] = None
    tls_cert: Annotated[
        Path | None, option("--tls-cert", "FILE", "The certificate, to speak TLS by itself, in PEM.", PROTECTED)
    ] = None
    tls_key: Annotated[Path | None, option("--tls-key", "FILE", "The certificate's key, in PEM.", PROTECTED)] = None
    trusted_proxy: Annotated[
        str | None,
        option(
            "--trusted-proxy",
            "ADDRESS",
            "The proxy that is believed when it says who calls; without it, tries to log in are counted for the "
            "proxy itself.",
            PROTECTED,
        ),
    ] = None
    state_dir: Annotated[
        Path | None,
        option(
            "--state-dir",
            "DIR",
            "Where landed pages of the runs are kept; a folder of your own user if not given.",
            "Where it is kept",
        ),
    ] = None


@command(
    "console",
    "cio-replicate console",
    "cio-replicate console --port 0 --store sqlite:////tmp/try.db",
    "cio-replicate console --host 0.0.0.0 --url https://console.example.com --trusted-proxy 10.0.0.5",
    "cio-replicate console --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem --allowed-host console.example.com",
)
def console(*, reached: ConsoleUrlOptions, at: StoreOptions) -> int:
    """Serve the web console: connections, tasks, schedules, runs, proofs; until Ctrl-C.

    The first start prints a link, with which the first user becomes the admin; there is no default password. Tasks run
    by their schedules as long as the console does. Needs the extra: pip install 'cio-replicate[console]'.
    """
    clock, environment = SystemClock(), dict(os.environ)
    log_to_stderr(logging.WARNING, "cio_replicate", "uvicorn.error")
    allowed = tuple(reached.allowed_host or ())
    tls = reached.tls_cert is not None
    site(reached.host, reached.port, reached.url, allowed, tls=tls)  # refused before anything is opened
    taken = listening(reached.host, reached.port, reached.tls_cert, reached.tls_key, reached.trusted_proxy)
    here = site(reached.host, taken.port, reached.url, allowed, tls=tls)
    with taken.server, opened(at.store, environment, clock) as kept:
        serve(
            taken,
            here,
            kept.database,
            kept.keys,
            clock,
            state_root(reached.state_dir),
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
