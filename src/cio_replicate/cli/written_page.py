"""A page of documentation that is written from the code: print it, or say whether a file lags behind it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def write_or_check(page: str, about: str, command: str, arguments: Sequence[str] | None = None) -> int:
    """Write the page to standard output; with `--check FILE`, return 1 when that file is not the page.

    `about` names what the page describes, `command` is what a user types to write it.
    """
    parser = argparse.ArgumentParser(prog=command, description=f"Write the page that describes {about}.")
    parser.add_argument("--check", metavar="FILE", type=Path, help="say whether this file is up to date")
    file: Path | None = parser.parse_args(arguments).check
    if file is None:
        sys.stdout.buffer.write(page.encode())
        return 0
    if file.is_file() and file.read_bytes() == page.encode():
        return 0
    sys.stderr.write(f"{file} lags behind {about}; write it anew with `{command} > {file}`.\n")
    return 1
