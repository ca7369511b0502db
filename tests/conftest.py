"""Where the tests put their files: in memory if the machine has room there, since a sync waits for the disk a lot."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
ROOM = 4 << 30  # bytes, of which a whole run of the tests needs a tenth; a container often has 64 MB


def _in_memory() -> bool:
    return MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM


if "TMPDIR" not in os.environ and _in_memory():
    os.environ["TMPDIR"] = str(MEMORY)  # the workers of pytest-xdist and the servers that tests start inherit it
    tempfile.tempdir = None
