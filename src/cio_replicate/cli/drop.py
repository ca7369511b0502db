"""`drop`: removes tables of a copy, or all of it."""

from __future__ import annotations

import shutil

import typer

from cio_replicate.base.errors import SettingsError
from cio_replicate.cli.connect import addresses_of, state_root, tables_of
from cio_replicate.cli.execute import folder_of
from cio_replicate.cli.failure import COMPLETE
from cio_replicate.cli.options import Copy, Shaping, Source
from cio_replicate.cli.terminal import counted, product, say
from cio_replicate.landing.folder import StateFolder
from cio_replicate.load.open import destinations_at
from cio_replicate.settings import connection as settings


def drop(names: list[str], copy: Copy, shaping: Shaping, *, everything: bool, yes: bool) -> int:
    """Ask whether that is meant, unless `yes`, and remove; the exit code. Raises SettingsError."""
    if bool(names) == everything:
        raise SettingsError("It is not clear what to drop.", "Name tables, or say --all for the whole copy.")
    tables = tables_of(Source(tables=",".join(names) if names else None), shaping)
    addresses, dataset = addresses_of(copy.to), settings.dataset(copy.dataset)
    where = " and ".join(one.shown for one in addresses)
    what = "the whole copy" if everything else ", ".join(one.target for one in tables)
    if not yes and not typer.confirm(f"Remove {what} in {where}, dataset {dataset}?", err=True):
        raise typer.Abort
    folder = folder_of(state_root(copy.state_dir), addresses, dataset)
    with StateFolder(folder) as held:
        destination = destinations_at(addresses, dataset, held.path)
        try:
            if destination.look() is None:
                raise SettingsError(f"There is no copy in {where}, dataset {dataset}.", "Check --to and --dataset.")
            for table in tables:
                destination.drop(table)
            if everything:
                destination.end()
        finally:
            destination.close()
    if everything:
        shutil.rmtree(folder, ignore_errors=True)
    dropped = "The copy is" if everything else f"{counted(len(tables), 'table')} {'is' if len(tables) == 1 else 'are'}"
    say(product(), f"{dropped} removed; a later sync reads anew what it copies.")
    return COMPLETE
