"""`gateway create|code|list|revoke|remove`: data gateways, where the console runs."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec

from cio_replicate.base.text import counted
from cio_replicate.cli.editing import acting
from cio_replicate.cli.failure import COMPLETE
from cio_replicate.cli.options import StoreOutputOptions, argument, command, option
from cio_replicate.cli.terminal import answer, as_json, grid_of, product, require_meant, say, say_as_is
from cio_replicate.console import gateways
from cio_replicate.console.gateways import EnrolmentCode, Gateway
from cio_replicate.console.installation import opened
from cio_replicate.pipeline.report import iso

Name = Annotated[str, argument("NAME", "The gateway's name, as connections give it.")]
Yes = Annotated[bool, option("--yes", None, "Do not ask.")]


@command("gateway create", "cio-replicate gateway create vienna")
def create_gateway(name: Name, *, shown: StoreOutputOptions) -> int:
    """Make a gateway, and a code with which one machine can serve under its name, once and within the hour."""
    with opened(shown.store) as store:
        code = gateways.create(store.database, name, int(time.time()), acting())
    return _show(code, shown, "created")


@command("gateway code", "cio-replicate gateway code vienna")
def create_code(name: Name, *, shown: StoreOutputOptions) -> int:
    """Make a code for one more machine: several of one name share the work, and one takes over when another dies."""
    with opened(shown.store) as store:
        code = gateways.new_code(store.database, name, int(time.time()), acting())
    return _show(code, shown, "waiting")


@command("gateway list", "cio-replicate gateway list")
def list_gateways(*, shown: StoreOutputOptions) -> int:
    """List all gateways with their machines: version, when each was seen, what it is for."""
    now = int(time.time())
    with opened(shown.store) as store:
        found = gateways.listed(store.database, now)
    rows = []
    for one in found:
        about = f"{counted(len(one.connections), 'connection')}, {one.running} running, {one.waiting} waiting"
        rows.append((one.name, about, "", "", ""))
        for member in one.members:
            state = "shut out" if member.revoked_at is not None else f"seen {_ago(member.seen_at, now)}"
            rows.append(("", member.machine, member.id[:12], member.version, state))
    document = {"gateways": [_document(one) for one in found]}
    nothing = "There is no gateway yet: `cio-replicate gateway create NAME` makes one."
    return answer(shown, document, grid_of(("gateway", "machine", "id", "version", "state"), rows) if rows else nothing)


@command("gateway revoke", "cio-replicate gateway revoke vienna", "cio-replicate gateway revoke 4f1c0a9be2d7")
def revoke(
    target: Annotated[str, argument("NAME|ID", "A gateway with all its machines and codes, or one machine's id.")],
    *,
    yes: Yes = False,
    shown: StoreOutputOptions,
) -> int:
    """Shut out machines: from their next request on, nothing that they say is taken, and their runs stop."""
    with opened(shown.store) as store:
        require_meant(f"Shut out {target} at once?", "Nobody was shut out.", yes=yes)
        out = gateways.revoke(store.database, target, int(time.time()), acting())
    said = f"Shut out {counted(len(out), 'machine')}; it takes effect with their next request."
    return answer(shown, {"status": "revoked", "members": [one.id for one in out]}, said)


@command("gateway remove", "cio-replicate gateway remove vienna")
def remove_gateway(name: Name, *, yes: Yes = False, shown: StoreOutputOptions) -> int:
    """Forget a gateway that no connection names any more."""
    with opened(shown.store) as store:
        require_meant(f"Remove the gateway {name} with its machines?", "Nothing was removed.", yes=yes)
        gateways.remove(store.database, name, int(time.time()), acting())
    return answer(shown, {"status": "removed", "gateway": name}, f"Removed the gateway {name}.")


def _show(code: EnrolmentCode, shown: StoreOutputOptions, status: str) -> int:
    console = product()
    if shown.json:
        as_json({"status": status, "gateway": code.gateway, "code": code.code, "expires": iso(code.expires_at)})
    else:
        say(console, f"A machine can serve as the gateway {code.gateway}, once and within the hour, with this code:")
        say_as_is(console, f"  {code.code}")
        say(console, "On that machine, with the address of this console:")
        say_as_is(console, f"  cio-replicate gateway start --console https://… --code {code.code}")
    return COMPLETE


def _document(one: Gateway) -> object:
    return msgspec.to_builtins(one) | {"members": [_member(member) for member in one.members]}


def _member(member: gateways.GatewayMember) -> dict[str, object]:
    return {
        "id": member.id,
        "machine": member.machine,
        "version": member.version,
        "enrolled": iso(member.enrolled_at),
        "seen": iso(member.seen_at) if member.seen_at is not None else None,
        "revoked": iso(member.revoked_at) if member.revoked_at is not None else None,
    }


def _ago(moment: int | None, now: int) -> str:
    if moment is None:
        return "never"
    seconds = max(0, now - moment)
    if seconds < 120:
        return f"{seconds} s ago"
    return f"{seconds // 60} min ago" if seconds < 7_200 else iso(moment)
