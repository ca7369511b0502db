"""Names as dlt is to write them where a database folds case: as they are, so that it folds them like its users do.

dlt imports this module by its name; nobody else does, since dlt is an extra.
"""

from __future__ import annotations

from dlt.common.normalizers.naming.direct import NamingConvention as Direct


class NamingConvention(Direct):
    """Leaves names alone, and says that case tells none apart."""

    @property
    def is_case_sensitive(self) -> bool:
        """Return False."""
        return False
