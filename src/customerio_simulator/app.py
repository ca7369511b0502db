"""The simulated API as an ASGI application: gate, read, fault, answer, in that order for every request."""

from __future__ import annotations

import asyncio
import gzip
import time
from functools import partial

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .answers import write_answer
from .asking import Question, typed
from .bending import bend
from .control import control_routes
from .endpoints import ENDPOINTS, Endpoint
from .faults import Asked, Fault
from .gate import check_access, check_rate, others_at
from .openapi import document
from .refusals import Refusal, error_body, not_found
from .request_log import LoggedRequest, fingerprint
from .state import SimulatorState
from .wire import fault_response

JSON_HEADERS = {
    "content-type": "application/json; charset=utf-8",
    "cache-control": "must-revalidate,no-cache,no-store",  # live
}
_GZIP_HEADERS = {"content-encoding": "gzip", "vary": "Accept-Encoding"}
_API = "/v1/"


def build_app(state: SimulatorState) -> ASGIApp:
    """The whole simulator: `/v1` by the endpoint table, `/openapi.json`, and the control room under `/_simulator`."""
    routes = [
        Route(_route_path(endpoint), partial(_respond, state, endpoint), methods=[endpoint.method])
        for endpoint in ENDPOINTS
    ]
    app = Starlette(
        routes=[*routes, Route("/openapi.json", _published), *control_routes(state)],
        exception_handlers={HTTPException: _http_error},
    )
    app.router.redirect_slashes = False
    return _Recorder(app, state)


def _route_path(endpoint: Endpoint) -> str:
    """Text parameters may hold encoded slashes, so they match across them."""
    path = endpoint.path
    for param in endpoint.path_params:
        if param.kind == "string":
            path = path.replace("{" + param.name + "}", "{" + param.name + ":path}")
    return path


async def _respond(state: SimulatorState, endpoint: Endpoint, request: Request) -> Response:
    request.scope["state"]["operation"] = endpoint.operation
    try:
        check_access(state.behaviour, request.headers.get("authorization", ""), endpoint)
        now = time.monotonic()
        state.log.others_came(*others_at(state.behaviour, state.window, now))
        check_rate(state.behaviour, state.window, now)
        state.log.passed(now)
        await _note_asked(state, endpoint, request)
        if state.behaviour.latency:
            await asyncio.sleep(state.behaviour.latency)
        return await _answer(state, endpoint, request)
    except Refusal as refusal:
        return _json(error_body(refusal.status, refusal.detail), refusal.status, refusal.headers)


async def _note_asked(state: SimulatorState, endpoint: Endpoint, request: Request) -> None:
    notes = request.scope["state"]
    body = await request.body() if endpoint.body else b""
    notes["asked"] = fingerprint(request.method, _target(request.scope), body)
    notes["again"] = state.log.let_in(endpoint.operation, notes["asked"])


def _target(scope: Scope) -> str:
    """The path with its query, encoded as it came."""
    query = scope.get("query_string", b"").decode("latin-1")
    path = scope.get("raw_path", b"").decode("latin-1") or str(scope["path"])
    return f"{path}?{query}" if query else path


async def _answer(state: SimulatorState, endpoint: Endpoint, request: Request) -> Response:
    fault = state.faults.choose(_asked(endpoint, request))
    if fault is not None and (instead := fault_response(fault, state.closing)) is not None:
        return instead
    if fault is None:
        return await _honest_answer(state, endpoint, request)
    question = await _question(state, endpoint, request)
    with state.workspace.lock:
        answer = endpoint.read(question)
    return _spoilt(state, request, bend(fault, answer, question), fault)


async def _honest_answer(state: SimulatorState, endpoint: Endpoint, request: Request) -> Response:
    """A 200, made anew or as it was sent before."""
    notes = request.scope["state"]
    packed = _wants_gzip(state, request)
    question = await _question(state, endpoint, request)
    with state.workspace.lock:
        now = (state.workspace.state, state.behaviour.of_answers)
        body = state.answers.get(now, (notes["asked"], packed))
        answer = endpoint.read(question) if body is None else None
    if answer is not None:
        body = _packed(write_answer(answer)) if packed else write_answer(answer)
        state.answers.put(now, (notes["asked"], packed), body)
    notes["whole"] = True
    return _json(body or b"", 200, _GZIP_HEADERS if packed else {})


def _asked(endpoint: Endpoint, request: Request) -> Asked:
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return Asked(endpoint.table, endpoint.operation, request.method, target, bool(request.query_params.get("start")))


async def _question(state: SimulatorState, endpoint: Endpoint, request: Request) -> Question:
    strict = state.behaviour.limit_over_max == "reject"
    try:
        path = typed(endpoint.path_params, request.path_params, reject_over_max=True)
    except Refusal:
        raise not_found() from None
    query = typed(endpoint.params, request.query_params, reject_over_max=strict)
    body = await _body(request) if endpoint.body else None
    return Question(state.workspace, state.behaviour, f"{endpoint.operation}{sorted(path.items())}", path, query, body)


async def _body(request: Request) -> object:
    try:
        return msgspec.json.decode(await request.body())
    except msgspec.DecodeError as error:
        raise Refusal(400, "bad request") from error


def _wants_gzip(state: SimulatorState, request: Request) -> bool:
    return state.behaviour.gzip and "gzip" in request.headers.get("accept-encoding", "")


def _packed(body: bytes) -> bytes:
    return gzip.compress(body, compresslevel=1, mtime=0)


def _spoilt(state: SimulatorState, request: Request, body: bytes, fault: Fault) -> Response:
    packed = _wants_gzip(state, request)
    body = _packed(body) if packed else body
    headers = JSON_HEADERS | (_GZIP_HEADERS if packed else {})
    return fault_response(fault, state.closing, body, headers) or _json(body, 200, headers)


def _json(body: bytes, status: int, headers: dict[str, str]) -> Response:
    return Response(body, status, JSON_HEADERS | headers)


async def _http_error(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict((isinstance(error, HTTPException) and error.headers) or {})
    detail = "resource not found" if status == 404 else "method not allowed"
    return _json(error_body(status, detail), status, headers)


async def _published(_request: Request) -> Response:
    return _json(msgspec.json.encode(document()), 200, {})


class _Recorder:
    """Logs every request to the API with the status that went out; the control room passes unseen. Keeps bugs."""

    def __init__(self, app: ASGIApp, state: SimulatorState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._serve(scope, receive, send)
        except ClientDisconnect:
            return  # a client that goes away in the middle of its request is no mistake of ours
        except Exception as error:
            self._state.bugs.append(error)
            raise

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(_API):
            await self._app(scope, receive, send)
            return
        arrived = time.monotonic()
        notes = scope.setdefault("state", {})
        notes["operation"] = "unknown"
        self._state.log.arrived(arrived)

        def remember(status: int) -> None:
            again = notes.get("again", False)
            target = _target(scope)
            log = self._state.log
            log.answered(LoggedRequest(scope["method"], target, notes["operation"], status, arrived, again))
            if status == 200 and notes.get("whole"):
                log.answered_whole(notes["asked"])

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                notes["answered"] = True
                remember(message["status"])  # before the caller can have the whole answer and look
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            if not notes.get("answered"):
                remember(notes.get("status", 0))
