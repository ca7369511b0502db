"""`load`: another destination from the pages that were kept, without a request."""

from __future__ import annotations

from cio_replicate.app.settings import addresses_of, names_of, state_root, tables_of, treatments_of
from cio_replicate.app.task import folder_of
from cio_replicate.base.errors import SettingsError
from cio_replicate.base.runtime import SystemClock
from cio_replicate.cli.options import Output
from cio_replicate.cli.sync import tell_end
from cio_replicate.config import connection_options as settings
from cio_replicate.config.options import DestinationOptions, SourceOptions, WriteModeOptions
from cio_replicate.pipeline.replay import reload
from cio_replicate.pipeline.staging import Staging
from cio_replicate.sinks.kinds import destinations_at


def load(
    landing: list[str],
    copy: DestinationOptions,
    tables: str | None,
    exclude: str | None,
    shaping: WriteModeOptions,
    output: Output,
) -> int:
    """Load and tell its end; the exit code. Raises SettingsError."""
    clock, root = SystemClock(), state_root(copy.state_dir)
    dataset = settings.dataset(copy.dataset)
    chosen = tables_of(names_of(SourceOptions(tables=tables, exclude=exclude)), shaping)
    addresses = addresses_of(copy.to)
    kept, own = folder_of(root, addresses_of(landing), dataset), folder_of(root, addresses, dataset)
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
