"""Where a workspace lives: the hosts of the two regions, and finding out which one knows a key."""

from __future__ import annotations

from collections.abc import Callable

from cio_replicate.base.errors import ForbiddenError, ReadError, UnauthorizedError
from cio_replicate.source.client import Client
from cio_replicate.source.pages import read_envelope
from cio_replicate.source.request import Request, RequestCounter

HOSTS = {"us": "https://api.customer.io", "eu": "https://api-eu.customer.io"}
AUTO = "auto"
PROBE = Request("GET", "/v1/workspaces")


async def find_region(connect: Callable[[str], Client], hosts: dict[str, str] = HOSTS) -> str:
    """The name of the first region whose API accepts the key.

    A key of the other region answers 401 without a redirect (live); any other answer comes from a region that knows
    the key. Raises UnauthorizedError when none does.
    """
    for name, url in hosts.items():
        async with connect(url) as client:
            try:
                await client.send(PROBE, read_envelope, RequestCounter())
            except UnauthorizedError:
                continue
            except (ForbiddenError, ReadError):
                return name
            return name
    raise UnauthorizedError(
        "No region accepts the access token (401 from the US and the EU).",
        "It must be an App API key (not a Track API key), not expired, and allowed for this machine's address.",
    )
