"""Looks up what an address names: what is not there is answered so, and not as a mistake in what was sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from cio_replicate.base.errors import SettingsError
from cio_replicate.control.actor import NotAllowedError

P = ParamSpec("P")
T = TypeVar("T")


class NotThereError(SettingsError):
    """What an address of the console names is not there."""


def there(look: Callable[P, T], *given: P.args, **options: P.kwargs) -> T:
    """What `look` finds. Raises NotThereError where it says that there is nothing."""
    try:
        return look(*given, **options)
    except NotAllowedError:
        raise
    except SettingsError as error:
        raise NotThereError(error.message, error.fix) from None
