"""`channel`, `secret`, `apply` and `export`: what connections and tasks need, and all settings as files."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.base.text import counted
from cio_replicate.cli.editing import acting, field_line
from cio_replicate.cli.failure import COMPLETE, REFUSED
from cio_replicate.cli.options import StoreOptions, StoreOutputOptions, Yes, argument, command, flag
from cio_replicate.cli.terminal import (
    answer,
    as_json,
    grid_of,
    messages,
    product,
    require_meant,
    say,
    secret_from_input,
    write_json,
)
from cio_replicate.config.documents import EVENTS, ChannelSettings, json_schema, plain
from cio_replicate.config.secret_references import caution
from cio_replicate.console import settings_files
from cio_replicate.console.apply_settings import Change, ChangeContext, ChangeKind
from cio_replicate.console.apply_settings import shown as shown_value
from cio_replicate.console.installation import opened
from cio_replicate.console.notifications import scrubbed, send_by_apprise
from cio_replicate.database.connection import KEY_VARIABLE
from cio_replicate.database.rows import StoredChannel, documents_of
from cio_replicate.pipeline.report import iso

TITLE = "cio-replicate can reach this channel"
BODY = "This was sent to try it out: notifications of tasks will come here."
_COLORS = {ChangeKind.CREATE: "green", ChangeKind.EDIT: "yellow", ChangeKind.DELETE: "red"}
ChannelName = Annotated[str, argument("NAME", "The channel, by its name.")]
SecretName = Annotated[str, argument("NAME", "The secret, by its name.")]


@command(
    "channel create",
    "echo slack://TokenA/TokenB/TokenC | cio-replicate channel create team --url-stdin",
    "cio-replicate channel create team --url env:TEAM_URL --event failure --event recovery",
)
def create_channel(
    name: ChannelName,
    *,
    url: str | None = None,
    url_given: Annotated[
        bool, flag("--url-stdin", "Take the address from standard input, or ask for it, and store it.")
    ] = False,
    events: list[str] = list(EVENTS),  # noqa: B006 - nobody changes it
    shown: StoreOutputOptions,
) -> int:
    """Keep a channel under a name, so that tasks can notify it. Its address is written as Apprise does."""
    if (url is None) != url_given:
        raise InvalidSettings(
            "It is not clear where the channel leads to.",
            "Give --url with where its address is kept, or --url-stdin and the address by standard input.",
        )
    with opened(shown.store) as store:
        address = secret_from_input("The address of the channel") if url_given else None
        settings = ChannelSettings(url=url or "", events=events)
        stored = store.channels.create(name, settings, acting(), address)
    said = f"Made the channel {name}. `cio-replicate channel test {name}` sends something there."
    return answer(shown, _channel_document(stored), said)


@command("channel list", "cio-replicate channel list")
def list_channels(*, shown: StoreOutputOptions) -> int:
    """List the channels, and the tasks that notify them."""
    with opened(shown.store) as store:
        found, tasks = store.channels.all(), store.tasks.all()
    rows = []
    for one in found:
        users = ", ".join(task.name for task in tasks if one.name in task.settings.notify)
        rows.append((one.name, one.settings.url, ", ".join(one.settings.events), users))
    document = {"channels": [_channel_document(one) for one in found]}
    nothing = "There is no channel yet: `cio-replicate channel create` makes one."
    return answer(shown, document, grid_of(("channel", "address", "events", "tasks"), rows) if rows else nothing)


@command("channel test", "cio-replicate channel test team")
def test_channel(name: ChannelName, *, shown: StoreOutputOptions) -> int:
    """Send a notification to a channel, to see whether it arrives. Ends with 2 when it was not taken."""
    with opened(shown.store) as store:
        address = store.channels.address(name)
    said = send_by_apprise(address, TITLE, BODY)
    error = None if said is None else scrubbed(said, address)
    if shown.json:
        as_json({"status": "sent" if error is None else "refused", "channel": name, "error": error})
    elif error is None:
        say(product(), f"Sent a notification to {name}.")
    else:
        say(product(), f"Nothing could be sent to {name}: {error.rstrip('.')}. Check its address.", "red")
    return COMPLETE if error is None else REFUSED


@command("channel delete", "cio-replicate channel delete team")
def delete_channel(name: ChannelName, *, yes: Yes = False, shown: StoreOutputOptions) -> int:
    """Delete a channel that no task names, with the address that was stored for it."""
    with opened(shown.store) as store:
        store.channels.named(name)
        require_meant(f"Delete the channel {name}?", "Nothing was deleted.", yes=yes)
        store.channels.delete(name, acting())
    return answer(shown, {"status": "deleted", "channel": name}, f"Deleted the channel {name}.")


def _channel_document(stored: StoredChannel) -> dict[str, Any]:
    return {"name": stored.name, "settings": plain(stored.settings)}


@command("secret put", "cio-replicate secret put warehouse < password.txt", "cio-replicate secret put warehouse")
def put_secret(name: SecretName, *, shown: StoreOutputOptions) -> int:
    """Store a secret, or replace it: it comes by standard input, or is asked for and typed unseen.

    Write `stored:NAME` where it is needed, such as `--to 'postgresql://loader@db/crm?password=stored:warehouse'`.
    """
    with opened(shown.store) as store:
        replaced = store.secrets.put(name, secret_from_input(f"The secret {name}"), acting())
        where = store.keys.shown
    said = caution(os.environ.get(KEY_VARIABLE, ""), os.environ)
    if said is not None:
        say(messages(), said, "yellow")
    done = "Replaced" if replaced else "Stored"
    return answer(
        shown,
        {"status": done.lower(), "secret": name, "key": where},
        f"{done} the secret {name}. Write stored:{name} where it is needed.",
        f"It is encrypted; the key is in {where}. Keep a copy of the key, and not beside the database.",
    )


@command("secret list", "cio-replicate secret list")
def list_secrets(*, shown: StoreOutputOptions) -> int:
    """List what is stored: names, when each was put, and what uses it."""
    with opened(shown.store) as store:
        found, where = store.secrets.all(), store.keys.shown
    listed = [{"name": one.name, "changed": iso(one.changed_at), "used_by": list(one.used_by)} for one in found]
    rows = [(one.name, iso(one.changed_at), ", ".join(one.used_by)) for one in found]
    document = {"key": where, "secrets": listed}
    nothing = "No secret is stored yet: `cio-replicate secret put` stores one."
    return answer(shown, document, grid_of(("secret", "changed", "used by"), rows) if rows else nothing)


@command("secret remove", "cio-replicate secret remove warehouse")
def remove_secret(name: SecretName, *, yes: Yes = False, shown: StoreOutputOptions) -> int:
    """Forget a secret that nothing uses."""
    with opened(shown.store) as store:
        require_meant(f"Remove the secret {name}?", "Nothing was removed.", yes=yes)
        store.secrets.remove(name, acting())
    return answer(shown, {"status": "removed", "secret": name}, f"Removed the secret {name}.")


@command("secret rotate", "cio-replicate secret rotate")
def rotate_key(
    *,
    key_lost: Annotated[
        bool, flag("--key-lost", "Go on without the old key: what it had encrypted is removed, and named.")
    ] = False,
    yes: Yes = False,
    shown: StoreOutputOptions,
) -> int:
    """Make a new key and encrypt every stored secret with it; the old key is forgotten then.

    It may be stopped or killed at any moment: nothing is lost, and running it again finishes it.
    """
    with opened(shown.store) as store:
        question = "Remove the stored secrets that the present key does not open?"
        require_meant(question, "Nothing was removed.", yes=yes or not key_lost)
        done, where = store.secrets.rotate(acting(), key_lost=key_lost), store.keys.shown
        if key_lost:
            store.connections.recognise()
    if shown.json:
        as_json({"status": "rotated", "key": where, "renewed": done.renewed, "lost": list(done.lost)})
        return COMPLETE
    console = product()
    say(console, f"Encrypted {counted(done.renewed, 'secret')} with a new key, which is in {where}.")
    if done.lost:
        say(console, f"Removed, since no key opens them: {', '.join(done.lost)}. Put them again.", "red")
    return COMPLETE


@command("apply", "cio-replicate apply cio-replicate.toml", "cio-replicate apply settings/ --prune --yes")
def apply(
    place: Annotated[Path, argument("FILE|FOLDER", "A file of settings, or a folder with files that end in .toml.")],
    *,
    yes: Yes = False,
    prune: Annotated[bool, flag("--prune", "Also delete what is kept and not in the files.")] = False,
    shown: StoreOutputOptions,
) -> int:
    """Bring what is kept to what files say: connections, tasks and channels. The difference is shown first.

    Everything is changed, or nothing is. What is so already is left alone.
    """
    now = int(time.time())
    wanted = settings_files.read(place, now)
    with opened(shown.store) as store:
        with store.database.reading() as transaction:
            changes = settings_files.wanted_changes(transaction, wanted, prune=prune)
        if not shown.json:
            _print_changes(changes)
        if changes:
            require_meant(f"Apply {counted(len(changes), 'change')}?", "Nothing was changed.", yes=yes)
            means = ChangeContext(acting(), now, store.keys, os.environ, store.dispatch)
            with store.database.writing() as transaction:
                settings_files.apply(transaction, changes, wanted, means, prune=prune)
    if shown.json:
        listed = [{"what": one.what, "kind": one.kind, "name": one.name, "fields": one.fields} for one in changes]
        as_json({"status": "changed" if changes else "unchanged", "changes": listed})
    elif changes:
        say(product(), f"Applied {counted(len(changes), 'change')}.", "bold")
    return COMPLETE


@command("export", "cio-replicate export > cio-replicate.toml", "cio-replicate export --schema > schema.json")
def export(
    *,
    schema: Annotated[bool, flag("--schema", "Write the JSON Schema of such a file instead.")] = False,
    at: StoreOptions,
) -> int:
    """Write all connections, tasks and channels as a file that `apply` takes; no secret is in it."""
    if schema:
        write_json(json.dumps(json_schema(), indent=2, ensure_ascii=False))
        return COMPLETE
    with opened(at.store) as store, store.database.reading() as transaction:
        text = settings_files.written(documents_of(transaction))
    write_json(text or "# Nothing is kept yet.")
    return COMPLETE


def _print_changes(changes: Sequence[Change]) -> None:
    console = product()
    if not changes:
        say(console, "Nothing to do: what is kept is what the files say.")
    for change in changes:
        say(console, f"{change.what} {change.kind} {change.name}", _COLORS[change.what])
        for one in change.fields:
            new = change.what is ChangeKind.CREATE
            say(console, f"  {one.name}: {shown_value(one.new)}" if new else field_line(one))
