"""`channel`: makes, shows, tries out and deletes places that notifications go to."""

from __future__ import annotations

from typing import Any

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.cli.asking import require_meant, secret_from_input
from cio_replicate.cli.failure import COMPLETE, REFUSED
from cio_replicate.cli.listing import as_json, grid_of
from cio_replicate.cli.stored import Shown, acting
from cio_replicate.cli.terminal import product, say
from cio_replicate.config.documents import ChannelSettings, plain
from cio_replicate.console.installation import opened
from cio_replicate.console.notifications import scrubbed, send_by_apprise
from cio_replicate.database.rows import StoredChannel

TITLE = "cio-replicate can reach this channel"
BODY = "This was sent to try it out: notifications of tasks will come here."


def create(name: str, url: str | None, events: list[str], shown: Shown, *, url_given: bool) -> int:
    """Keep a channel; the exit code. Raises Refused."""
    if (url is None) != url_given:
        raise InvalidSettings(
            "It is not clear where the channel leads to.",
            "Give --url with where its address is kept, or --url-stdin and the address by standard input.",
        )
    with opened(shown.store) as store:
        address = secret_from_input("The address of the channel") if url_given else None
        settings = ChannelSettings(url=url or "", events=events)
        kept = store.channels.create(name, settings, acting(), address)
    if shown.json:
        as_json(_document(kept))
    else:
        say(product(), f"Made the channel {name}. `cio-replicate channel test {name}` sends something there.")
    return COMPLETE


def list_all(shown: Shown) -> int:
    """Show every channel."""
    with opened(shown.store) as store:
        found, tasks = store.channels.all(), store.tasks.all()
    if shown.json:
        as_json({"channels": [_document(one) for one in found]})
        return COMPLETE
    if not found:
        say(product(), "There is no channel yet: `cio-replicate channel create` makes one.")
        return COMPLETE
    rows = [
        (
            one.name,
            one.settings.url,
            ", ".join(one.settings.events),
            ", ".join(task.name for task in tasks if one.name in task.settings.notify),
        )
        for one in found
    ]
    product().print(grid_of(("channel", "address", "events", "tasks"), rows))
    return COMPLETE


def test(name: str, shown: Shown) -> int:
    """Send something to a channel; the exit code. Raises Refused."""
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


def delete(name: str, shown: Shown, *, yes: bool) -> int:
    """Delete a channel, once it is clear that it is meant. Raises Refused."""
    with opened(shown.store) as store:
        store.channels.named(name)
        if not yes:
            require_meant(f"Delete the channel {name}?", "Nothing was deleted.")
        store.channels.delete(name, acting())
    if shown.json:
        as_json({"status": "deleted", "channel": name})
    else:
        say(product(), f"Deleted the channel {name}.")
    return COMPLETE


def _document(kept: StoredChannel) -> dict[str, Any]:
    return {"name": kept.name, "settings": plain(kept.settings)}
