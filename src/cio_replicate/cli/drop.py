"""`drop`: removes tables of a copy, or all of it."""

from __future__ import annotations

from cio_replicate.app.drop import removal
from cio_replicate.cli.asking import require_meant
from cio_replicate.cli.failure import COMPLETE
from cio_replicate.cli.terminal import product, say
from cio_replicate.config.documents import TaskSettings
from cio_replicate.config.options import ColumnOptions, DestinationOptions, gathered


def drop(names: list[str], copy: DestinationOptions, looks: ColumnOptions, *, everything: bool, yes: bool) -> int:
    """Ask whether that is meant, unless `yes`, and remove; the exit code. Raises Refused."""
    task = gathered(TaskSettings, copy, looks, connection="")
    with removal(names, task, everything=everything, state_dir=copy.state_dir) as wanted:
        if not yes:
            require_meant(f"Remove {wanted.what} in {wanted.where}?", "Nothing was removed.")
        wanted.execute()
    say(product(), f"Removed: {wanted.what}. A later sync copies anew what it selects.")
    return COMPLETE
