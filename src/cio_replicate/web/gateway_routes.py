"""Where gateways call: one address, signed requests, answers in JSON; all that is decided is decided by the desk."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from email.utils import format_datetime

from litestar import Request, Response, Router, post
from litestar.datastructures import State
from litestar.enums import MediaType

from cio_replicate.base.errors import CioReplicateError, DatabaseError, GatewayRefusedError
from cio_replicate.control.gateway_desk import GatewayDesk
from cio_replicate.control.gateway_requests import Signed
from cio_replicate.execution.gateway_wire import MOST_BYTES, ROOT, STATUSES, Refusal, encoded

AWAY = 503


def gateway_router(desk: GatewayDesk) -> Router:
    """The addresses of gateways. They need no session: each request proves by itself who sends it."""

    @post(
        "/{path:path}",
        opt={"exclude_from_csrf": True, "public": True},
        include_in_schema=False,
        request_max_body_size=MOST_BYTES,
        status_code=200,
    )
    async def said(request: Request[object, object, State], path: str) -> Response[bytes]:
        """Answer a gateway."""
        body = await request.body()
        signed = Signed(path.strip("/"), request.headers.get("authorization"), body)
        try:
            return _response(await asyncio.to_thread(desk.answer, signed))
        except GatewayRefusedError as error:
            refusal, status = Refusal(error.code, error.message, error.fix), STATUSES.get(error.code, 400)
        except DatabaseError:
            refusal, status = Refusal("away", "The console's database is away.", "It is tried again."), AWAY
        except CioReplicateError as error:
            refusal, status = Refusal("request", error.message, error.fix), 400
        return _response(encoded(refusal), status)

    return Router(ROOT, route_handlers=[said])


def _response(body: bytes, status: int = 200) -> Response[bytes]:
    # the moment of the answer, by which a gateway finds out how far its clock is off
    now = format_datetime(datetime.now(UTC), usegmt=True)
    return Response(body, status_code=status, media_type=MediaType.JSON, headers={"date": now})
