"""`gateway create|code|list|revoke|remove`: data gateways as the console's own machine sees them."""

from __future__ import annotations

import msgspec

from cio_replicate.base.runtime import SystemClock
from cio_replicate.base.text import counted
from cio_replicate.cli.asking import require_meant
from cio_replicate.cli.failure import COMPLETE
from cio_replicate.cli.listing import as_json, grid_of
from cio_replicate.cli.stored import Shown, acting
from cio_replicate.cli.terminal import product, say, say_as_is
from cio_replicate.console import gateways
from cio_replicate.console.gateways import EnrolmentCode, Gateway
from cio_replicate.console.installation import opened
from cio_replicate.pipeline.report import iso


def create(name: str, shown: Shown) -> int:
    """Make a gateway and show the code for its first machine; the exit code. Raises Refused."""
    with opened(shown.store) as store:
        code = gateways.create(store.database, name, _now(), acting())
    _show(code, shown, "created")
    return COMPLETE


def new_code(name: str, shown: Shown) -> int:
    """Show a code for one more machine; the exit code. Raises Refused."""
    with opened(shown.store) as store:
        code = gateways.new_code(store.database, name, _now(), acting())
    _show(code, shown, "waiting")
    return COMPLETE


def list_all(shown: Shown) -> int:
    """Show all gateways with their machines."""
    now = _now()
    with opened(shown.store) as store:
        found = gateways.listed(store.database, now)
    if shown.json:
        as_json({"gateways": [_document(one) for one in found]})
        return COMPLETE
    console = product()
    if not found:
        say(console, "There is no gateway yet: `cio-replicate gateway create NAME` makes one.")
        return COMPLETE
    rows = []
    for one in found:
        about = f"{counted(len(one.connections), 'connection')}, {one.running} running, {one.waiting} waiting"
        rows.append((one.name, about, "", "", ""))
        for member in one.members:
            state = "shut out" if member.revoked_at is not None else f"seen {_ago(member.seen_at, now)}"
            rows.append(("", member.machine, member.id[:12], member.version, state))
    console.print(grid_of(("gateway", "machine", "id", "version", "state"), rows))
    return COMPLETE


def revoke(target: str, shown: Shown, *, yes: bool) -> int:
    """Shut out a machine, or all machines of a gateway; the exit code. Raises Refused."""
    with opened(shown.store) as store:
        if not yes:
            require_meant(f"Shut out {target} at once?", "Nobody was shut out.")
        out = gateways.revoke(store.database, target, _now(), acting())
    if shown.json:
        as_json({"status": "revoked", "members": [one.id for one in out]})
    else:
        say(product(), f"Shut out {counted(len(out), 'machine')}; it takes effect with their next request.")
    return COMPLETE


def remove(name: str, shown: Shown, *, yes: bool) -> int:
    """Forget a gateway that no connection names; the exit code. Raises Refused."""
    with opened(shown.store) as store:
        if not yes:
            require_meant(f"Remove the gateway {name} with its machines?", "Nothing was removed.")
        gateways.remove(store.database, name, _now(), acting())
    if shown.json:
        as_json({"status": "removed", "gateway": name})
    else:
        say(product(), f"Removed the gateway {name}.")
    return COMPLETE


def _show(code: EnrolmentCode, shown: Shown, status: str) -> None:
    if shown.json:
        as_json({"status": status, "gateway": code.gateway, "code": code.code, "expires": iso(code.expires_at)})
        return
    console = product()
    say(console, f"A machine can serve as the gateway {code.gateway}, once and within the hour, with this code:")
    say_as_is(console, f"  {code.code}")
    say(console, "On that machine, with the address of this console:")
    say_as_is(console, f"  cio-replicate gateway start --console https://… --code {code.code}")


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


def _now() -> int:
    return int(SystemClock().now())
