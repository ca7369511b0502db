"""The link over a real network: TLS with a private authority, no detours, and sentences when nobody answers."""

from __future__ import annotations

import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cio_replicate.base.errors import Conflict, InvalidSettings, Unavailable
from cio_replicate.base.runtime import SystemClock
from cio_replicate.config.connection_options import console_url
from cio_replicate.gateway.gateway_client import GatewayClient
from cio_replicate.gateway.identity import Enrolment, GatewayFolder, new_key, require_same_console
from cio_replicate.jobs import gateway_protocol as wire
from tests.gateway.certificates import Authority


class Answering(BaseHTTPRequestHandler):
    """Answers what the server was told to, and notes who called."""

    def do_POST(self) -> None:
        """Answer."""
        server = self.server
        assert isinstance(server, Server)
        self.rfile.read(int(self.headers["content-length"]))
        server.called.append(self.path)
        status, headers, body = server.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_CONNECT(self) -> None:
        """Lead nowhere, as a proxy may."""
        server = self.server
        assert isinstance(server, Server)
        server.called.append(self.path)
        self.send_error(502)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(HTTPServer):
    """A server with one answer."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.answer: tuple[int, dict[str, str], bytes] = (200, {"content-type": "application/json"}, b"{}")
        self.called: list[str] = []
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def handle_error(self, *_: object) -> None:
        """A handshake that a client breaks off is no error here."""


@pytest.fixture
def server() -> Iterator[Server]:
    """Without TLS."""
    made = Server()
    yield made
    made.shutdown()
    made.server_close()


def _ask(url: str, ca_file: Path | None = None) -> wire.Acknowledged:
    with GatewayClient(url, new_key(), "m", SystemClock(), ca_file=ca_file) as link:
        return link.ask(wire.STANDING, wire.StatusRequest(), wire.Acknowledged)


def test_a_private_authority_vouches_for_the_console(tmp_path: Path) -> None:
    """With its file the console is believed; without it, or by another authority, it is not."""
    authority = Authority(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    for name, file, believed in (
        ("localhost", authority.file, True),
        ("localhost", None, False),
        ("localhost", Authority(other).file, False),
        ("elsewhere.example", authority.file, False),
    ):
        server = Server(authority.server(name))
        url = f"https://localhost:{server.server_address[1]}"
        try:
            if believed:
                assert _ask(url, file) == wire.Acknowledged()
                continue
            with pytest.raises(Unavailable, match="is not believed") as caught:
                _ask(url, file)
            assert ("--ca-file" in caught.value.fix, server.called) == (True, [])
        finally:
            server.shutdown()
            server.server_close()


def test_what_is_no_authority_is_refused(tmp_path: Path) -> None:
    """A file that is not there, or holds something else, is a wrong setting."""
    (tmp_path / "no.pem").write_text("no certificate")
    for file in (tmp_path / "no.pem", tmp_path / "nothing.pem"):
        with pytest.raises(InvalidSettings, match="holds no certificates that can be used"):
            _ask("https://localhost:1", file)


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (302, {"location": "http://127.0.0.1:1/stolen"}, b""),
        (200, {"content-type": "text/html"}, b"<html>Log in to the network</html>"),
        (200, {"content-type": "application/json"}, b"[" * 3_000_000),
        (404, {"content-type": "text/plain"}, b"Not found"),
        (502, {"content-type": "text/html"}, b"Bad gateway"),
        (401, {"content-type": "application/json"}, b'{"error": "proxy"}'),
        (403, {"content-type": "application/json"}, b"\xff"),
        (503, {"content-type": "application/json"}, b'{"code":"away","message":"m","fix":"f","now":1}'),
    ],
)
def test_what_is_not_the_console_is_waited_out(
    server: Server, status: int, headers: dict[str, str], body: bytes
) -> None:
    """A proxy's page, a redirect, a portal: none of it is taken for an answer, or followed."""
    server.answer = (status, headers, body)
    with pytest.raises(Unavailable) as caught:
        _ask(f"http://127.0.0.1:{server.server_address[1]}")
    assert caught.value.fix
    assert server.called == [wire.ROOT + wire.STANDING]


def test_nobody_there_is_a_sentence() -> None:
    """What the system said of it is quoted."""
    with pytest.raises(Unavailable, match=r"Nobody answers at http://127.0.0.1:1 \(ConnectError: “.*refused”\)\."):
        _ask("http://127.0.0.1:1")


def test_a_company_s_proxy_is_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which the environment names; not for a console on this machine, which no proxy may see."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.server_address[1]}")
    with pytest.raises(Unavailable, match="ProxyError"):
        _ask("https://console.example:8443")
    with pytest.raises(Unavailable, match="refused"):
        _ask("http://127.0.0.1:1")
    assert server.called == ["console.example:8443"]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://console.example.com", "https://console.example.com"),
        (" https://console.example.com:8443/ ", "https://console.example.com:8443"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://localhost:8000", "http://localhost:8000"),
    ],
)
def test_a_console_is_reached_by_https(text: str, url: str) -> None:
    """Or without protection on this machine."""
    assert console_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "http://console.example.com",
        "http://10.0.0.1",
        "https://user:secret@console.example.com",
        "https://console.example.com?key=secret",
        "console.example.com",
        "ftp://console.example.com",
        "https://",
        "https://[",
        "",
    ],
)
def test_any_other_address_is_refused(text: str) -> None:
    """In a sentence that repeats nothing that could be a secret."""
    with pytest.raises(InvalidSettings) as caught:
        console_url(text)
    assert "secret" not in str(caught.value)


def test_a_machine_is_enrolled_at_one_console(tmp_path: Path) -> None:
    """What it is enrolled as is remembered; another address is not taken silently, nor is a damaged file."""
    identity = Enrolment(console="https://a.example", gateway="vienna", member="m" * 32)
    with GatewayFolder(tmp_path) as folder:
        assert folder.identity() is None
        folder.remember(identity)
        assert folder.identity() == identity
    require_same_console(identity, None)
    with pytest.raises(Conflict, match="is enrolled at https://a"):
        require_same_console(identity, "https://b.example")
    (tmp_path / "gateway.json").write_text("{")
    with pytest.raises(InvalidSettings, match="cannot be read"):
        folder.identity()


def test_a_folder_belongs_to_one_gateway_process(tmp_path: Path) -> None:
    """A second one is told so, and whoever looks sees that it is held."""
    program = (
        "import sys; from pathlib import Path; from cio_replicate.gateway.identity import GatewayFolder\n"
        "with GatewayFolder(Path(sys.argv[1])): pass"
    )
    with GatewayFolder(tmp_path) as folder:
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "A gateway is running already" in done.stderr
    assert not folder.is_held
