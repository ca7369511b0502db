"""Runs dlt as if nothing of it were set up on this machine: no settings of the user's, no telemetry, no words."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: What dlt is told wherever it looks for a setting.
SETTINGS: dict[str, Any] = {  # Any: settings are what they are
    "runtime": {"dlthub_telemetry": False, "log_level": "CRITICAL", "intercept_signals": False},
    "providers": {"enable_airflow_secrets": False},
    "enable_runtime_trace": False,
    "restore_from_destination": False,  # every package brings the whole schema of its table
    "normalize": {"workers": 1},
    "load": {"truncate_staging_dataset": True},  # people's data is not to lie about twice
}


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Inside, dlt knows `SETTINGS` and nothing else, and whatever it writes to this machine is in the folder."""
    from dlt.common.configuration.container import Container  # noqa: PLC0415 - an extra, slow to import
    from dlt.common.configuration.providers import CustomLoaderDocProvider  # noqa: PLC0415
    from dlt.common.configuration.providers.provider import ConfigProvider  # noqa: PLC0415
    from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext  # noqa: PLC0415
    from dlt.common.runtime.run_context import RunContext, switched_run_context  # noqa: PLC0415

    class Alone(RunContext):
        """A context whose every folder is ours; environment variables of dlt change none of them."""

        global_dir = run_dir = local_dir = data_dir = settings_dir = property(lambda _self: str(folder))

        def initial_providers(self) -> list[ConfigProvider]:
            return [CustomLoaderDocProvider("cio-replicate", lambda: SETTINGS, supports_secrets=False)]

    context = Alone(str(folder))
    container = Container()
    if PluggableRunContext not in container:  # else dlt makes one of its own first, with the user's settings
        container[PluggableRunContext] = PluggableRunContext(context)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what dlt has to say to programmers is nothing for users
        with switched_run_context(context):
            yield
