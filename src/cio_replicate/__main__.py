"""`python -m cio_replicate`: the command line."""

from __future__ import annotations

from cio_replicate.cli.app import command

command()
