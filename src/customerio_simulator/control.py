"""The control room: what a test in another process asks of the simulator and does to it, over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Literal

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from .evolution import BACKDATED_WITHIN, SIX_MONTHS, evolve
from .faults import Fault, Faults
from .inventory import TABLE_BY_NAME
from .schemas import UnknownTableError
from .state import SimulatorState
from .workspace import UnknownRecordError

_ROOT = "/_simulator"
Act = Callable[[SimulatorState, Request], Awaitable[object]]


class _Evolve(msgspec.Struct, forbid_unknown_fields=True):
    seed: int = 1
    edits: int = 3
    seconds: int = 86_400
    metrics_within: int = SIX_MONTHS
    forget_deliveries: bool = False
    backdated_within: int = BACKDATED_WITHIN
    unlogged: int = 0


class _Advance(msgspec.Struct, forbid_unknown_fields=True):
    seconds: int


class _Faults(msgspec.Struct, forbid_unknown_fields=True):
    rules: list[Fault] = []
    seed: int = 0
    max_consecutive: int | None = None
    preset: Literal["everything"] | None = None
    drift: bool = False
    rate: float = 0.02


class _Put(msgspec.Struct, forbid_unknown_fields=True):
    table: str
    record: msgspec.Raw
    suppression_type: str = "bounces"


class _Delete(msgspec.Struct, forbid_unknown_fields=True):
    table: str
    key: str


class _Behave(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Only what is given changes."""

    tokens: list[str] | msgspec.UnsetType = msgspec.UNSET
    denied: list[str] | msgspec.UnsetType = msgspec.UNSET
    wrong_region: bool | msgspec.UnsetType = msgspec.UNSET
    rps: int | msgspec.UnsetType | None = msgspec.UNSET
    retry_after: int | msgspec.UnsetType | None = msgspec.UNSET
    others_rps: Annotated[float, msgspec.Meta(ge=0)] | msgspec.UnsetType = msgspec.UNSET
    others_burst: Annotated[int, msgspec.Meta(ge=1)] | msgspec.UnsetType = msgspec.UNSET
    latency: float | msgspec.UnsetType = msgspec.UNSET
    limit_over_max: Literal["cap", "reject"] | msgspec.UnsetType = msgspec.UNSET
    page_ceiling: Annotated[int, msgspec.Meta(ge=1)] | msgspec.UnsetType | None = msgspec.UNSET
    oldest_first: bool | msgspec.UnsetType = msgspec.UNSET
    wrapped_people: bool | msgspec.UnsetType = msgspec.UNSET
    deleted_activities: Literal["with", "always", "only"] | msgspec.UnsetType = msgspec.UNSET
    trailing_sender_token: bool | msgspec.UnsetType = msgspec.UNSET
    gzip: bool | msgspec.UnsetType = msgspec.UNSET


def control_routes(state: SimulatorState) -> list[Route]:
    """No bearer token, no faults, no limits, and nothing here is logged as a request."""
    table: tuple[tuple[str, str, Act], ...] = (
        ("GET", "/requests", _requests),
        ("POST", "/reset-requests", _reset_requests),
        ("GET", "/requests/log", _request_log),
        ("GET", "/now", _now),
        ("POST", "/advance", _advance),
        ("POST", "/evolve", _evolve),
        ("POST", "/put", _put),
        ("POST", "/delete", _delete),
        ("GET", "/faults", _struck),
        ("POST", "/faults", _set_faults),
        ("POST", "/behaviour", _behave),
        ("GET", "/truth", _truths),
        ("GET", "/truth/{table}", _truth),
        ("GET", "/truth/{table}/summary", _truth_summary),
    )
    return [Route(_ROOT + path, _endpoint(state, act), methods=[method]) for method, path, act in table]


def _endpoint(state: SimulatorState, act: Act) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            result = await act(state, request)
        except (UnknownTableError, UnknownRecordError) as error:
            return _json({"error": f"unknown: {error}"}, 404)
        except (msgspec.MsgspecError, ValueError, TypeError, KeyError) as error:
            return _json({"error": str(error)}, 400)
        return result if isinstance(result, Response) else _json(result, 200)

    return endpoint


def _json(value: object, status: int) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def _requests(state: SimulatorState, _request: Request) -> object:
    return state.log.summary()


async def _request_log(state: SimulatorState, _request: Request) -> object:
    return [request._asdict() for request in state.log.requests]


async def _reset_requests(state: SimulatorState, _request: Request) -> object:
    state.log.reset()
    return state.log.summary()


async def _now(state: SimulatorState, _request: Request) -> object:
    return {"now": state.workspace.now, "start": state.workspace.spec.start}


async def _advance(state: SimulatorState, request: Request) -> object:
    asked = msgspec.json.decode(await request.body(), type=_Advance)
    return state.workspace.advance(asked.seconds)


async def _evolve(state: SimulatorState, request: Request) -> object:
    asked = msgspec.json.decode(await request.body() or b"{}", type=_Evolve)
    return evolve(state.workspace, **msgspec.structs.asdict(asked))


async def _put(state: SimulatorState, request: Request) -> object:
    asked = msgspec.json.decode(await request.body(), type=_Put)
    key = state.workspace.put(asked.table, bytes(asked.record), suppression_type=asked.suppression_type)
    return {"key": key}


async def _delete(state: SimulatorState, request: Request) -> object:
    asked = msgspec.json.decode(await request.body(), type=_Delete)
    state.workspace.delete(asked.table, asked.key)
    return {"deleted": asked.key}


async def _struck(state: SimulatorState, _request: Request) -> object:
    return {"struck": state.faults.struck}


async def _set_faults(state: SimulatorState, request: Request) -> object:
    asked = msgspec.json.decode(await request.body() or b"{}", type=_Faults)
    if asked.preset is not None:
        state.faults = Faults.everything(asked.seed, drift=asked.drift, rate=asked.rate)
    else:
        state.faults = Faults(asked.rules, seed=asked.seed, max_consecutive=asked.max_consecutive)
    return {"rules": len(state.faults.rules)}


async def _behave(state: SimulatorState, request: Request) -> object:
    asked = msgspec.json.decode(await request.body(), type=_Behave)
    for name in asked.__struct_fields__:
        value = getattr(asked, name)
        if value is not msgspec.UNSET:
            converted = {"tokens": tuple, "denied": frozenset}.get(name, lambda same: same)(value)
            setattr(state.behaviour, name, converted)
    shown = [name for name in asked.__struct_fields__ if name != "tokens"]
    return {name: getattr(state.behaviour, name) for name in shown}


async def _truths(state: SimulatorState, _request: Request) -> object:
    def count() -> object:
        return {table: state.workspace.summary(table)._asdict() for table in TABLE_BY_NAME}

    return await run_in_threadpool(count)


async def _truth_summary(state: SimulatorState, request: Request) -> object:
    return (await run_in_threadpool(state.workspace.summary, request.path_params["table"]))._asdict()


async def _truth(state: SimulatorState, request: Request) -> object:
    """One record a line, exactly as the API would write it."""
    records = state.workspace.truth(request.path_params["table"])

    def lines() -> Iterator[bytes]:
        chunk: list[bytes] = []
        for record in records:
            chunk.append(record)
            if len(chunk) == 500:
                yield b"\n".join(chunk) + b"\n"
                chunk = []
        if chunk:
            yield b"\n".join(chunk) + b"\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")
