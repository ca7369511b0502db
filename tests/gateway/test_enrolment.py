"""Enrolment: a code lets in one machine, whose private key never leaves it."""

from __future__ import annotations

import json
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cio_replicate.base.errors import (
    Conflict,
    GatewayRefusedError,
    InvalidSettings,
    NotAllowedError,
    NotFound,
    StateFolderError,
)
from cio_replicate.config.documents import ConnectionSettings
from cio_replicate.console import gateways
from cio_replicate.console import gateways as enrolment_codes
from cio_replicate.database.actor import LOCAL, Actor, Role
from cio_replicate.database.audit_log import entries
from cio_replicate.database.tables import gateway_codes, gateway_nonces
from cio_replicate.gateway.identity import KEY_FILE, new_key, read_key
from cio_replicate.jobs.gateway_protocol import STANDING, MemberStatus, StatusRequest
from tests.console.stage import STORES, Stage, stage
from tests.gateway.in_process import Machine


@pytest.fixture(params=STORES)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """An empty control database of each kind."""
    with stage(request.param, tmp_path) as one:
        yield one


def _now(made: Stage) -> int:
    return int(made.clock.now())


def test_a_code_can_be_copied_by_hand_and_not_be_guessed(made: Stage) -> None:
    """Groups of plain letters, more than a hundred random bits; what is kept of it does not tell it."""
    codes = {gateways.create(made.database, f"g{number}", _now(made), LOCAL).code for number in range(20)}
    assert len(codes) == 20
    assert all(re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{5}-){4}[0-9A-HJKMNP-TV-Z]{5}", code) for code in codes)
    with made.database.reading() as connection:
        kept = str(connection.execute(gateway_codes.select()).all())
        told = str(entries(connection))
    assert not any(code in kept + told or code.replace("-", "") in kept + told for code in codes)


def test_a_code_that_was_misread_is_understood() -> None:
    """Small letters, blanks, and what looks alike make no difference."""
    assert len({enrolment_codes.digest_of(one) for one in ("10AB0-1", "1oab0i", " loabo-l ", "10AB01")}) == 1


def test_a_code_lets_in_one_machine(made: Stage, tmp_path: Path) -> None:
    """The second one is told so; the first may ask again, as its answer may have been lost."""
    code = gateways.create(made.database, "vienna", _now(made), LOCAL).code
    first, second = Machine(made, tmp_path), Machine(made, tmp_path)
    member = first.enrol(code.lower(), "vm-1")
    assert first.enrol(code) == member
    with pytest.raises(GatewayRefusedError, match="mistyped, used, or older") as caught:
        second.enrol(code)
    assert caught.value.code == "code"
    (gateway,) = gateways.listed(made.database, _now(made))
    assert [(one.machine, one.version) for one in gateway.members] == [("vm-1", "1.0")]


