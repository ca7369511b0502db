"""The commands about data gateways: create, code, list, revoke, remove where the console is; start, status, unit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cio_replicate.cli.commands import app, examples
from cio_replicate.cli.options import AsJson
from cio_replicate.cli.stored import Shown
from cio_replicate.cli.taking import taking

gateway = typer.Typer(
    name="gateway",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Run tasks inside a private network: no row and no secret of it reaches the console.",
)
app.add_typer(gateway)

HERE, THERE = "Where the console runs", "Where the gateway runs"

Name = Annotated[str, typer.Argument(metavar="NAME", help="The gateway's name, as connections give it.")]
StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        metavar="DIR",
        help="Where this machine's key, and the landed pages of its runs, are kept; a folder of your own user if not "
        "given.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@gateway.command(rich_help_panel=HERE, epilog=examples("cio-replicate gateway create vienna"))
@taking
def create(name: Name, *, shown: Shown) -> int:
    """Make a gateway, and a code with which one machine can serve under its name, once and within the hour."""
    from cio_replicate.cli import gateways as work  # noqa: PLC0415 - so that --help is quick

    return work.create(name, shown)


@gateway.command(rich_help_panel=HERE, epilog=examples("cio-replicate gateway code vienna"))
@taking
def code(name: Name, *, shown: Shown) -> int:
    """Make a code for one more machine: several of one name share the work, and one takes over when another dies."""
    from cio_replicate.cli import gateways as work  # noqa: PLC0415 - see above

    return work.new_code(name, shown)


@gateway.command("list", rich_help_panel=HERE, epilog=examples("cio-replicate gateway list"))
@taking
def list_all(*, shown: Shown) -> int:
    """List all gateways with their machines: version, when each was seen, what it is for."""
    from cio_replicate.cli import gateways as work  # noqa: PLC0415 - see above

    return work.list_all(shown)


@gateway.command(
    rich_help_panel=HERE,
    epilog=examples("cio-replicate gateway revoke vienna", "cio-replicate gateway revoke 4f1c0a9be2d7"),
)
@taking
def revoke(
    target: Annotated[
        str, typer.Argument(metavar="NAME|ID", help="A gateway with all its machines and codes, or one machine's id.")
    ],
    *,
    yes: Yes = False,
    shown: Shown,
) -> int:
    """Shut out machines: from their next request on, nothing that they say is taken, and their runs stop."""
    from cio_replicate.cli import gateways as work  # noqa: PLC0415 - see above

    return work.revoke(target, shown, yes=yes)


@gateway.command(rich_help_panel=HERE, epilog=examples("cio-replicate gateway remove vienna"))
@taking
def remove(name: Name, *, yes: Yes = False, shown: Shown) -> int:
    """Forget a gateway that no connection names any more."""
    from cio_replicate.cli import gateways as work  # noqa: PLC0415 - see above

    return work.remove(name, shown, yes=yes)


@gateway.command(
    rich_help_panel=THERE,
    epilog=examples(
        "cio-replicate gateway start --console https://console.example.com --code 7K3QF-…",
        "cio-replicate gateway start",
    ),
)
def start(
    *,
    console: Annotated[
        str | None,
        typer.Option(
            "--console", metavar="URL", help="The console's address; not needed once this machine is enrolled."
        ),
    ] = None,
    code: Annotated[
        str | None,
        typer.Option(
            "--code",
            metavar="CODE",
            help="What `gateway create` or `gateway code` has shown, or where it is kept: env:NAME or file:/path. "
            "Passed over once this machine is enrolled.",
        ),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            "--ca-file", metavar="FILE", help="Certificates, in PEM format, that alone may vouch for the console."
        ),
    ] = None,
    state_dir: StateDir = None,
    slots: Annotated[
        int, typer.Option("--slots", metavar="COUNT", min=1, max=64, help="Runs at a time on this machine.")
    ] = 2,
    away_minutes: Annotated[
        float,
        typer.Option(
            "--away-minutes",
            metavar="MINUTES",
            min=0,
            max=1_440,
            help="How long a run goes on while the console cannot be reached. Usually it is stopped, in order, before "
            "another machine could take it; with more, two may write for a moment when only one is cut off.",
        ),
    ] = 0.0,
    allow_api: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-api",
            metavar="URL",
            help="Besides Customer.io's own, an address to which the access token may be sent; may be given several "
            "times.",
        ),
    ] = None,
    allow_to: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-to",
            metavar="URL",
            help="A destination that may be written, or a folder in which it may lie, written as in --to; may be given "
            "several times. Any, if not given.",
        ),
    ] = None,
) -> int:
    """Serve as a gateway until a signal: ask the console for runs, execute them here, tell how they go.

    Only calls out, by HTTPS, and listens nowhere; HTTPS_PROXY is used. The first start makes a key on this machine and
    enrols it with the code. On SIGTERM each run finishes its page and its batch and is given back. Ends with 2 when
    the console does not let this machine in.
    """
    from cio_replicate.cli import gateway as work  # noqa: PLC0415 - see above

    return work.start(
        work.Start(
            console=console,
            code=code,
            ca_file=ca_file,
            state_dir=state_dir,
            slots=slots,
            away_minutes=away_minutes,
            allow_api=allow_api or (),
            allow_to=allow_to or (),
        )
    )


@gateway.command(
    rich_help_panel=THERE, epilog=examples("cio-replicate gateway status", "cio-replicate gateway status --json")
)
@taking
def status(*, state_dir: StateDir = None, output: AsJson) -> int:
    """Tell whether this machine's gateway runs and the console answers it: ends with 0 then, else with 1."""
    from cio_replicate.cli import gateway as work  # noqa: PLC0415 - see above

    return work.status(state_dir, output)


@gateway.command(
    rich_help_panel=THERE,
    epilog=examples(
        "cio-replicate gateway unit --console https://console.example.com > cio-replicate-gateway.service",
        "cio-replicate gateway unit --kind container --console https://console.example.com > Containerfile",
    ),
)
def unit(
    *,
    console: Annotated[str, typer.Option("--console", metavar="URL", help="The console's address.")],
    kind: Annotated[
        Literal["systemd", "container"], typer.Option("--kind", metavar="systemd|container", help="Which file.")
    ] = "systemd",
) -> int:
    """Print a file that keeps a gateway running: a systemd unit, or a container file."""
    from cio_replicate.cli import gateway as work  # noqa: PLC0415 - see above

    return work.unit(kind, console)
