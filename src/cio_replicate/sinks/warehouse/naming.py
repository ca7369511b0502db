"""Names as dlt is to write them where a database folds case: as they are, so that it folds them like its users do."""

from __future__ import annotations

from typing import Any


def _convention() -> type[Any]:  # Any: a class of dlt's, which is an extra
    from dlt.common.normalizers.naming.direct import NamingConvention as Direct  # noqa: PLC0415

    class NamingConvention(Direct):
        """Leaves names alone, and says that case tells none apart."""

        @property
        def is_case_sensitive(self) -> bool:
            return False

    return NamingConvention


def __getattr__(name: str) -> type[Any]:  # Any: as above
    """The class that dlt looks for in a module of naming, made when dlt looks for it."""
    if name != "NamingConvention":
        raise AttributeError(name)
    globals()[name] = _convention()
    return globals()[name]  # type: ignore[no-any-return]
