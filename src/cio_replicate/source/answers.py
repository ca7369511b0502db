"""What an answer that is not a 200 means, and what the reader can do about it."""

from __future__ import annotations

import msgspec

from cio_replicate.base.errors import (
    ChildGoneError,
    CioReplicateError,
    CursorRejectedError,
    ForbiddenError,
    NotFoundError,
    QuotaExhaustedError,
    RequestRejectedError,
    TransientError,
    UnauthorizedError,
)
from cio_replicate.base.quoting import quoted
from cio_replicate.source.request import Request
from cio_replicate.source.retry import names_daily_quota

PLACES = frozenset({"limit", "offset", "start"})  # parameters that every list knows


def error_of(request: Request, host: str, status: int, detail: str, wait: float | None) -> CioReplicateError:
    """The error that an answer with this status stands for. `detail` is the API's own text, already scrubbed."""
    said = f": {quoted(detail)}" if detail else ""
    if status == 401:
        return unauthorized(host)
    if status == 403:
        return ForbiddenError(
            f"The access token may not read {request.label} (403{said}).",
            "Give the App API key this scope, allow this machine's address, or leave the table out with --exclude.",
        )
    if status == 429 and wait is None and names_daily_quota(detail):
        return daily_quota(request, detail)
    if 200 < status < 300:
        return TransientError(f"{status}, an answer without the list that was asked for", status=status)
    if status in (408, 425, 429) or status >= 500:
        return TransientError(f"{status}{said}", retry_after=wait, status=status)
    if request.resumes and status in (400, 404, 410):
        return CursorRejectedError(f"{request.label} no longer accepts the page token ({status}{said}).")
    if (status == 400 and request.extra) or status in (404, 410):
        return _absent(request, status, said)
    if 300 <= status < 400:
        return RequestRejectedError(
            f"{request.label} was redirected ({status}), which this API never does.",
            "Check --region and --api-url, and whether a proxy stands in between.",
        )
    return RequestRejectedError(
        f"The API rejected {request.label} ({status}{said}).",
        "If the release notes of cio-replicate do not mention it, please report it with this line.",
    )


def _absent(request: Request, status: int, said: str) -> CioReplicateError:
    """What a table, one of its parts, or a parameter that the API does not know comes to."""
    if status == 400:
        told = "&".join(f"{name}={value}" for name, value in request.query.items() if name not in PLACES)
        what = f"does not take {told}" if told else "is not known"
        return ChildGoneError(f"{request.label} {what} ({status}{said}); this part was skipped.")
    if request.part:
        return ChildGoneError(f"{request.label} does not exist ({status}{said}); this part was skipped.")
    return NotFoundError(
        f"{request.label} does not exist for this workspace ({status}{said}).",
        "The feature is off or the address is wrong: leave the table out with --exclude, or check --api-url.",
    )


def unauthorized(host: str) -> UnauthorizedError:
    """401: by live observation four causes look alike, so the message names them all."""
    return UnauthorizedError(
        f"{host} does not accept the access token (401).",
        "It must be an App API key (not a Track API key) of this region (else --region us or eu), not expired, and "
        "allowed for this machine's address.",
    )


def daily_quota(request: Request, detail: str = "") -> QuotaExhaustedError:
    """429 that names no time to wait: a daily quota is used up (specification of 2026)."""
    said = f": {quoted(detail)}" if detail else ""
    return QuotaExhaustedError(
        f"{request.label} answers 429 without a time to wait{said}: a daily quota is used up.",
        "Run again tomorrow; what is landed is kept.",
    )


def detail_of(body: bytes) -> str:
    """The API's own words in an error body: any of its known shapes, or nothing."""
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    if not isinstance(told, dict):
        return ""
    errors = told.get("errors")
    texts = [
        str(error.get("detail", ""))
        for error in (errors if isinstance(errors, list) else [])
        if isinstance(error, dict)
    ]
    meta = told.get("meta")
    if isinstance(meta, dict):
        many = meta.get("errors")
        texts.extend(str(one) for one in ([meta.get("error")] + (many if isinstance(many, list) else [])) if one)
    return "; ".join(text for text in texts if text)
