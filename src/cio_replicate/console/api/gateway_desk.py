"""What the console answers a gateway: every request is proven first, and reaches only what belongs to its gateway."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

import msgspec

from cio_replicate.base.errors import BoardAwayError, CioReplicateError, DatabaseError, GatewayRefusedError
from cio_replicate.base.runtime import Clock
from cio_replicate.base.version import __version__
from cio_replicate.console import gateways, inquiries
from cio_replicate.console.api.gateway_api import SignedRequest, VerifiedMember, proven_key, verified
from cio_replicate.database.connection import Database
from cio_replicate.database.tables import gateway_members
from cio_replicate.jobs import gateway_protocol as wire
from cio_replicate.jobs.board import HeartbeatReply, JobQueue
from cio_replicate.jobs.giving_back import give_back
from cio_replicate.jobs.job import PROTOCOL
from cio_replicate.jobs.leases import LEASE
from cio_replicate.jobs.local_engine import LocalEngine

LONGEST_WORKER, LONGEST_MACHINE, LONGEST_VERSION = 60, 200, 50

_RUN = re.compile(r"runs/([0-9a-f]{32})/(beat|end)")
_INQUIRY = re.compile(r"inquiries/([0-9a-f]{32})")


class GatewayEndpoint:
    """Answers requests of gateways. `board_of` gives the board that hands out the runs of one gateway, and no others.

    `hosts` are the names that the console answers to: a token for another host is not for it.
    """

    def __init__(
        self, database: Database, board_of: Callable[[str], JobQueue], hosts: Collection[str], clock: Clock
    ) -> None:
        self._database = database
        self._board_of = board_of
        self._hosts = hosts
        self._clock = clock

    def respond(self, request: SignedRequest) -> tuple[int, bytes]:
        """The status and the body of the answer, whatever becomes of the request."""
        now = int(self._clock.now())
        try:
            return 200, wire.encoded(self._answer(request, now))
        except GatewayRefusedError as error:
            code, message, fix = error.code, error.message, error.fix
        except (BoardAwayError, DatabaseError):
            code, message, fix = "away", "The console cannot reach its database.", "The request is made again."
        except CioReplicateError as error:
            code, message, fix = "request", error.message, error.fix
        return wire.STATUSES.get(code, 400), wire.encoded(wire.GatewayRefusal(code, message, fix, now))

    def _answer(self, request: SignedRequest, now: int) -> msgspec.Struct:
        if request.path == wire.ENROL:
            return self._enrol(request, now)
        sender = verified(self._database, request, self._hosts, now)
        if request.path == wire.STANDING:
            return wire.MemberStatus(sender.gateway, sender.machine, __version__)
        if request.path == wire.CLAIM:
            return self._claim(sender, wire.decoded(request.body, wire.ClaimRequest))
        if request.path == wire.INQUIRY:
            return self._inquiry(sender, wire.decoded(request.body, wire.ProbeRequestBody), now)
        if (asked := _INQUIRY.fullmatch(request.path)) is not None:
            told = wire.decoded(request.body, wire.ProbeResultBody)
            with self._database.writing() as connection:
                inquiries.answer(connection, asked[1], _worker(sender, told.worker), told.found, now)
            return wire.Acknowledged()
        if (run := _RUN.fullmatch(request.path)) is not None:
            return self._told(sender, run[1], run[2], request.body, now)
        raise GatewayRefusedError(
            "The console has no such address.", "Bring the gateway and the console to the same version.", code="request"
        )

    def _enrol(self, request: SignedRequest, now: int) -> wire.Enrolled:
        wish = wire.decoded(request.body, wire.EnrolRequest)
        _require_protocol(wish.protocol, wish.version)
        gateways.require_code(self._database, wish.code, now)
        key = proven_key(self._database, request, wish.public_key, self._hosts, now)
        machine = _plain(wish.machine, LONGEST_MACHINE) or "unnamed"
        member, gateway = gateways.enrol(
            self._database, wish.code, machine, key, _plain(wish.version, LONGEST_VERSION), now
        )
        return wire.Enrolled(member, gateway)

    def _claim(self, sender: VerifiedMember, wish: wire.ClaimRequest) -> wire.ClaimAnswer:
        version = _plain(wish.version, LONGEST_VERSION)
        if version != sender.version:
            with self._database.writing() as connection:
                mine = gateway_members.c.id == sender.member
                connection.execute(gateway_members.update().where(mine).values(version=version))
        _require_protocol(wish.protocol, wish.version)
        claim = self._board_of(sender.gateway).claim(_worker(sender, wish.worker))
        if claim is None:
            return wire.ClaimAnswer()
        job = msgspec.structs.replace(claim.job, stored={})
        return wire.ClaimAnswer(job.run_id, msgspec.Raw(msgspec.json.encode(job)), claim.lease)

    def _told(self, sender: VerifiedMember, run_id: str, what: str, body: bytes, now: int) -> wire.HeartbeatResponse:
        board = self._board_of(sender.gateway)
        if what == "beat":
            beat = wire.decoded(body, wire.HeartbeatRequest)
            return wire.HeartbeatResponse(board.beat(_worker(sender, beat.worker), run_id, beat.progress, beat.lines))
        ended = wire.decoded(body, wire.EndRequest)
        worker = _worker(sender, ended.worker)
        if ended.given_back and give_back(self._database, sender.gateway, worker, run_id, ended.end.lines, now):
            return wire.HeartbeatResponse(HeartbeatReply.GO_ON)
        return wire.HeartbeatResponse(board.end(worker, run_id, ended.end))

    def _inquiry(self, sender: VerifiedMember, wish: wire.ProbeRequestBody, now: int) -> wire.ProbeAnswer:
        with self._database.writing() as connection:
            taken = inquiries.take(connection, sender.gateway, _worker(sender, wish.worker), now)
        if taken is None:
            return wire.ProbeAnswer()
        return wire.ProbeAnswer(taken.id, taken.about.value, msgspec.Raw(msgspec.json.encode(taken.connection)))


def desk_over(database: Database, hosts: Collection[str], clock: Clock, lease: int = LEASE) -> GatewayEndpoint:
    """The desk of a console that answers to these hosts. No board of a gateway is given a secret to reveal."""

    def board_of(gateway: str) -> LocalEngine:
        return LocalEngine(database, clock, gateway=gateway, lease=lease)

    return GatewayEndpoint(database, board_of, hosts, clock)


def _worker(sender: VerifiedMember, name: str) -> str:
    """What a member calls a worker, as nobody else's can be called."""
    if not re.fullmatch(rf"[A-Za-z0-9._-]{{1,{LONGEST_WORKER}}}", name):
        raise GatewayRefusedError("A worker cannot be called so.", "Update the gateway.", code="request")
    return f"{sender.member}/{name}"


def _require_protocol(theirs: int, version: str) -> None:
    if theirs == PROTOCOL:
        return
    older = "gateway" if theirs < PROTOCOL else "console"
    raise GatewayRefusedError(
        f"The gateway (version {_plain(version, LONGEST_VERSION)}, protocol {theirs}) and the console "
        f"(version {__version__}, protocol {PROTOCOL}) do not understand each other.",
        f"Update cio-replicate where the {older} runs.",
        code="protocol",
    )


def _plain(text: str, most: int) -> str:
    """A text that somebody else chose, as it may be shown."""
    return "".join(one for one in text if one.isprintable())[:most].strip()
