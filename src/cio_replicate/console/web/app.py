"""The console as one application: every handler, what they work with, and what stands around them."""

from __future__ import annotations

from collections.abc import Sequence

from litestar import Litestar, Response, Router, get
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from cio_replicate.base.version import __version__
from cio_replicate.console.api import admin_api as api_keeping
from cio_replicate.console.api import api_people, api_runs, api_tasks
from cio_replicate.console.api import workspace_api as api_connections
from cio_replicate.console.api.api_models import require_known
from cio_replicate.console.web import (
    account_pages,
    gateways_pages,
    keeping_pages,
    metadata_pages,
    overview_pages,
    tasks_pages,
    users_pages,
    watching,
)
from cio_replicate.console.web import admin_pages as channels_pages
from cio_replicate.console.web import connection_pages as connections_pages
from cio_replicate.console.web import http_errors as failures
from cio_replicate.console.web import run_pages as runs_pages
from cio_replicate.console.web import sign_in_pages as entering
from cio_replicate.console.web import task_pages as tasks_editing
from cio_replicate.console.web.assets import FOR_GOOD, Asset, read_assets
from cio_replicate.console.web.authorization import OPEN, guard, require_declared
from cio_replicate.console.web.form import form_of
from cio_replicate.console.web.rendering import environment
from cio_replicate.console.web.services import WebServices
from cio_replicate.console.web.shield import SecurityHeaders

LARGEST_BODY = 1_000_000  # bytes of a request
DESCRIPTION = (
    "What the console's pages do, for programs. Send a token that was made on the page of your account: "
    "`Authorization: Bearer cio_…`. A refusal has a `message` with the cause and a `fix` that says what to do."
)


#: Every page, by the module that has it.
PAGES = (
    entering,
    overview_pages,
    connections_pages,
    metadata_pages,
    tasks_pages,
    tasks_editing,
    runs_pages,
    gateways_pages,
    channels_pages,
    users_pages,
    account_pages,
    keeping_pages,
    watching,
)
#: The API, the same way.
API = (api_connections, api_tasks, api_runs, api_keeping, api_people)


def application(services: WebServices, more: Sequence[ControllerRouterHandler] = ()) -> SecurityHeaders:
    """The whole console, to be served. `more` are handlers of others, such as the gateways'."""
    return SecurityHeaders(inner(services, more), services.site)


def inner(services: WebServices, more: Sequence[ControllerRouterHandler] = ()) -> Litestar:
    """The console without what stands around it. Fails to be made when a handler does not say who may call it."""
    assets = read_assets()
    pages = [handler for module in PAGES for handler in module.HANDLERS]
    api = [handler for module in API for handler in module.HANDLERS]
    # a router for all of them: Litestar prepares a handler once more for each later one of the same path that is
    # given by itself, which a handler that runs in a thread does not survive
    shown = Router("/", route_handlers=[*pages, _served(assets)], include_in_schema=False)
    told = Router("/", route_handlers=api, before_request=require_known)
    made = Litestar(
        [shown, told, *more],
        guards=[guard],
        dependencies={"services": Provide(lambda: services, sync_to_thread=False), "form": Provide(form_of)},
        exception_handlers={Exception: failures.answer},
        openapi_config=_openapi(),
        request_max_body_size=LARGEST_BODY,
        state=State({"services": services, "templates": environment(assets)}),
        logging_config=None,
    )
    require_declared(made)
    return made


def _served(assets: dict[str, Asset]) -> ControllerRouterHandler:
    @get("/static/{name:str}", opt=OPEN, include_in_schema=False, sync_to_thread=False)
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
        openapi_router=Router("/api/v1/schema", route_handlers=[], include_in_schema=False, opt=dict(OPEN)),
    )
