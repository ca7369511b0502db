"""What dlt's errors mean, in words of our own: theirs quote statements, rows and credentials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cio_replicate.base.errors import CioReplicateError, DestinationUnavailableError, LoadError

if TYPE_CHECKING:
    from cio_replicate.sinks.warehouse.warehouse_kinds import Warehouse

_UNAVAILABLE = (
    ("authentication", "does not take this login", "Check the user and the secret."),
    ("access denied", "does not take this login", "Check the user and the secret."),
    ("incorrect username or password", "does not take this login", "Check the user and the secret."),
    ("unauthorized", "does not take this login", "Check the user and the secret."),
    ("login failed", "does not take this login", "Check the user and the secret."),
    ("permission denied", "does not let this user do that", "Grant what the page on this destination names."),
    ("insufficient privileges", "does not let this user do that", "Grant what the page on this destination names."),
    ("does not have permission", "does not let this user do that", "Grant what the page on this destination names."),
    ("connection refused", "cannot be reached", "Check the address."),
    ("could not translate host", "cannot be reached", "Check the address."),
    ("name or service not known", "cannot be reached", "Check the address."),
    ("timed out", "does not answer", "Check the address and the firewall."),
    ("timeout expired", "does not answer", "Check the address and the firewall."),
    ("can't connect", "cannot be reached", "Check the address."),
)


@contextmanager
def translated(warehouse: Warehouse, described: str, table: str | None = None) -> Iterator[None]:
    """What goes wrong inside leaves as an error of ours."""
    try:
        yield
    except CioReplicateError:
        raise
    except ImportError as error:
        raise DestinationUnavailableError(
            f"{warehouse.title} needs the extra: pip install 'cio-replicate[{warehouse.extra}]'.",
            f"The module {error.name} is missing." if error.name else "",
        ) from None
    except Exception as error:  # noqa: BLE001 - every driver has its own, and none may show its words
        raise _ours(error, described, table) from None


def _ours(error: BaseException, described: str, table: str | None) -> CioReplicateError:
    from dlt.common.configuration.exceptions import ConfigurationException  # noqa: PLC0415 - an extra
    from dlt.common.exceptions import MissingDependencyException  # noqa: PLC0415

    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, MissingDependencyException):
            return DestinationUnavailableError(
                f"{described} needs a package that is not installed.", "Install its extra."
            )
        if isinstance(cause, ConfigurationException):
            return DestinationUnavailableError(f"The login for {described} is not complete.", "Check its options.")
        said = str(cause).lower()
        for sign, what, fix in _UNAVAILABLE:
            if sign in said:
                return DestinationUnavailableError(f"{described} {what}.", fix)
    name = type(causes[-1]).__name__
    if table is None:
        return DestinationUnavailableError(f"{described} cannot be asked ({name}).", "Check the address and the login.")
    return LoadError(
        f"{described} did not accept rows of {table} ({name}).",
        "They stay landed; look into the log of the warehouse, and run again.",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, the first cause last."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        inner = getattr(current, "dbapi_exception", None) or getattr(current, "client_exception", None)
        current = inner if isinstance(inner, BaseException) else current.__cause__ or current.__context__
