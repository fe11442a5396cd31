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

_Header = tuple[bytes, bytes]
_CONTENT_TYPE: Final = (b"content-type", b"application/json; charset=utf-8")
_NO_STORE: Final = (b"cache-control", b"no-store")


def answer_headers(reply: Reply) -> list[_Header]:
    """Give the headers that go with a reply's body."""
    return _headers(len(reply.body), reply.retry_after_s, reply.incident)


def answer_bytes(reply: Reply, date: bytes, *, close: bool = False) -> bytes:
    """Write an answer whole, as it goes over the wire.

    Args:
        date: for the header of that name. close: the connection ends after it.
    """
    to_date, from_date = _head(
        reply.http_status, len(reply.body), reply.retry_after_s, reply.incident, close=close
    )
    return b"".join((to_date, date, from_date, reply.body))


@lru_cache(maxsize=256)  # QRs of one profile are of one length
def _head(
    status: int, length: int, retry_after_s: int | None, incident: str, *, close: bool
) -> tuple[bytes, bytes]:
    """Give an answer's head, cut where the date goes in."""
    headers = _headers(length, retry_after_s, incident)
    if close:
        headers.append((b"connection", b"close"))
    lines = [b"%b: %b" % header for header in headers]
    status_line = b"HTTP/1.1 %d %b" % (status, HTTPStatus(status).phrase.encode())
    return status_line + b"\r\ndate: ", b"\r\n".join([b"", *lines, b"", b""])


def _headers(length: int, retry_after_s: int | None, incident: str) -> list[_Header]:
    headers = [_CONTENT_TYPE, (b"content-length", b"%d" % length), _NO_STORE]
    if retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % retry_after_s))
    if incident:
        headers.append((b"x-incident-id", incident.encode()))
    return headers
