"""`secret`: stores, replaces, lists and removes secrets, and encrypts them with a new key; shows none, ever."""

from __future__ import annotations

import os

from cio_replicate.base.text import counted
from cio_replicate.cli.asking import require_meant, secret_from_input
from cio_replicate.cli.failure import COMPLETE
from cio_replicate.cli.listing import as_json, grid_of
from cio_replicate.cli.stored import Shown, acting
from cio_replicate.cli.terminal import messages, product, say
from cio_replicate.config.secret_references import caution
from cio_replicate.console.installation import opened
from cio_replicate.database.connection import KEY_VARIABLE
from cio_replicate.pipeline.report import iso


def put(name: str, shown: Shown) -> int:
    """Store the secret that is typed or comes in by standard input; the exit code. Raises Refused."""
    with opened(shown.store) as store:
        replaced = store.secrets.put(name, secret_from_input(f"The secret {name}"), acting())
        where = store.keys.shown
    said = caution(os.environ.get(KEY_VARIABLE, ""), os.environ)
    if said is not None:
        say(messages(), said, "yellow")
    if shown.json:
        as_json({"status": "replaced" if replaced else "stored", "secret": name, "key": where})
        return COMPLETE
    console = product()
    say(console, f"{'Replaced' if replaced else 'Stored'} the secret {name}. Write stored:{name} where it is needed.")
    say(console, f"It is encrypted; the key is in {where}. Keep a copy of the key, and not beside the database.")
    return COMPLETE


def list_all(shown: Shown) -> int:
    """Show what is stored, without any secret."""
    with opened(shown.store) as store:
        found, where = store.secrets.all(), store.keys.shown
    if shown.json:
        listed = [{"name": one.name, "changed": iso(one.changed_at), "used_by": list(one.used_by)} for one in found]
        as_json({"key": where, "secrets": listed})
        return COMPLETE
    if not found:
        say(product(), "No secret is stored yet: `cio-replicate secret put` stores one.")
        return COMPLETE
    rows = [(one.name, iso(one.changed_at), ", ".join(one.used_by)) for one in found]
    product().print(grid_of(("secret", "changed", "used by"), rows))
    return COMPLETE


def remove(name: str, shown: Shown, *, yes: bool) -> int:
    """Forget a secret, once it is clear that it is meant. Raises Refused."""
    with opened(shown.store) as store:
        if not yes:
            require_meant(f"Remove the secret {name}?", "Nothing was removed.")
        store.secrets.remove(name, acting())
    if shown.json:
        as_json({"status": "removed", "secret": name})
    else:
        say(product(), f"Removed the secret {name}.")
    return COMPLETE


def rotate(shown: Shown, *, key_lost: bool, yes: bool) -> int:
    """Encrypt everything with a new key; the exit code. Raises Refused."""
    with opened(shown.store) as store:
        if key_lost and not yes:
            require_meant("Remove the stored secrets that the present key does not open?", "Nothing was removed.")
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
