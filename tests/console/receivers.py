"""Real servers that notifications are sent to: one of SMTP, with a password, besides the bare one of HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.sinks.servers import free_port

USER, PASSWORD = "postman", "marked-mail-password"


@dataclass
class Letters:
    """What a mail server has taken. It refuses all while `full`."""

    port: int
    taken: list[EmailMessage] = field(default_factory=list)
    full: bool = False

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - the server's name for it
        """Take a letter."""
        if not session.authenticated:
            return "530 Who are you?"
        if self.full:
            return "452 The mailbox is full"
        letter = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(letter, EmailMessage)
        self.taken.append(letter)
        return "250 OK"


def _authenticated(_server: Any, _session: Any, _envelope: Any, _mechanism: str, login: Any) -> Any:
    known = isinstance(login, LoginPassword) and (login.login, login.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=known)


@contextmanager
def mail_server() -> Iterator[Letters]:
    """A mail server on loopback that lets in who knows the password."""
    letters = Letters(free_port())
    controller = Controller(
        letters,
        hostname="127.0.0.1",
        port=letters.port,
        authenticator=_authenticated,
        auth_require_tls=False,
    )
    controller.start()
    try:
        yield letters
    finally:
        controller.stop()
