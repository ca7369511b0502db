"""`load`: another destination from the pages that were kept, without a request."""

from __future__ import annotations

from typing import Annotated

import typer

from cio_replicate.app.settings import addresses_of, names_of, state_root, tables_of, treatments_of
from cio_replicate.app.task import folder_of
from cio_replicate.base.errors import SettingsError
from cio_replicate.base.runtime import SystemClock
from cio_replicate.cli.options import Output, command
from cio_replicate.cli.sync import tell_end
from cio_replicate.config import connection_options as settings
from cio_replicate.config.options import DestinationOptions, Exclude, Only, SourceOptions, WriteModeOptions
from cio_replicate.pipeline.replay import reload
from cio_replicate.pipeline.staging import Staging
from cio_replicate.sinks.registry import destinations_at


@command(
    "load",
    "cio-replicate sync --start-date 2024-01-31 --to duckdb:///customerio.duckdb --keep-landed",
    "cio-replicate load --from-landing duckdb:///customerio.duckdb --to parquet:///lake",
)
def load(
    *,
    from_landing: Annotated[
        list[str],
        typer.Option(
            "--from-landing", metavar="URL", help="The copy whose pages were kept: what --to was in that sync."
        ),
    ],
    copy: DestinationOptions,
    tables: Only = None,
    exclude: Exclude = None,
    shaping: WriteModeOptions,
    output: Output,
) -> int:
    """Fill another destination from the pages that `sync --keep-landed` has kept, without a request.

    A sync into the new destination goes on from there.
    """
    clock, root = SystemClock(), state_root(copy.state_dir)
    dataset = settings.dataset(copy.dataset)
    chosen = tables_of(names_of(SourceOptions(tables=tables, exclude=exclude)), shaping)
    addresses = addresses_of(copy.to)
    kept, own = folder_of(root, addresses_of(from_landing), dataset), folder_of(root, addresses, dataset)
    if kept == own:
        raise SettingsError("--from-landing and --to name the same copy.", "Name another destination in --to.")
    with Staging(kept) as pages, Staging(own) as held:
        destination = destinations_at(addresses, dataset, held.path)
        try:
            report = reload(destination, pages, chosen, treatments_of(shaping, [one.name for one in chosen]), clock)
        finally:
            destination.close()
    tell_end(report, output)
    return report.exit_code
