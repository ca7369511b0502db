"""Copy a Customer.io workspace into your own database, keep the copy correct, and verify it.

`replicate` copies a workspace, `Workspace` reads its tables as Arrow record batches.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from cio_replicate.base.version import __version__

if TYPE_CHECKING:
    from cio_replicate.app.python_api import Workspace, replicate
    from cio_replicate.base.errors import AccessError, CioReplicateError, InvalidSettings, ReadError
    from cio_replicate.pipeline.report import Report, Status, TableReport
    from cio_replicate.source.stream import Chunk

__all__ = [
    "AccessError",
    "Chunk",
    "CioReplicateError",
    "InvalidSettings",
    "ReadError",
    "Report",
    "Status",
    "TableReport",
    "Workspace",
    "__version__",
    "replicate",
]

_MODULES = {
    "Workspace": "app.python_api",
    "replicate": "app.python_api",
    "Chunk": "source.stream",
    "Report": "pipeline.report",
    "Status": "pipeline.report",
    "TableReport": "pipeline.report",
}


def __getattr__(name: str) -> object:
    """Import what is exported when it is first used: a command that only prints help needs no PyArrow."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'base.errors')}"), name)
