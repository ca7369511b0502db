"""What went wrong with files, whichever library says so: in words of our own, since theirs may quote anything."""

from __future__ import annotations

import errno
import re

import pyarrow as pa

from cio_replicate.base.errors import CioReplicateError, DestinationUnavailableError, LoadError

_KEY = "Check the access key: options access_key_id and secret_access_key, or your AWS environment or profile."
#: What to look for in the text of an error of any of the libraries, and what it means.
_CAUSES = (
    (r"NO_SUCH_BUCKET|NoSuchBucket", "There is no such bucket: {}.", "Make it, or name another in --to."),
    (
        (
            "INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH|INVALID_CLIENT_TOKEN|EXPIRED_TOKEN|InvalidAccessKeyId|"
            "SignatureDoesNotMatch|ExpiredToken|InvalidToken"
        ),
        "The server of {} does not accept the access key.",
        _KEY,
    ),
    (
        r"ACCESS_DENIED|AccessDenied|HTTP response code 40[13]|status code: 40[13]|403 Forbidden|No response body",
        "The server of {} refuses access.",
        _KEY,
    ),
    (
        r"NETWORK_CONNECTION|curlCode|error sending request|[Cc]onnection refused|dns error|timed out",
        "The server of {} does not answer.",
        "Check the option endpoint and the network.",
    ),
    (r"HTTP response code 301|PermanentRedirect", "The bucket of {} is in another region.", "Set the option region."),
)


def trouble(error: BaseException, shown: str) -> CioReplicateError:
    """The error of ours for an error of a library about a place."""
    text = str(error)
    for pattern, message, fix in _CAUSES:
        if re.search(pattern, text):
            return DestinationUnavailableError(message.format(shown), fix)
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return LoadError(f"There is no space left for {shown}.", "Make room and run again.")
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DestinationUnavailableError(f"{shown} cannot be written to.", "Change its permissions.")
    if isinstance(error, FileNotFoundError):
        return LoadError(f"A file in {shown} is gone.", "Leave them alone while a sync runs, and run again.")
    if isinstance(error, pa.ArrowInvalid):
        return LoadError(f"A file in {shown} cannot be read: it is damaged, or not ours.", "Remove the table's folder.")
    return LoadError(f"Files in {shown} could not be read or written ({type(error).__name__}).", "Run again.")
