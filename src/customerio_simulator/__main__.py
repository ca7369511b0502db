"""`python -m customerio_simulator`: serve a made-up workspace until Ctrl-C; `--help` lists the options."""

from __future__ import annotations

import sys

import typer

from .command import serve_workspace

if __name__ == "__main__":
    try:
        typer.run(serve_workspace)
    except ValueError as error:
        sys.exit(str(error))
