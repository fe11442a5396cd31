"""uvicorn's HTTP/1.1 protocol with the limits that it lacks, and with the direct way beside it.

The limits: size of the head, time for a request, connections.

A slow or huge head would otherwise cost memory for as long as its sender likes. Timers run only for requests that do
not arrive in one piece, so a normal one pays nothing for them. An upgrade that is asked for (Java's client asks for
h2c unless it is told not to) is declined by serving the request as if it had not been (RFC 9110 7.8).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cpmqr.server.one_piece import OnePiece
from cpmqr.server.paygw import answer_bytes
from cpmqr.server.plain import HEADERS_MAX, PlainRequest, read_plain

if TYPE_CHECKING:
    from cpmqr.server.direct import Direct
    from cpmqr.service.issue import Reply

TRANSPORT_KEY: Final = "cpmqr.transport"  # in the scope: tells whether the client is still there

_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)
_TOO_SLOW: Final = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_UPGRADE_HEADERS: Final = (b"upgrade", b"http2-settings")


class BoundedProtocol(HttpToolsProtocol):
    """One connection. The limits are set on a subclass by `bounded`."""

    header_bytes_max: ClassVar[int] = 16_384
    request_timeout_s: ClassVar[float] = 10.0
    connections_max: ClassVar[int] = 10_000
    direct: ClassVar[Direct | None] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._held_back_bytes = 0  # received, but part of nothing that the parser has given out
        self._in_request = False
        self._timer: asyncio.TimerHandle | None = None
        self._begun = b""  # a plain request whose body is not whole yet
        self._is_served_directly = False
        self._held = b""  # what came while a plain request was being served
        self._ends = False  # close after the answer that is due
        self._quiet_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._whole = OnePiece(transport, self.loop)
        super().connection_made(self._whole)  # type: ignore[arg-type]
        if len(self.connections) > self.connections_max:
            transport.abort()
            return
        self._start_timer()  # a connection that never says anything is a slow request too

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_served_directly:
            self._held += data
            self.flow.pause_reading()
            return
        begun, self._begun = self._begun, b""
        data = begun + data
        request = self._plain(data)
        if request is None or self.direct is None:
            self._receive(data)
        elif request.is_whole:
            self._stop_timer()
            self._is_served_directly = True
            self.direct.take(request, self)
        elif begun:  # who dribbles goes the usual way
            self._receive(data)
        else:  # many clients send head and body by themselves
            self._begun = data
            self._wait_for_request()

    def _plain(self, data: bytes) -> PlainRequest | None:
        """Read a request that may go the direct way; None where it may not."""
        if self.direct is None or not self._is_between_requests:
            return None
        request = read_plain(data)
        if request is None or len(data) - len(request.body) > self.header_bytes_max:
            return None
        return request

    def _receive(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._held_back_bytes += len(data)
        self._feed(data)
        if self._held_back_bytes > self.header_bytes_max:
            self._end(_TOO_LARGE)
        if self._waits_for_request and not self.transport.is_closing():
            self._wait_for_request()

    @property
    def _is_between_requests(self) -> bool:
        if self._in_request or self._held_back_bytes or self.pipeline or self.flow.write_paused:
            return False
        return self.cycle is None or self.cycle.response_complete

    # The direct way; see server/direct.py. This is its `Connection`.

    def is_open(self) -> bool:
        """Tell whether the client is still there."""
        return not self._whole.is_closing()

    def answer(self, reply: Reply | None) -> None:
        """Send the answer to the request that is being served, and take the next one."""
        self._is_served_directly = False
        self.server_state.total_requests += 1
        if reply is None or self._whole.is_closing():
            return
        self._whole.write_whole(answer_bytes(reply, self._date(), close=self._ends))
        if self._ends:
            self._whole.close()
            return
        self._quiet_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._close_when_quiet_for(self.timeout_keep_alive)
        if self._held:
            held, self._held = self._held, b""
            self.flow.resume_reading()
            self.data_received(held)

    def shutdown(self) -> None:
        """End the connection, after the answer that is due."""
        self._ends = True
        if not (self._is_served_directly or self._begun):
            super().shutdown()

    def _close_when_quiet_for(self, seconds: float) -> None:
        # One timer that looks again when it is due, not one that is set and taken back for each request.
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; look again later where it has not been idle for so long."""
        self.timeout_keep_alive_task = None
        left_s = self._quiet_since + self.timeout_keep_alive - self.loop.time()
        if self._is_served_directly:
            self._close_when_quiet_for(self.timeout_keep_alive)
        elif left_s > 0:
            self._close_when_quiet_for(left_s)
        else:
            super().timeout_keep_alive_handler()

    def _date(self) -> bytes:
        headers = self.server_state.default_headers  # uvicorn sets the date anew each second
        return headers[0][1] if headers else b""

    @property
    def _waits_for_request(self) -> bool:
        return self._in_request or self.cycle is None or self.cycle.response_complete

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as asked:
                data = self._head_without_upgrade() + data[asked.args[0] :]
            except httptools.HttpParserError:
                self.send_400_response("Invalid HTTP request received.")
                return
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        """Write the head anew for a new parser: this one takes what follows for another protocol's."""
        method = self.parser.get_method()
        if method == b"CONNECT":  # asks for a tunnel, whatever its headers
            self.send_400_response("There are no tunnels here.")
            return b""
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (method, self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                value = b", ".join(token for token in tokens if token.lower() not in _UPGRADE_HEADERS)
            if name not in _UPGRADE_HEADERS:
                lines.append(b"%s: %s" % (name, value))
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():  # already answered with a status of ours
            super().send_400_response(msg)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_request = True
        self._head_bytes = 0
        self._stop_timer()  # that of the wait before it: a request's time begins with its first byte
        self.scope[TRANSPORT_KEY] = self.transport  # type: ignore[typeddict-unknown-key]

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_headers_complete()
            if self._ends:  # begun the direct way, told to end, and then too unusual for it
                self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._held_back_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._held_back_bytes = 0
        if self.parser.should_upgrade():
            return
        self._in_request = False
        self._stop_timer()
        super().on_message_complete()

    def _count(self, count: int) -> None:
        self._held_back_bytes -= count
        self._head_bytes += count
        if self._head_bytes > self.header_bytes_max or len(self.headers) > HEADERS_MAX:
            self._end(_TOO_LARGE)
            raise ValueError("head too large")  # the parser turns it into an error, and stops reading

    def _wait_for_request(self) -> None:
        self._unset_keepalive_if_required()
        if self._timer is None:
            self._start_timer()

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self.request_timeout_s, self._end, _TOO_SLOW)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()


def bounded(
    *, header_bytes_max: int, request_timeout_s: float, connections_max: int, direct: Direct | None = None
) -> type[BoundedProtocol]:
    """Make a protocol class with these limits; uvicorn takes a class.

    `direct` serves plain requests; without it all go the usual way.
    """
    limits = {
        "direct": direct,
        "header_bytes_max": header_bytes_max,
        "request_timeout_s": request_timeout_s,
        "connections_max": connections_max,
    }
    return type("BoundedProtocol", (BoundedProtocol,), limits)
