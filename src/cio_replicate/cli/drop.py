"""`drop`: removes tables of a copy, or all of it."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence

from cio_replicate.app.settings import addresses_of, names_among, state_root, tables_of
from cio_replicate.app.task import folder_of
from cio_replicate.base.errors import SettingsError
from cio_replicate.cli.asking import require_meant
from cio_replicate.cli.failure import COMPLETE
from cio_replicate.cli.terminal import product, say
from cio_replicate.config import connection_options as settings
from cio_replicate.config.options import ColumnOptions, DestinationOptions
from cio_replicate.pipeline.staging import Staging
from cio_replicate.schema.table import Table
from cio_replicate.sinks.fan_out import members_of, missing_in
from cio_replicate.sinks.kinds import destinations_at
from cio_replicate.sinks.port import Sink

OTHER_NAMES = "Give --table-prefix and --column-case as in `sync`."


def drop(names: list[str], copy: DestinationOptions, looks: ColumnOptions, *, everything: bool, yes: bool) -> int:
    """Ask whether that is meant, unless `yes`, and remove; the exit code. Raises SettingsError."""
    if bool(names) == everything:
        raise SettingsError("It is not clear what to drop.", "Name tables, or say --all for the whole copy.")
    tables = tables_of(names_among(names), looks)
    addresses, dataset = addresses_of(copy.to), settings.dataset(copy.dataset)
    where = f"{' and '.join(one.shown for one in addresses)}, dataset {dataset}"
    what = "the whole copy" if everything else ", ".join(one.target for one in tables)
    folder = folder_of(state_root(copy.state_dir), addresses, dataset)
    with Staging(folder) as held:
        destination = destinations_at(addresses, dataset, held.path)
        try:
            missing = missing_in(destination)
            copies = [one for name, one in members_of(destination).items() if name not in missing]
            _require_there(copies, tables, where, everything=everything)
            if not yes:
                require_meant(f"Remove {what} in {where}?", "Nothing was removed.")
            for table in tables:
                destination.drop(table)
                if held.has_journal:
                    held.journal.forget_table(table.name)
            if everything:
                destination.drop(None)
            elif held.has_journal:
                held.tidy()
        finally:
            destination.close()
    if everything:
        shutil.rmtree(folder, ignore_errors=True)
    say(product(), f"Removed: {what}. A later sync copies anew what it selects.")
    return COMPLETE


def _require_there(copies: Sequence[Sink], tables: Collection[Table], where: str, *, everything: bool) -> None:
    """Raise SettingsError when what is to be dropped is not there, or is called otherwise."""
    if not copies:
        raise SettingsError(f"There is no copy in {where}.", "Check --to and --dataset.")
    there = {table.name for table in tables for one in copies if one.digests(table).rows}
    read = {name for one in copies for name in one.state.checkpoints}
    missing = [table.name for table in tables if table.name not in there | read]
    if missing and not everything:
        raise SettingsError(f"{' and '.join(missing)} cannot be found in {where}.", "`status` shows what is there.")
    lost = [table.target for table in tables for one in copies if _has_lost(one, table)]
    if lost and not there:
        raise SettingsError(f"No table {lost[0]} with rows can be found in {where}.", OTHER_NAMES)


def _has_lost(copy: Sink, table: Table) -> bool:
    """Whether none of the rows that were loaded can be found."""
    keys = copy.state.expected.get(table.name)
    return keys is not None and keys.rows > 0 and not copy.digests(table).rows
