"""Serves the console: listens and answers, with the scheduler and the worker of this machine beside it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from cio_replicate.base.errors import SettingsError
from cio_replicate.base.runtime import Clock
from cio_replicate.console.api.gateway_desk import desk_over
from cio_replicate.console.api.gateway_routes import gateway_router
from cio_replicate.console.background import BackgroundServices
from cio_replicate.console.keys import EncryptionKeys
from cio_replicate.console.oidc import oidc_of
from cio_replicate.console.web.app import application
from cio_replicate.console.web.http_security import Site
from cio_replicate.console.web.services import services_over
from cio_replicate.database.connection import Database
from cio_replicate.jobs.launcher import ProcessStarter

WAITING = 128  # connections that wait to be taken
PATIENCE = 10  # seconds for answers under way when it ends


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where the console listens, and with which certificate if it speaks TLS by itself.

    Of the headers in which a proxy says who calls, only those of `proxy` are believed.
    """

    server: socket.socket
    certificate: Path | None
    key: Path | None
    proxy: str | None

    @property
    def port(self) -> int:
        """The port, also when any was asked for."""
        return int(self.server.getsockname()[1])


def listening(host: str, port: int, certificate: Path | None, key: Path | None, proxy: str | None) -> ListenAddress:
    """Take the port. Raises SettingsError, also for a certificate without its key."""
    if (certificate is None) != (key is None):
        raise SettingsError("A certificate and its key belong together.", "Give both --tls-cert and --tls-key.")
    for file in (certificate, key):
        if file is not None and not file.is_file():
            raise SettingsError(f"There is no file {file}.", "Name the certificate and its key, in PEM.")
    _require_addresses(proxy)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        server = socket.socket(family, kind, protocol)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address)
        server.listen(WAITING)
    except OSError as error:
        raise SettingsError(
            f"The console cannot listen on {host}, port {port} ({error.strerror or error}).",
            "Choose another --port, or 0 for a free one.",
        ) from None
    return ListenAddress(server, certificate, key, proxy)


def _require_addresses(proxy: str | None) -> None:
    """Raises SettingsError for a proxy that could not be told from others by its address, or would be anybody."""
    for one in proxy.split(",") if proxy is not None else ():
        try:
            ipaddress.ip_network(one.strip())
        except ValueError:
            raise SettingsError(
                f"The proxy {one.strip()[:80]!r} is no address.",
                "Write its IP address, such as 10.0.0.5, or its network.",
            ) from None


def serve(
    taken: ListenAddress,
    site: Site,
    database: Database,
    keys: EncryptionKeys,
    clock: Clock,
    state_dir: Path,
    *,
    environment: dict[str, str],
    ready: Callable[[str | None], None],
) -> None:
    """Serve until a signal; runs then end in order, and go on when the console is started again.

    `ready` is told what the link of the first user holds, or None once there is one. Raises SettingsError.
    """
    engine = BackgroundServices(database, keys, clock, ProcessStarter(state_dir), environment=environment)
    provider = oidc_of(environment, clock)
    services = services_over(database, keys, clock, site, provider, environment, engine.health)
    desk = desk_over(database, site.hosts, clock)
    config = uvicorn.Config(
        application(services, [gateway_router(desk)]),
        log_config=None,
        access_log=False,  # an address may hold a one-time link
        server_header=False,
        proxy_headers=taken.proxy is not None,
        forwarded_allow_ips=taken.proxy,
        ssl_certfile=taken.certificate,
        ssl_keyfile=taken.key,
        timeout_graceful_shutdown=PATIENCE,
        lifespan="off",
    )
    try:
        config.load()
    except OSError as error:
        raise SettingsError(
            f"The certificate cannot be used ({error.strerror or type(error).__name__}).", "Give both in PEM."
        ) from None
    engine.start()
    try:
        ready(services.people.first_link())
        uvicorn.Server(config).run(sockets=[taken.server])
    except KeyboardInterrupt:  # the server hands the signal on once it has ended in order
        pass
    finally:
        engine.stop()
