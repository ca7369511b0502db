"""What becomes of fields that a table does not know yet, for all tables or for each."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from cio_replicate.base.errors import SettingsError


class SchemaChanges(StrEnum):
    """What is done when the API sends what a table does not know."""

    EVOLVE = "evolve"  # a new field becomes a column, a value of another type is kept in `_cio_extra`
    FREEZE = "freeze"  # either fails the table, before the page is landed
    IGNORE = "ignore"  # a new field is left out and counted, a value of another type is kept in `_cio_extra`


def schema_changes(texts: Sequence[str], tables: Sequence[str]) -> dict[str, SchemaChanges]:
    """The policy of each table: `freeze` sets that of all, `messages=freeze` that of one, wherever it stands.

    Raises SettingsError.
    """
    general: set[str] = set()
    single: dict[str, str] = {}
    for text in texts:
        name, separator, policy = (part.strip() for part in text.rpartition("="))
        if policy not in list(SchemaChanges):
            raise SettingsError(
                f"There is no policy {policy!r} for changes of schema.",
                f"Choose --schema-changes {', '.join(SchemaChanges)}, or TABLE=POLICY for one table.",
            )
        if separator and name not in tables:
            raise SettingsError(
                f"There is no table {name!r} (--schema-changes).", f"The tables are: {', '.join(tables)}."
            )
        if (single.setdefault(name, policy) != policy) if separator else (general | {policy} != {policy}):
            raise SettingsError(f"--schema-changes gives {name or 'all tables'} two policies.", "Keep one of the two.")
        if not separator:
            general.add(policy)
    usual = SchemaChanges(next(iter(general), SchemaChanges.EVOLVE))
    return {name: SchemaChanges(single.get(name, usual)) for name in tables}
