"""Where the program is started from: addresses and proxies of any kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.base.runtime import SystemClock
from cio_replicate.base.text import Secret
from cio_replicate.source.client import Client
from cio_replicate.source.rate_limiter import RateLimiter
from tests.adversary.standin import StandIn
from tests.adversary.syncing import of, sync

CAMPAIGNS = {"campaigns": [{"id": 1}]}


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_does_not_see_what_goes_to_this_machine(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token goes unprotected to this machine only, so never through a proxy."""
    with StandIn() as proxy, StandIn({"/v1/campaigns": CAMPAIGNS}) as api:
        monkeypatch.setenv(variable, proxy.url)
        assert of(sync(api.url, tmp_path, "campaigns"), "campaigns").inserted == 1
        assert proxy.asked == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [("ALL_PROXY", "socks5://127.0.0.1:9"), ("HTTPS_PROXY", "ftp://proxy"), ("SSL_CERT_FILE", "/nowhere/ca.pem")],
)
def test_network_settings_that_cannot_be_used_are_named(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy or certificate file of the environment that cannot be used is a wrong setting, not a defect."""
    monkeypatch.setenv(variable, value)
    clock = SystemClock()
    with pytest.raises(InvalidSettings, match=variable):
        Client("https://api.example", Secret("token"), RateLimiter(10.0, clock), clock)


def test_an_address_of_version_6(tmp_path: Path) -> None:
    """The API may stand at an IPv6 address."""
    try:
        api = StandIn({"/v1/campaigns": CAMPAIGNS}, host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    with api:
        assert of(sync(api.url, tmp_path, "campaigns"), "campaigns").inserted == 1


def test_an_address_with_a_path(tmp_path: Path) -> None:
    """The API may stand below a path of another server."""
    with StandIn({"/deep/er/v1/campaigns": CAMPAIGNS}) as api:
        assert of(sync(f"{api.url}/deep/er", tmp_path, "campaigns"), "campaigns").inserted == 1
