"""Looks up what an address names: what is not there is answered so, and not as a mistake in what was sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from cio_replicate.base.errors import NotAllowedError, NotThereError, SettingsError

P = ParamSpec("P")
T = TypeVar("T")


def there(look: Callable[P, T], *given: P.args, **options: P.kwargs) -> T:
    """What `look` finds. Raises NotThereError where it says that there is nothing."""
    try:
        return look(*given, **options)
    except NotAllowedError:
        raise
    except SettingsError as error:
        raise NotThereError(error.message, error.fix) from None
