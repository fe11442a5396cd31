"""A wallet's server that is told of used QRs, and behaves as a test wishes."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Headers = dict[str, str]
Behaviour = Callable[["Handler"], None]


class Handler(http.server.BaseHTTPRequestHandler):
    """Notes each delivery, then does what comes next; the last behaviour stays."""

    protocol_version = "HTTP/1.1"
    receiver: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        number = len(self.receiver.deliveries)
        self.receiver.deliveries.append(({name.lower(): value for name, value in self.headers.items()}, body))
        behaviours = self.receiver.behaviours
        behaviours[min(number, len(behaviours) - 1)](self)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def answer(status: int, *headers: tuple[str, str]) -> Behaviour:
    """Answer with a status."""

    def behave(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("content-length", "0")
        handler.end_headers()

    return behave


def hang(seconds: float) -> Behaviour:
    """Say nothing for a while, then close."""

    def behave(handler: Handler) -> None:
        time.sleep(seconds)
        handler.close_connection = True

    return behave


def drop(handler: Handler) -> None:
    """Close without an answer."""
    handler.close_connection = True


def pour(handler: Handler) -> None:
    """Answer 200 with a body that does not end."""
    handler.send_response(200)
    handler.send_header("content-length", str(1 << 40))
    handler.end_headers()
    try:
        for _ in range(10_000):
            handler.wfile.write(b"x" * 65_536)
    except OSError:
        handler.close_connection = True


class Receiver:
    """What came, and where."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self.behaviours = behaviours
        self.deliveries: list[tuple[Headers, bytes]] = []
        handler = type("Bound", (Handler,), {"receiver": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/told?by=cpmqr"

    def wait(self, count: int, seconds: float = 15.0) -> list[tuple[Headers, bytes]]:
        """Wait until so many deliveries came."""
        deadline = time.monotonic() + seconds
        while len(self.deliveries) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(self.deliveries) >= count, f"{len(self.deliveries)} deliveries of {count}"
        return self.deliveries


@contextmanager
def receiving(*behaviours: Behaviour) -> Iterator[Receiver]:
    """Run a receiver until the block ends."""
    receiver = Receiver(*behaviours)
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        receiver.server.server_close()
        thread.join()
