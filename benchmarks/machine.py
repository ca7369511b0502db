"""Describes the machine and the versions that figures were taken with."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import psutil

PACKAGES = ("cio-replicate", "duckdb", "pyarrow", "msgspec", "httpx2", "dlt", "requests")
GIB = 1024**3


def description() -> dict[str, str]:
    """What may explain a difference between two sets of figures."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / GIB:.0f} GiB",
        "system": f"{platform.system()} {platform.release()} on {platform.machine()}",
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
    }


def _processor() -> str:
    """The processor's name, which only Linux's own list has in full."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
