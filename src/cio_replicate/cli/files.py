"""`apply` and `export`: settings in files brought about, and written out."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cio_replicate.base.text import counted
from cio_replicate.cli.asking import require_meant
from cio_replicate.cli.describe_documents import page
from cio_replicate.cli.failure import COMPLETE
from cio_replicate.cli.listing import as_json
from cio_replicate.cli.stored import At, Shown, acting
from cio_replicate.cli.terminal import product, say, write_json
from cio_replicate.console import settings_files as files
from cio_replicate.console.apply_settings import Change, ChangeContext, ChangeKind, shown
from cio_replicate.console.installation import opened
from cio_replicate.database.rows import documents_of

_COLORS = {ChangeKind.CREATE: "green", ChangeKind.EDIT: "yellow", ChangeKind.DELETE: "red"}


def apply(place: Path, output: Shown, *, yes: bool, prune: bool) -> int:
    """Show what the files change, ask, and bring it about; the exit code. Raises Refused."""
    now = int(time.time())
    wanted = files.read(place, now)
    with opened(output.store) as store:
        with store.database.reading() as transaction:
            changes = files.wanted_changes(transaction, wanted, prune=prune)
        if not output.json:
            _print(changes)
        if changes:
            if not yes:
                require_meant(f"Apply {counted(len(changes), 'change')}?", "Nothing was changed.")
            means = ChangeContext(acting(), now, store.keys, os.environ)
            with store.database.writing() as transaction:
                files.apply(transaction, changes, wanted, means, prune=prune)
    if output.json:
        as_json({"status": "changed" if changes else "unchanged", "changes": [_document(one) for one in changes]})
    elif changes:
        say(product(), f"Applied {counted(len(changes), 'change')}.", "bold")
    return COMPLETE


def export(at: At) -> int:
    """Write everything that is kept as a file, which `apply` takes; no secret is in it."""
    with opened(at.store) as store, store.database.reading() as transaction:
        text = files.written(documents_of(transaction))
    write_json(text or "# Nothing is kept yet.")
    return COMPLETE


def schema() -> int:
    """Write the JSON Schema of files."""
    write_json(page())
    return COMPLETE


def _print(changes: Sequence[Change]) -> None:
    console = product()
    if not changes:
        say(console, "Nothing to do: what is kept is what the files say.")
    for change in changes:
        say(console, f"{change.what} {change.kind} {change.name}", _COLORS[change.what])
        for one in change.fields:
            if change.what is ChangeKind.CREATE:
                say(console, f"  {one.name}: {shown(one.new)}")
            else:
                say(console, f"  {one.name}: {shown(one.old)} → {shown(one.new)}")


def _document(change: Change) -> dict[str, Any]:
    return {
        "what": change.what.value,
        "kind": change.kind.value,
        "name": change.name,
        "fields": [{"name": one.name, "old": one.old, "new": one.new} for one in change.fields],
    }
