"""`verify`: whether a copy is true."""

from __future__ import annotations

import msgspec
from rich.table import Table as Grid

from cio_replicate.app.verify import VerificationReport
from cio_replicate.app.verify import verify as verified
from cio_replicate.base.runtime import SystemClock
from cio_replicate.base.text import number
from cio_replicate.cli.failure import COMPLETE, FAILED
from cio_replicate.cli.options import AsJson
from cio_replicate.cli.summary import PROOF_STYLES, outcome
from cio_replicate.cli.terminal import product, say, write_json
from cio_replicate.config.documents import TaskSettings
from cio_replicate.config.options import ColumnOptions, DestinationOptions, SourceOptions, gathered


def verify(
    copy: DestinationOptions, source: SourceOptions, looks: ColumnOptions, most_requests: int, output: AsJson
) -> int:
    """Verify and print; the exit code: 1 when a table is short. Raises Refused and AccessError."""
    task = gathered(TaskSettings, copy, source, looks, connection="")
    found = verified(source, task, SystemClock(), most_requests=most_requests, state_dir=copy.state_dir)
    if output.json:
        write_json(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        _print(found)
    return FAILED if found.is_short else COMPLETE


def _print(found: VerificationReport) -> None:
    console = product()
    grid = Grid(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column("table", no_wrap=True)
    for name in ("source", "copy"):
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("verdict", no_wrap=True)
    for one in found.tables:
        proof = one.proof
        if proof is not None:
            source = number(proof.source) if proof.source is not None else ""
            grid.add_row(one.name, source, number(proof.rows), outcome(one))
    console.print(grid)
    console.print()
    say(console, found.sentence, "bold red" if found.is_short else "bold")
    for one, text in found.remarks:
        style = PROOF_STYLES[one.proof.verdict] if one.proof is not None and text == one.proof.why else ""
        say(console, f"{one.name}: {text}", style)
