"""The console as one web application: health and metrics, all routes, and the server."""

from __future__ import annotations

import ipaddress
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from litestar import Litestar, Response, Router, get
from litestar.datastructures import State
from litestar.di import Provide
from litestar.enums import MediaType
from litestar.exceptions import ClientException, SerializationException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from sqlalchemy import Connection, func, select, text

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.base.runtime import Clock
from cio_replicate.base.version import __version__
from cio_replicate.config.documents import decoded
from cio_replicate.console.api import admin_api, workspace_api
from cio_replicate.console.api.gateway_api import gateway_endpoint, gateway_router
from cio_replicate.console.background import BackgroundServices
from cio_replicate.console.oidc import oidc_of
from cio_replicate.console.secrets import EncryptionKeys
from cio_replicate.console.web import admin_pages, connection_pages, http_errors, sign_in_pages, task_pages
from cio_replicate.console.web.authorization import ANYBODY, AnyRequest, actor_of, guard, require_declared, services_of
from cio_replicate.console.web.http_security import SecurityHeaders, Site
from cio_replicate.console.web.rendering import FOR_GOOD, Asset, environment, read_assets
from cio_replicate.console.web.routes import Routes, visit_of
from cio_replicate.console.web.services import WebServices, With
from cio_replicate.database.actor import Role
from cio_replicate.database.connection import Database
from cio_replicate.database.tables import connections, gateway_members, notices, runs, tasks
from cio_replicate.jobs.worker import ProcessStarter

route = Routes()

SEEN = 120  # seconds since a machine of a gateway was heard of in which it counts as there


@route("GET /healthz", None)
def healthz(services: With) -> Response[str]:
    """Whether the console, its database and its scheduler work."""
    with services.database.reading() as connection:
        connection.execute(text("SELECT 1"))
    health = services.health() if services.health is not None else None
    if health is not None and not health.well and health.ticked is not None:  # which it is not while it begins
        return Response("the scheduler is stuck\n", media_type=MediaType.TEXT, status_code=503)
    return Response("ok\n", media_type=MediaType.TEXT)


@route("GET /metrics", Role.VIEWER, bearer=True)
def metrics(services: With) -> Response[bytes]:
    """Numbers for Prometheus."""
    found = numbers(services.database, services.now)
    return Response(found, headers={"content-type": CONTENT_TYPE_LATEST})


def numbers(database: Database, now: int) -> bytes:
    """Return counts as Prometheus reads them. Names of tasks are labels; no other setting is shown."""
    registry = CollectorRegistry()

    def gauge(name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"cio_replicate_{name}", about, labels, registry=registry)

    gauge("info", "The version that runs.", "version").labels(__version__).set(1)
    alive = gateway_members.c.revoked_at.is_(None), gateway_members.c.seen_at > now - SEEN
    counts = (
        ("connections", "Connections.", select(func.count()).select_from(connections)),
        ("tasks", "Tasks.", select(func.count()).select_from(tasks)),
        ("notices_unsent", "Notifications that are not sent.", select(func.count()).where(notices.c.sent_at.is_(None))),
        ("gateway_machines", "Machines of gateways that are there.", select(func.count()).where(*alive)),
    )
    with database.reading() as connection:
        for name, about, query in counts:
            gauge(name, about).set(connection.scalar(query) or 0)
        by_status = gauge("runs", "Runs that are kept, by state.", "status")
        for status, count in connection.execute(select(runs.c.status, func.count()).group_by(runs.c.status)):
            by_status.labels(status).set(count)
        _last_runs(connection, gauge)
    return generate_latest(registry)


def _last_runs(connection: Connection, gauge: Callable[[str, str, str], Gauge]) -> None:
    """Count each task's last run that has ended: when, how long, rows and requests, and whether it went well."""
    ended = gauge("last_run_ended_timestamp_seconds", "When the last run of a task ended.", "task")
    seconds = gauge("last_run_seconds", "How long the last run of a task took.", "task")
    rows = gauge("last_run_rows", "Rows that the last run of a task changed.", "task")
    requests = gauge("last_run_requests", "Requests that the last run of a task sent.", "task")
    complete = gauge("last_run_complete", "1 when the last run of a task was complete, else 0.", "task")
    newest = (
        select(runs.c.task_id, func.max(runs.c.ended_at).label("ended"))
        .where(runs.c.ended_at.is_not(None))
        .group_by(runs.c.task_id)
        .subquery()
    )
    query = (
        select(runs, tasks.c.name.label("task"))
        .join(newest, (newest.c.task_id == runs.c.task_id) & (newest.c.ended == runs.c.ended_at))
        .join(tasks, tasks.c.id == runs.c.task_id)
    )
    for row in connection.execute(query):
        ended.labels(row.task).set(row.ended_at)
        seconds.labels(row.task).set(row.ended_at - (row.started_at or row.ended_at))
        rows.labels(row.task).set(row.rows or 0)
        requests.labels(row.task).set(row.requests or 0)
        complete.labels(row.task).set(row.status == "complete")


LARGEST_BODY = 1_000_000  # bytes of a request
DESCRIPTION = (
    "What the console's pages do, for programs. Send a token that was made on the page of your account: "
    "`Authorization: Bearer cio_…`. A refusal has a `message` with the cause and a `fix` that says what to do."
)


