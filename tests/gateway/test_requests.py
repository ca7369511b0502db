"""Signed requests: taken once, now, from whom they say, for this console, as they were signed; anything else is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey

from cio_replicate.base.errors import GatewayRefusedError, NotFound, Unavailable
from cio_replicate.console import gateways
from cio_replicate.console.api.gateway_api import AHEAD, SignedRequest
from cio_replicate.database.actor import LOCAL
from cio_replicate.jobs import gateway_protocol as wire
from cio_replicate.jobs.ports import PROTOCOL
from tests.gateway.in_process import HOST, Machine, another_machine, machine_of
from tests.manual_clock import ManualClock


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine that serves as the gateway vienna."""
    with machine_of(tmp_path) as made:
        yield made


def _standing(machine: Machine) -> wire.MemberStatus:
    return machine.link.ask(wire.STANDING, wire.StatusRequest(), wire.MemberStatus)


def _refusal(machine: Machine) -> str:
    with pytest.raises(GatewayRefusedError) as caught:
        _standing(machine)
    assert caught.value.cause.endswith(".")
    assert caught.value.fix.endswith(".")
    return caught.value.code


def _respond(machine: Machine, request: SignedRequest) -> tuple[int, str]:
    status, body = machine.transport._desk.respond(request)
    return status, str(json.loads(body).get("code"))


def test_who_signs_with_the_enrolled_key_is_answered(machine: Machine) -> None:
    """The console knows the gateway and the machine, and notes when it was seen."""
    machine.stage.clock.time += 50
    assert _standing(machine).gateway == "vienna"
    (gateway,) = gateways.listed(machine.stage.database, 0)
    assert gateway.members[0].seen_at == int(machine.stage.clock.now())


def test_a_request_is_taken_once(machine: Machine) -> None:
    """Who has overheard one cannot send it again, for as long as it would count."""
    _standing(machine)
    overheard = machine.transport.sent[-1]
    codes = set()
    for _ in range(5):
        codes.add(_respond(machine, overheard))
        machine.stage.clock.time += 15
    assert codes == {(401, "replayed"), (401, "clock")}
    for _ in range(3):
        machine.stage.clock.time += wire.LIFETIME + AHEAD
        machine.queue.claim("w")  # forgets what is too old
        assert _respond(machine, overheard)[1] == "clock"


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_is_changed_on_the_way_is_refused(machine: Machine, data: st.DataObject) -> None:
    """Another path, another body, another letter of the token: none is taken for what the machine has signed."""

    def spoilt(request: SignedRequest) -> SignedRequest:
        part = data.draw(st.sampled_from(["path", "body", "authorization"]))
        if part == "path":
            return replace(request, path=data.draw(st.sampled_from(["claim", "inquiry", "enrol", "standing/", ""])))
        if part == "body":
            return replace(request, body=request.body + data.draw(st.binary(min_size=1, max_size=3)))
        token = request.authorization or ""
        at = data.draw(st.integers(0, len(token) - 2))  # the last letter holds bits that mean nothing
        other = data.draw(st.sampled_from("aB3_-. ").filter(lambda one: one != token[at]))
        return replace(request, authorization=token[:at] + other + token[at + 1 :])

    machine.transport.spoil = spoilt
    with pytest.raises(GatewayRefusedError) as caught:
        _standing(machine)
    assert caught.value.code in {"signature", "request", "unknown"}


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Gateway",
        "Gateway ",
        "Bearer x",
        "Gateway x",
        "Gateway a.b.c",
        "Gateway " + "x" * 9_000,
        "Gateway eyJraWQiOiBbXX0.e30.x",
    ],
)
def test_what_is_no_signature_is_refused_in_a_sentence(machine: Machine, authorization: str | None) -> None:
    """No header of any shape is a defect."""
    assert _respond(machine, SignedRequest(wire.STANDING, authorization, b"{}")) == (401, "signature")


def test_only_the_enrolled_key_counts(machine: Machine) -> None:
    """Who knows a member's id, and even its public key, cannot speak for it."""
    body = b"{}"
    claims = wire.claims_of(machine.member, HOST, wire.STANDING, body, int(machine.clock.now()), "n")
    public = OctKey.import_key(machine.key.public["x"])
    for header, key in (({"alg": "HS256"}, public), ({"alg": "HS256"}, OctKey.generate_key(256))):
        token = jwt.encode({**header, "kid": machine.member}, claims, key, algorithms=["HS256"])
        assert _respond(machine, SignedRequest(wire.STANDING, f"Gateway {token}", body)) == (401, "signature")
    head = "eyJhbGciOiJub25lIiwia2lkIjoiREFNTUVE"
    assert _respond(machine, SignedRequest(wire.STANDING, f"Gateway {head}.e30.", body)) == (401, "signature")


def test_a_member_cannot_speak_for_another(machine: Machine, tmp_path: Path) -> None:
    """The key decides, not what the token says of itself."""
    other = another_machine(machine.stage, tmp_path, "graz", new=True)
    other.link = other.linked(machine.member)
    assert _refusal(other) == "signature"