def test_of_many_machines_at_once_one_is_let_in(made: Stage, tmp_path: Path) -> None:
    """A code counts once even when it is raced for."""
    code = gateways.create(made.database, "vienna", _now(made), LOCAL).code
    start, let_in, refused = threading.Barrier(8), [], []

    def enrol() -> None:
        machine = Machine(made, tmp_path)
        start.wait()
        try:
            let_in.append(machine.enrol(code))
        except GatewayRefusedError as error:
            refused.append(error.code)

    threads = [threading.Thread(target=enrol) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert (len(let_in), refused) == (1, ["code"] * 7)
    (gateway,) = gateways.listed(made.database, _now(made))
    assert len(gateway.members) == 1


def test_a_code_counts_for_an_hour(made: Stage, tmp_path: Path) -> None:
    """Then another must be made."""
    code = gateways.create(made.database, "vienna", _now(made), LOCAL).code
    made.clock.time += enrolment_codes.LIFETIME - 1
    fresh = gateways.new_code(made.database, "vienna", _now(made), LOCAL).code
    made.clock.time += 1
    with pytest.raises(GatewayRefusedError, match="older than an hour"):
        Machine(made, tmp_path).enrol(code)
    Machine(made, tmp_path).enrol(fresh)
    with pytest.raises(GatewayRefusedError, match="does not know this code"):
        Machine(made, tmp_path).enrol("AAAAA-AAAAA-AAAAA-AAAAA-AAAAA")


def test_who_has_no_code_leaves_no_trace(made: Stage, tmp_path: Path) -> None:
    """Nothing is written for a stranger, so that many of them fill nothing."""
    with pytest.raises(GatewayRefusedError):
        Machine(made, tmp_path).enrol("AAAAA-AAAAA-AAAAA-AAAAA-AAAAA")
    stranger = Machine(made, tmp_path)
    with pytest.raises(GatewayRefusedError):
        stranger.link.ask(STANDING, StatusRequest(), MemberStatus)
    with made.database.reading() as connection:
        assert connection.execute(gateway_nonces.select()).all() == []


def test_only_an_admin_makes_gateways(made: Stage) -> None:
    """And every step is in the audit log, in whose name it was."""
    for role in (Role.VIEWER, Role.OPERATOR):
        who = Actor("eva", role)
        for refused in (gateways.create, gateways.new_code, gateways.revoke, gateways.remove):
            with pytest.raises(NotAllowedError):
                refused(made.database, "vienna", _now(made), who)
    admin = Actor("eva", Role.ADMIN)
    gateways.create(made.database, "vienna", _now(made), admin)
    gateways.new_code(made.database, "vienna", _now(made), admin)
    gateways.revoke(made.database, "vienna", _now(made), admin)
    gateways.remove(made.database, "vienna", _now(made), admin)
    with made.database.reading() as connection:
        noted = {(one.who, one.did, one.what) for one in entries(connection)}
    assert noted == {("eva", f"gateway.{did}", "vienna") for did in ("create", "code", "revoke", "remove")}


def test_a_gateway_that_is_used_is_not_removed(made: Stage) -> None:
    """Nor is there a second one of its name, one without a proper name, or one called none."""
    gateways.create(made.database, "vienna", _now(made), LOCAL)
    made.connection("main", gateway="vienna")
    with pytest.raises(Conflict, match="used by the connections main"):
        gateways.remove(made.database, "vienna", _now(made), LOCAL)
    for name, kind in (
        ("vienna", Conflict),
        ("none", InvalidSettings),
        ("Big City", InvalidSettings),
        ("", InvalidSettings),
    ):
        with pytest.raises(kind):
            gateways.create(made.database, name, _now(made), LOCAL)
    for target in ("graz", "a", ""):
        with pytest.raises(NotFound):
            gateways.revoke(made.database, target, _now(made), LOCAL)


def test_a_connection_with_a_gateway_names_no_secret_of_the_console(made: Stage) -> None:
    """It is refused when it is saved, and the fix says where the secret belongs."""
    gateways.create(made.database, "vienna", _now(made), LOCAL)
    with pytest.raises(InvalidSettings, match="runs on the gateway vienna, which never gets stored:main") as caught:
        made.keep(
            {"main": ConnectionSettings(start_date="2024-01-01", access_token_from="stored:main", gateway="vienna")}
        )
    assert "env:NAME" in caught.value.fix
    made.connection("main", gateway="vienna")
    with pytest.raises(InvalidSettings, match="The task nightly"):
        made.task("nightly", "main", salt="stored:salt")


def test_the_private_key_stays(made: Stage, tmp_path: Path) -> None:
    """It is in a file of its owner alone, and nothing that is sent, shown or kept by the console has it."""
    machine = Machine(made, tmp_path)
    machine.key.write(tmp_path)
    file = tmp_path / KEY_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = read_key(tmp_path)
    assert again.public == machine.key.public
    machine.enrol(gateways.create(made.database, "vienna", _now(made), LOCAL).code)
    private = machine.key._key.as_dict(private=True)["d"]
    assert set(machine.key.public) == {"kty", "crv", "x"}
    told = "".join(str(one.body) + str(one.authorization) for one in machine.transport.sent) + repr(machine.key)
    (gateway,) = gateways.listed(made.database, 0)
    assert str(private) not in told + json.dumps([one.key for one in gateway.members])


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    """Nor one that is damaged; the sentence says what to do."""
    new_key().write(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o640)
    with pytest.raises(StateFolderError, match="can be read by other users"):
        read_key(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o600)
    (tmp_path / KEY_FILE).write_text("no key")
    with pytest.raises(StateFolderError, match="is no key"):
        read_key(tmp_path)
    (tmp_path / KEY_FILE).unlink()
    with pytest.raises(StateFolderError, match="cannot be read"):
        read_key(tmp_path)