PAGES = (route, sign_in_pages.ROUTES, connection_pages.ROUTES, task_pages.ROUTES, admin_pages.ROUTES)
API = (*workspace_api.ROUTES, *admin_api.ROUTES)


def application(services: WebServices, more: Sequence[ControllerRouterHandler] = ()) -> SecurityHeaders:
    """Return the whole console, to be served. `more` are other handlers, such as those of the gateways."""
    return SecurityHeaders(inner(services, more), services.site)


def inner(services: WebServices, more: Sequence[ControllerRouterHandler] = ()) -> Litestar:
    """Return the console without the security headers. Raises when a handler does not say who may call it."""
    assets = read_assets()
    pages = [handler for routes in PAGES for handler in routes.handlers]
    api = [handler for routes in API for handler in routes.handlers]
    # a router for all of them: Litestar prepares a handler once more for each later one of the same path that is
    # given by itself, which a handler that runs in a thread does not survive
    for_people = Router("/", route_handlers=[*pages, _served(assets)], include_in_schema=False)
    for_programs = Router("/", route_handlers=api, before_request=require_known)
    made = Litestar(
        [for_people, for_programs, *more],
        guards=[guard],
        dependencies={
            "services": Provide(services_of, sync_to_thread=False),
            "visit": Provide(visit_of),
            "by": Provide(actor_of, sync_to_thread=False),
        },
        exception_handlers={Exception: http_errors.answer},
        openapi_config=_openapi(),
        request_max_body_size=LARGEST_BODY,
        state=State({"services": services, "templates": environment(assets)}),
        logging_config=None,
    )
    require_declared(made)
    return made


async def require_known(request: AnyRequest) -> None:
    """Raise InvalidSettings for a setting in a body that there is not, with the one that may be meant.

    Handlers declare the kind of settings that their bodies hold. A body that is nested too deeply is refused here; what
    else is wrong with a body is found where it is decoded.
    """
    if request.method not in ("POST", "PUT"):
        return
    try:
        sent = await request.json()
        kind = request.route_handler.opt.get("settings")
        if kind is not None and isinstance(sent, dict) and isinstance(sent.get("settings"), dict):
            decoded(sent["settings"], kind)
    except RecursionError:
        raise ClientException("The request is nested too deeply.") from None
    except SerializationException:
        return


def _served(assets: dict[str, Asset]) -> ControllerRouterHandler:
    @get("/static/{name:str}", opt={"needs": ANYBODY}, include_in_schema=False, sync_to_thread=False)
    def static(name: FromPath[str]) -> Response[bytes]:
        """One of the console's own files."""
        asset = assets.get(name)
        if asset is None:
            return Response(b"", status_code=404, media_type="text/plain")
        return Response(asset.content, media_type=asset.media_type, headers={"cache-control": FOR_GOOD})

    return static


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="cio-replicate console",
        version=__version__,
        description=DESCRIPTION,
        use_handler_docstrings=True,
        components=Components(security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"token": []}],
        render_plugins=[JsonRenderPlugin()],
        openapi_router=Router("/api/v1/schema", route_handlers=[], include_in_schema=False, opt={"needs": ANYBODY}),
    )


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
    """Take the port. Raises InvalidSettings, also for a certificate without its key."""
    if (certificate is None) != (key is None):
        raise InvalidSettings("A certificate and its key belong together.", "Give both --tls-cert and --tls-key.")
    for file in (certificate, key):
        if file is not None and not file.is_file():
            raise InvalidSettings(f"There is no file {file}.", "Name the certificate and its key, in PEM.")
    _require_addresses(proxy)
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        server = socket.create_server(address, family=family, backlog=WAITING)
    except OSError as error:
        raise InvalidSettings(
            f"The console cannot listen on {host}, port {port} ({error.strerror or error}).",
            "Choose another --port, or 0 for a free one.",
        ) from None
    return ListenAddress(server, certificate, key, proxy)


def _require_addresses(proxy: str | None) -> None:
    """Raise InvalidSettings for a proxy that no single address or network names."""
    for one in proxy.split(",") if proxy is not None else ():
        try:
            ipaddress.ip_network(one.strip())
        except ValueError:
            raise InvalidSettings(
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

    `ready` is called with the value in the first user's link, or None once there is a user. Raises InvalidSettings.
    """
    engine = BackgroundServices(database, keys, clock, ProcessStarter(state_dir), environment=environment)
    provider = oidc_of(environment, clock)
    services = WebServices(database, keys, clock, site, provider, environment, engine.health, state_dir)
    endpoint = gateway_endpoint(database, site.hosts, clock)
    config = uvicorn.Config(
        application(services, [gateway_router(endpoint)]),
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
        raise InvalidSettings(
            f"The certificate cannot be used ({error.strerror or type(error).__name__}).", "Give both in PEM."
        ) from None
    engine.start()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else one that comes now is lost where a shell ignores it
    try:
        ready(services.people.first_link())
        uvicorn.Server(config).run(sockets=[taken.server])
    except KeyboardInterrupt:  # the server hands the signal on once it has ended in order
        pass
    finally:
        engine.stop()
