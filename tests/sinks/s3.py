"""A server that speaks the S3 protocol on loopback, for tests, and one that refuses every key."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pyarrow import fs

KEY, SECRET_KEY, BUCKET = "AKIDTESTKEY", "a-secret-access-key", "lake"


@contextmanager
def serving() -> Iterator[str]:
    """The address of a server with an empty bucket, while it runs. Objects are in its memory; it checks no keys."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - half a second

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        filesystem(f"http://{host}:{port}").create_dir(BUCKET)
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def filesystem(endpoint: str) -> fs.S3FileSystem:
    """What a program of the user's own sees of the server."""
    return fs.S3FileSystem(
        access_key=KEY,
        secret_key=SECRET_KEY,
        region="us-east-1",
        scheme="http",
        endpoint_override=endpoint.removeprefix("http://"),
        allow_bucket_creation=True,
    )


@contextmanager
def refusing() -> Iterator[str]:
    """The address of a server that knows no access key."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Refusing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Refuse."""
        body = f"<Error><Code>InvalidAccessKeyId</Code><AWSAccessKeyId>{KEY}</AWSAccessKeyId></Error>".encode()
        self.send_response(403)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_PUT = do_POST = do_GET  # noqa: N815 - the library's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""
