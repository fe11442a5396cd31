"""The main job's place and the head of its answers: what its two ways through the server share."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

from cpmqr.service.issue import Call, Reply

PAYGW_PATH: Final = "/paygw/cpmqrdatareq"

Scope = MutableMapping[str, Any]
"""What ASGI says of a request."""
Watch = Callable[[Call, Reply, float, Scope], None]
"""Told of each request and reply, and how many seconds it took."""

_CONTENT_TYPE: Final = (b"content-type", b"application/json; charset=utf-8")
_NO_STORE: Final = (b"cache-control", b"no-store")


def answer_headers(reply: Reply) -> list[tuple[bytes, bytes]]:
    """Give the headers that go with a reply's body."""
    headers = [_CONTENT_TYPE, (b"content-length", b"%d" % len(reply.body)), _NO_STORE]
    if reply.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % reply.retry_after_s))
    if reply.incident:
        headers.append((b"x-incident-id", reply.incident.encode()))
    return headers


def answer_bytes(reply: Reply, date: bytes, *, close: bool = False) -> bytes:
    """Write an answer whole, as it goes over the wire.

    Args:
        date: for the header of that name. close: the connection ends after it.
    """
    lines = [_status_line(reply.http_status), b"date: " + date]
    lines += [b"%b: %b" % header for header in answer_headers(reply)]
    if close:
        lines.append(b"connection: close")
    lines += (b"", reply.body)
    return b"\r\n".join(lines)


@lru_cache(maxsize=64)
def _status_line(status: int) -> bytes:
    return b"HTTP/1.1 %d %b" % (status, HTTPStatus(status).phrase.encode())
