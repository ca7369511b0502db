"""Whether settings can be kept: checked as a run checks them, but without a secret and without a network; pure."""

from __future__ import annotations

import re
from dataclasses import replace

from cio_replicate.app.settings import erases, names_of, rules_of, tables_of, treatments_of
from cio_replicate.base.errors import SettingsError
from cio_replicate.config import connection_options as settings
from cio_replicate.config.addresses import described, is_relative
from cio_replicate.config.documents import EVENTS, ChannelSettings, ConnectionSettings, Documents, TaskSettings
from cio_replicate.config.options import SourceOptions
from cio_replicate.config.secret_references import is_reference, require_reference
from cio_replicate.jobs.scheduler import schedule

DAY = 86_400
MOST_RETRIES = 20
MISSED = ("once", "skip")
_PLAIN_HOOK = re.compile(r"(json|form|xml)s?://[^\s@?#]+")
_PLAIN_MAIL = re.compile(r"mailtos?://[^\s@:/?#]+(:\d+)?/?\?to=[^\s&#]+(&from=[^\s&#]+)?")
#: Stands for a secret that is not looked for: what is checked does not depend on its value.
_ANY = {"ANY": "any text that is long enough"}


def require_usable(kept: ConnectionSettings | TaskSettings | ChannelSettings, now: float) -> None:
    """Raises SettingsError for settings that no run could use. A refusal shows nothing that may be a secret."""
    if isinstance(kept, ConnectionSettings):
        _require_connection(kept, now)
    elif isinstance(kept, TaskSettings):
        _require_task(kept)
    else:
        _require_channel(kept)


def require_all_usable(documents: Documents, now: float) -> None:
    """The same for all that files say; a refusal names the entry."""
    for section, entries in (
        ("connections", documents.connections),
        ("tasks", documents.tasks),
        ("channels", documents.channels),
    ):
        for name, one in entries.items():
            try:
                require_usable(one, now)
            except SettingsError as error:
                raise SettingsError(f"In {section}.{name}: {error.message}", error.fix) from None


def _require_connection(kept: ConnectionSettings, now: float) -> None:
    if kept.access_token_from is not None:
        require_reference(kept.access_token_from, "--access-token-from")
    settings.region(kept.region)
    if kept.api_url is not None:
        settings.api_url(kept.api_url)
    settings.requests_per_second(kept.max_rps)
    settings.budget_share(kept.budget_share)
    settings.start_date(kept.start_date, now)


def _require_task(kept: TaskSettings) -> None:
    _require_places(kept.to)
    settings.dataset(kept.dataset)
    if kept.salt is not None:
        require_reference(kept.salt, "--salt")
        kept = replace(kept, salt="env:ANY")
    names = names_of(SourceOptions(tables=kept.tables, exclude=kept.exclude))
    chosen = tables_of(names, kept, _ANY)
    treatments_of(kept, names)
    rules_of(kept, chosen, kept, _ANY)
    erases(kept, _ANY)
    if kept.schedule is not None:
        schedule(kept.schedule)
        if kept.schedule.missed not in MISSED:
            raise SettingsError(
                f"There is no way {kept.schedule.missed[:60]!r} to treat missed runs (--missed).",
                f"Choose {' or '.join(MISSED)}.",
            )
    if not 0 <= kept.retries <= MOST_RETRIES:
        raise SettingsError(
            f"The number of retries, {kept.retries}, is out of range.", f"Choose from 0 to {MOST_RETRIES}."
        )
    if not 1 <= kept.retry_pause <= DAY:
        raise SettingsError(
            f"The pause before a retry, {kept.retry_pause} seconds, is out of range.", f"Choose from 1 to {DAY}."
        )


def _require_places(addresses: list[str]) -> None:
    if not addresses:
        raise SettingsError("The task has no destination.", "Name one with --to.")
    for text in addresses:
        described(text)
        if is_relative(text):
            scheme, _, rest = text.partition("://")
            raise SettingsError(
                f"The destination {scheme} names a place in whatever folder the run is started in.",
                f"Write the whole path: {scheme}:////folder/{rest.lstrip('/').partition('?')[0]}.",
            )


def _require_channel(kept: ChannelSettings) -> None:
    if not (is_reference(kept.url) or _PLAIN_HOOK.fullmatch(kept.url) or _PLAIN_MAIL.fullmatch(kept.url)):
        raise SettingsError(
            "The address of the channel may hold a secret.",
            "Store it and write stored:NAME, or name where it is kept: env:NAME, file:/path or keyring:service/user.",
        )
    for event in kept.events:
        if event not in EVENTS:
            raise SettingsError(f"There is no event {event[:60]!r}.", f"Choose from: {', '.join(EVENTS)}.")
    if not kept.events:
        raise SettingsError("The channel is told of nothing.", f"Choose from: {', '.join(EVENTS)}.")
