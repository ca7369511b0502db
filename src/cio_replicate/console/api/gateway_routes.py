"""Where gateways call: one address, signed requests, answers in JSON; all that is decided is decided by the desk."""

from __future__ import annotations

from typing import Any

from litestar import Response, Router, post
from litestar.concurrency import sync_to_thread
from litestar.enums import MediaType
from litestar.params import FromPath

from cio_replicate.console.api.gateway_api import SignedRequest
from cio_replicate.console.api.gateway_desk import GatewayEndpoint
from cio_replicate.console.web.authorization import GATEWAY, AnyRequest
from cio_replicate.jobs.gateway_protocol import MOST_BYTES, ROOT


def gateway_router(desk: GatewayEndpoint) -> Router:
    """The addresses of gateways. They know no session: each request proves by itself who sends it."""

    @post("/{path:path}", opt=dict(GATEWAY), include_in_schema=False, request_max_body_size=MOST_BYTES)
    async def answer(request: AnyRequest, path: FromPath[str]) -> Response[Any]:
        """Answer a gateway."""
        signed = SignedRequest(path.strip("/"), request.headers.get("authorization"), await request.body())
        status, body = await sync_to_thread(desk.respond, signed)
        return Response(body, status_code=status, media_type=MediaType.JSON)

    return Router(ROOT, route_handlers=[answer])
