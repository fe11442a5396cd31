"""A load client that is cheap enough not to be what is measured: raw HTTP/1.1 over asyncio protocols."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import uvloop

from benchmarks.machine import instrument


@dataclass
class Run:
    """What a run saw. Latencies in seconds, sorted."""

    seconds: float
    latencies: list[float] = field(repr=False)
    statuses: dict[int, int]

    @property
    def per_second(self) -> float:
        """Answered requests a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Give a latency in milliseconds."""
        if not self.latencies:
            return 0.0
        return 1000 * self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


def read_answer(data: bytes) -> tuple[int, bytes] | None:
    """Read status and body of an answer; None while it is not whole."""
    end = data.find(b"\r\n\r\n")
    at = data.find(b"content-length: ", 0, end)
    if at < 0:
        at = data.lower().find(b"content-length: ", 0, end)
    body = end + 4
    if end < 0 or len(data) - body < int(data[at + 16 : data.index(b"\r", at)]):
        return None
    return int(data[9:12]), data[body:]


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as the answer to the last one is whole."""

    def __init__(self, feed: _Feed) -> None:
        self._feed = feed
        self._buffer = b""
        self._sent_at = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is none of asyncio's
        self._next()

    def _next(self) -> None:
        request = self._feed.next()
        if request is None:
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        answer = read_answer(data)
        if answer is None:
            self._buffer = data
            return
        self._buffer = b""
        self._feed.answered(answer[0], time.perf_counter() - self._sent_at, answer[1])
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


class _Feed:
    """Hands out requests until they or the time run out, and notes the answers."""

    def __init__(self, requests: Sequence[bytes], stop_after_s: float, *, again: bool) -> None:
        self._requests = requests
        self._next = 0
        self._again = again
        self._until = time.perf_counter() + stop_after_s
        self.latencies: list[float] = []
        self.statuses: dict[int, int] = {}
        self.last_body = b""

    def next(self) -> bytes | None:
        if time.perf_counter() >= self._until:
            return None
        if self._next >= len(self._requests):
            if not self._again:
                return None
            self._next = 0
        self._next += 1
        return self._requests[self._next - 1]

    def answered(self, status: int, latency: float, body: bytes) -> None:
        self.latencies.append(latency)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.last_body = body


async def _drive(port: int, feed: _Feed, connections: int) -> float:
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    opened = [
        await loop.create_connection(lambda: _Connection(feed), "127.0.0.1", port) for _ in range(connections)
    ]
    await asyncio.gather(*(connection.done for _, connection in opened))
    return time.perf_counter() - started


def drive(
    port: int, requests: Sequence[bytes], *, connections: int = 64, seconds: float = 10.0, again: bool = False
) -> Run:
    """Send requests over keep-alive connections, one at a time on each; closed loop.

    Args:
        seconds: no request is sent after so long. again: start anew when the requests run out (they repeat then).
    """
    feed = _Feed(requests, seconds, again=again)
    with instrument():
        took = uvloop.run(_drive(port, feed, connections))
    return Run(took, sorted(feed.latencies), feed.statuses)


def http_request(body: bytes, authorization: str, path: str = "/paygw/cpmqrdatareq") -> bytes:
    """Build the bytes of one POST as a wallet sends it."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {authorization}\r\n"
        f"Content-Type: application/json; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
