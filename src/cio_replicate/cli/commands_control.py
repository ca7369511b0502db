"""The commands about channels, secrets and files: what connections and tasks need besides themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer

from cio_replicate.cli.commands import app, examples
from cio_replicate.cli.commands_connections import Yes
from cio_replicate.cli.stored import At, Shown
from cio_replicate.cli.taking import taking
from cio_replicate.config.documents import EVENTS, ChannelUrl, Events

ChannelName = Annotated[str, typer.Argument(metavar="NAME", help="The channel, by its name.")]
MaybeUrl = Annotated[str | None, get_args(ChannelUrl)[1]]
SecretName = Annotated[str, typer.Argument(metavar="NAME", help="The secret, by its name.")]

channel = typer.Typer(
    name="channel",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Keep places that notifications go to: e-mail, Slack, webhooks and many more.",
)
secret = typer.Typer(
    name="secret",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Store secrets encrypted. They can be replaced and removed, and never be read back.",
)
app.add_typer(channel)
app.add_typer(secret)


@channel.command(
    "create",
    epilog=examples(
        "echo slack://TokenA/TokenB/TokenC | cio-replicate channel create team --url-stdin",
        "cio-replicate channel create team --url env:TEAM_URL --event failure --event recovery",
    ),
)
@taking
def create_channel(
    name: ChannelName,
    *,
    url: MaybeUrl = None,
    url_given: Annotated[
        bool,
        typer.Option(
            "--url-stdin", metavar="", help="Take the address from standard input, or ask for it, and store it."
        ),
    ] = False,
    events: Events = list(EVENTS),  # noqa: B006 - nobody changes it
    shown: Shown,
) -> int:
    """Keep a channel under a name, so that tasks can notify it. Its address is written as Apprise does."""
    from cio_replicate.cli import channels as work  # noqa: PLC0415 - so that --help is quick

    return work.create(name, url, events, shown, url_given=url_given)


@channel.command("list", epilog=examples("cio-replicate channel list"))
@taking
def list_channels(*, shown: Shown) -> int:
    """List the channels, and the tasks that notify them."""
    from cio_replicate.cli import channels as work  # noqa: PLC0415 - see above

    return work.list_all(shown)


@channel.command("test", epilog=examples("cio-replicate channel test team"))
@taking
def test_channel(name: ChannelName, *, shown: Shown) -> int:
    """Send a notification to a channel, to see whether it arrives. Ends with 2 when it was not taken."""
    from cio_replicate.cli import channels as work  # noqa: PLC0415 - see above

    return work.test(name, shown)


@channel.command("delete", epilog=examples("cio-replicate channel delete team"))
@taking
def delete_channel(name: ChannelName, *, yes: Yes = False, shown: Shown) -> int:
    """Delete a channel that no task names, with the address that was stored for it."""
    from cio_replicate.cli import channels as work  # noqa: PLC0415 - see above

    return work.delete(name, shown, yes=yes)


@secret.command(
    "put", epilog=examples("cio-replicate secret put warehouse < password.txt", "cio-replicate secret put warehouse")
)
@taking
def put_secret(name: SecretName, *, shown: Shown) -> int:
    """Store a secret, or replace it: it comes by standard input, or is asked for and typed unseen.

    Write `stored:NAME` where it is needed, such as `--to 'postgresql://loader@db/crm?password=stored:warehouse'`.
    """
    from cio_replicate.cli import secrets as work  # noqa: PLC0415 - see above

    return work.put(name, shown)


@secret.command("list", epilog=examples("cio-replicate secret list"))
@taking
def list_secrets(*, shown: Shown) -> int:
    """List what is stored: names, when each was put, and what uses it."""
    from cio_replicate.cli import secrets as work  # noqa: PLC0415 - see above

    return work.list_all(shown)


@secret.command("remove", epilog=examples("cio-replicate secret remove warehouse"))
@taking
def remove_secret(name: SecretName, *, yes: Yes = False, shown: Shown) -> int:
    """Forget a secret that nothing uses."""
    from cio_replicate.cli import secrets as work  # noqa: PLC0415 - see above

    return work.remove(name, shown, yes=yes)


@secret.command("rotate", epilog=examples("cio-replicate secret rotate"))
@taking
def rotate_key(
    *,
    key_lost: Annotated[
        bool,
        typer.Option(
            "--key-lost", metavar="", help="Go on without the old key: what it had encrypted is removed, and named."
        ),
    ] = False,
    yes: Yes = False,
    shown: Shown,
) -> int:
    """Make a new key and encrypt every stored secret with it; the old key is forgotten then.

    It may be stopped or killed at any moment: nothing is lost, and running it again finishes it.
    """
    from cio_replicate.cli import secrets as work  # noqa: PLC0415 - see above

    return work.rotate(shown, key_lost=key_lost, yes=yes)


@app.command(epilog=examples("cio-replicate apply cio-replicate.toml", "cio-replicate apply settings/ --prune --yes"))
@taking
def apply(
    place: Annotated[
        Path,
        typer.Argument(metavar="FILE|FOLDER", help="A file of settings, or a folder with files that end in .toml."),
    ],
    *,
    yes: Yes = False,
    prune: Annotated[
        bool, typer.Option("--prune", metavar="", help="Also delete what is kept and not in the files.")
    ] = False,
    shown: Shown,
) -> int:
    """Bring what is kept to what files say: connections, tasks and channels. The difference is shown first.

    Everything is changed, or nothing is. What is so already is left alone.
    """
    from cio_replicate.cli import files as work  # noqa: PLC0415 - see above

    return work.apply(place, shown, yes=yes, prune=prune)


@app.command(
    epilog=examples("cio-replicate export > cio-replicate.toml", "cio-replicate export --schema > schema.json")
)
@taking
def export(
    *,
    schema: Annotated[
        bool, typer.Option("--schema", metavar="", help="Write the JSON Schema of such a file instead.")
    ] = False,
    at: At,
) -> int:
    """Write all connections, tasks and channels as a file that `apply` takes; no secret is in it."""
    from cio_replicate.cli import files as work  # noqa: PLC0415 - see above

    return work.schema() if schema else work.export(at)
