"""Pages of channels: where notifications go, and of what they tell."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post
from litestar.params import FromQuery

from cio_replicate.base.errors import CioReplicateError, SettingsError
from cio_replicate.base.text import Secret
from cio_replicate.config.documents import EVENTS, ChannelSettings
from cio_replicate.config.stored import PREFIX
from cio_replicate.console.notifier import scrubbed, send_by_apprise
from cio_replicate.console.web.authorization import ADMIN, AnyRequest, actor_of
from cio_replicate.console.web.finding import there
from cio_replicate.console.web.form import Sent
from cio_replicate.console.web.http_errors import status_of
from cio_replicate.console.web.naming import Name
from cio_replicate.console.web.rendering import go, page, said
from cio_replicate.console.web.services import WebServices, With

TOLD_OF = {
    "failure": "failure: a run has failed",
    "recovery": "recovery: a run is complete again after one that failed",
    "short": "short: a table of the copy lacks rows",
    "schema": "schema: Customer.io sends a field that was not known",
}


@get("/channels", **ADMIN)
def channels(request: AnyRequest, services: With, edit: FromQuery[str] = "") -> Response[Any]:
    """All channels, and the form to make or edit one."""
    if not edit:
        return _listed(request, services)
    kept = there(services.channels.named, edit).settings
    url = "" if kept.url.startswith(PREFIX) else kept.url
    return _listed(request, services, editing=edit, written={"name": edit, "url": url, "events": set(kept.events)})


@post("/channels", **ADMIN)
def keep_channel(request: AnyRequest, services: With, form: Sent) -> Response[Any]:
    """Make a channel, or edit one."""
    editing, name = form.text("editing"), form.text("editing") or form.text("name")
    secret = Secret(form.text("secret_url")) if form.text("secret_url") else None
    try:
        url = form.text("url") or (there(services.channels.named, editing).settings.url if editing else "")
        if secret is None and not url:
            raise SettingsError("The channel has no address.", "Write it, or where it is kept.")
        kept = ChannelSettings(url=url or f"{PREFIX}{name}", events=form.texts("events"))
        actor = actor_of(request)
        if editing:
            services.channels.edit(name, kept, actor, secret)
        else:
            services.channels.create(name, kept, actor, secret)
    except CioReplicateError as error:
        written = {"name": name, "url": form.text("url"), "events": set(form.texts("events"))}
        return _listed(request, services, status=status_of(error), error=said(error), editing=editing, written=written)
    return go("/channels", "saved")


@post("/channels/{name:str}/test", **ADMIN)
def test_channel(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """Send a notification that says only that this works."""
    try:
        address = services.channels.address(name)
        failed = send_by_apprise(address, "cio-replicate: a test", f"The channel {name} works.")
        if failed is not None:
            cause = f"The test was not taken: {scrubbed(failed, address)}."
            raise SettingsError(cause, "Check the address, and that this machine may reach it.")
    except CioReplicateError as error:
        return _listed(request, services, status=status_of(error), error=said(error))
    return go("/channels", "sent")


@post("/channels/{name:str}/delete", **ADMIN)
def delete_channel(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """Delete a channel that no task names."""
    try:
        services.channels.delete(name, actor_of(request))
    except CioReplicateError as error:
        return _listed(request, services, status=status_of(error), error=said(error))
    return go("/channels", "deleted")


def _listed(
    request: AnyRequest,
    services: WebServices,
    *,
    status: int = 200,
    error: dict[str, str] | None = None,
    editing: str = "",
    written: dict[str, Any] | None = None,
) -> Response[Any]:
    used: dict[str, list[str]] = {}
    for task in services.tasks.all():
        for channel in task.settings.notify:
            used.setdefault(channel, []).append(task.name)
    return page(
        request,
        "channels.html",
        status,
        channels=services.channels.all(),
        used=used,
        events=list(TOLD_OF.items()),
        editing=editing,
        written=written or {"name": "", "url": "", "events": set(EVENTS)},
        error=error,
    )


HANDLERS = (channels, keep_channel, test_channel, delete_channel)
