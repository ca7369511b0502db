"""The command that starts the web console."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cio_replicate.cli.commands import app, examples
from cio_replicate.cli.stored import At
from cio_replicate.cli.taking import taking

REACHED, PROTECTED = "Where it is reached", "How it is protected"


@app.command(
    epilog=examples(
        "cio-replicate console",
        "cio-replicate console --port 0 --store sqlite:////tmp/try.db",
        "cio-replicate console --host 0.0.0.0 --url https://console.example.com --trusted-proxy 10.0.0.5",
        "cio-replicate console --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem --allowed-host console.example.com",
    )
)
@taking
def console(  # noqa: PLR0913 - an option is an argument
    *,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Where it listens; other machines reach only what is not loopback.",
            rich_help_panel=REACHED,
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(metavar="PORT", min=0, max=65_535, help="The port; 0 takes a free one.", rich_help_panel=REACHED),
    ] = 8765,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Its address for people, when a proxy stands before it.", rich_help_panel=REACHED
        ),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST",
            help="A further name that it answers to; may be given several times.",
            rich_help_panel=REACHED,
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The certificate, to speak TLS by itself, in PEM.", rich_help_panel=PROTECTED
        ),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The certificate's key, in PEM.", rich_help_panel=PROTECTED)
    ] = None,
    trusted_proxy: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="The proxy that is believed when it says who calls; without it, tries to log in are counted for the "
            "proxy itself.",
            rich_help_panel=PROTECTED,
        ),
    ] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where landed pages of the runs are kept; a folder of your own user if not given.",
            rich_help_panel="Where it is kept",
        ),
    ] = None,
    at: At,
) -> int:
    """Serve the web console: connections, tasks, schedules, runs, proofs; until Ctrl-C.

    The first start prints a link, with which the first user becomes the admin; there is no default password. Tasks run
    by their schedules as long as the console does. Needs the extra: pip install 'cio-replicate[console]'.
    """
    from cio_replicate.cli import console as work  # noqa: PLC0415 - so that --help is quick

    return work.console(
        work.Reached(host, port, url, tuple(allowed_host or ()), tls_cert, tls_key, trusted_proxy),
        at.store,
        state_dir,
    )
