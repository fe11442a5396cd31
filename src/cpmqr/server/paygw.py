"""The main job's place and the headers of its answers: what the application and the door before it share."""

from __future__ import annotations

from typing import Final

from cpmqr.service.issue import Reply

PAYGW_PATH: Final = "/paygw/cpmqrdatareq"

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