def test_a_token_for_another_console_is_refused(machine: Machine) -> None:
    """A console that is given a gateway's request cannot use it at another one."""
    token = machine.key.sign(machine.member, "other.example", wire.STANDING, b"{}", machine.clock.now())
    assert _respond(machine, SignedRequest(wire.STANDING, f"Gateway {token}", b"{}")) == (401, "signature")


def test_a_machine_that_nobody_enrolled_is_unknown(machine: Machine) -> None:
    """It is told to enrol."""
    machine.link = machine.linked("f" * 32)
    assert _refusal(machine) == "unknown"


def test_who_is_shut_out_is_refused_at_once(machine: Machine, tmp_path: Path) -> None:
    """One machine, or all of a gateway with the codes that wait; and nobody else."""
    second = another_machine(machine.stage, tmp_path, "vienna")
    third = another_machine(machine.stage, tmp_path, "graz", new=True)
    now = int(machine.clock.now())
    waiting = gateways.new_code(machine.stage.database, "vienna", now, LOCAL)
    assert [one.id for one in gateways.revoke(machine.stage.database, machine.member[:12], now, LOCAL)] == [
        machine.member
    ]
    assert _refusal(machine) == "revoked"
    assert _standing(second).gateway == "vienna"
    gateways.revoke(machine.stage.database, "vienna", now, LOCAL)
    assert (_refusal(machine), _refusal(second), _standing(third).gateway) == ("revoked", "revoked", "graz")
    with pytest.raises(GatewayRefusedError, match="does not know this code"):
        Machine(machine.stage, tmp_path).enrol(waiting.code)


@pytest.mark.parametrize("off", [-300, -90, -59, 59, 90, 240, 300])
def test_a_clock_that_is_minutes_off_is_allowed_for(
    machine: Machine, off: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The console says what time it is; the machine goes on by that, and says so once in its log."""
    machine.clock = ManualClock(machine.stage.clock.time + off)
    machine.link = machine.linked(machine.member)
    assert _standing(machine).gateway == "vienna"
    assert _standing(machine).gateway == "vienna"
    said = [one.getMessage() for one in caplog.records if "clock" in one.getMessage()]
    assert len(said) == (abs(off) > wire.LIFETIME) or off < 0
    assert all(("behind" if off < 0 else "ahead of") in one for one in said)


@pytest.mark.parametrize(("off", "said"), [(-900, "15 minutes behind"), (7_200, "120 minutes ahead of")])
def test_a_clock_that_is_far_off_is_named(machine: Machine, off: int, said: str) -> None:
    """Beyond five minutes the machine is refused, with how far its clock is off."""
    machine.clock = ManualClock(machine.stage.clock.time + off)
    machine.link = machine.linked(machine.member)
    with pytest.raises(GatewayRefusedError, match=said) as caught:
        _standing(machine)
    assert caught.value.code == "clock"


def test_another_protocol_is_refused_by_name(machine: Machine) -> None:
    """The older side is named, and the version of the gateway is noted all the same."""
    for theirs, older in ((PROTOCOL + 1, "console"), (PROTOCOL - 1, "gateway")):
        with pytest.raises(GatewayRefusedError, match=f"protocol {theirs}") as caught:
            machine.link.ask(wire.CLAIM, wire.ClaimRequest("w", f"9.{theirs}", theirs), wire.ClaimAnswer)
        assert (caught.value.code, f"where the {older} runs" in caught.value.fix) == ("protocol", True)
        (gateway,) = gateways.listed(machine.stage.database, 0)
        assert gateway.members[0].version == f"9.{theirs}"


def test_an_address_that_is_none_is_refused(machine: Machine) -> None:
    """A signed request for an address that the console does not have is answered in a sentence."""
    for path in ("nothing", "runs/1/beat", f"runs/{'a' * 32}/delete"):
        with pytest.raises(GatewayRefusedError) as caught:
            machine.link.ask(path, wire.StatusRequest(), wire.MemberStatus)
        assert caught.value.code == "request"


def test_a_database_that_is_away_is_no_refusal(machine: Machine, tmp_path: Path) -> None:
    """The gateway waits for it as for a console that is away."""
    machine.stage.database.close()
    for file in tmp_path.glob("console.db*"):
        file.write_bytes(b"no database " * 1_000)
    with pytest.raises(Unavailable, match="cannot reach its database"):
        _standing(machine)


def test_a_machine_is_shut_out_of_its_own_gateway_only(machine: Machine) -> None:
    """Whoever names another gateway by mistake shuts nobody out."""
    now = int(machine.clock.now())
    gateways.create(machine.stage.database, "graz", now, LOCAL)
    with pytest.raises(NotFound):
        gateways.revoke(machine.stage.database, machine.member, now, LOCAL, of="graz")
    with pytest.raises(NotFound):
        gateways.revoke(machine.stage.database, "vienna", now, LOCAL, of="vienna")
    (out,) = gateways.revoke(machine.stage.database, machine.member, now, LOCAL, of="vienna")
    assert out.id == machine.member
