"""What tables and columns are called in the copy: a prefix, and upper or lower case."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from cio_replicate.base.errors import SettingsError

RESERVED = "_cio_"  # begins the names of our own
_PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,29}|")


class LetterCase(StrEnum):
    """The naming rule for letters."""

    AS_IS = "as-is"
    LOWER = "lower"
    UPPER = "upper"


@dataclass(frozen=True, slots=True)
class Naming:
    """How names in the copy are made from ours. The program's own columns and tables keep their names."""

    table_prefix: str = ""
    column_prefix: str = ""
    case: LetterCase = LetterCase.AS_IS

    def table(self, name: str) -> str:
        """What a table is called in the copy."""
        return self._cased(self.table_prefix + name)

    def column(self, name: str) -> str:
        """What a column is called in the copy."""
        return self._cased(self.column_prefix + name)

    def field(self, name: str) -> str:
        """The likeliest field for a column that is called so in the copy: the API writes its fields in lower case."""
        plain = name[len(self.column_prefix) :] if name.startswith(self._cased(self.column_prefix)) else name
        return plain.lower() if self.case is LetterCase.UPPER else plain

    def _cased(self, name: str) -> str:
        match self.case:
            case LetterCase.AS_IS:
                return name
            case LetterCase.LOWER:
                return name.lower()
            case LetterCase.UPPER:
                return name.upper()


AS_IS = Naming()


def naming(table_prefix: str = "", column_prefix: str = "", case: str = LetterCase.AS_IS) -> Naming:
    """The naming that the options name. Raises SettingsError."""
    for option, prefix in (("--table-prefix", table_prefix), ("--column-prefix", column_prefix)):
        if not _PREFIX.fullmatch(prefix):
            raise SettingsError(
                f"{option} {prefix!r} cannot begin a name.",
                "Use up to 30 letters, digits and underscores, and no digit first.",
            )
        if prefix.casefold().startswith(RESERVED):
            raise SettingsError(
                f"{option} {prefix!r} begins like the names of the program's own ({RESERVED}).", "Choose another."
            )
    if case not in list(LetterCase):
        raise SettingsError(f"There is no naming rule {case!r}.", f"Choose --column-case {', '.join(LetterCase)}.")
    return Naming(table_prefix, column_prefix, LetterCase(case))
