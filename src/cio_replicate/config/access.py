"""The access token of the API, found where a reference says."""

from __future__ import annotations

from collections.abc import Mapping

from cio_replicate.base.errors import SettingsError
from cio_replicate.base.text import Secret
from cio_replicate.config.connection_options import TOKEN_VARIABLE, access_token
from cio_replicate.config.secret_references import resolved

USUAL = f"env:{TOKEN_VARIABLE}"


def access_token_from(reference: str | None, environment: Mapping[str, str]) -> Secret:
    """The access token that is kept there, by default in the environment. Raises SettingsError, never showing it."""
    if reference in (None, USUAL):
        return access_token(environment.get(TOKEN_VARIABLE))
    found = resolved(reference or "", environment, "--access-token-from")
    try:
        return access_token(found.reveal())
    except SettingsError:
        raise SettingsError(
            f"What {reference} holds is no access token: it has characters that no App API key has.",
            "Copy it again, whole.",
        ) from None
