"""Turn requests away before they are taken apart, while the gateway has more of them than it can answer soon.

An overload consists of refusals. Through the HTTP server and up to the main job each costs a quarter of an answer, so
that at four times the capacity nothing would be left to answer with. Here a request is only looked at: one that is
whole, in one piece and beyond doubt as to where it ends gets the answer that was made at the start. Any other goes the
usual way, and is refused there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from cpmqr.server.paygw import PAYGW_PATH, answer_headers
from cpmqr.service.admission import Admission
from cpmqr.service.issue import Reply

_HEADERS_MAX: Final = 100
# Request line and well-formed header lines: no folding, no bare line feed, no blank before a colon.
_HEAD: Final = re.compile(
    rb"POST %s HTTP/1\.1\r\n(?:[-!#$%%&'*+.^_`|~0-9A-Za-z]+:[^\r\n\0]*\r\n){1,%d}\r\n"
    % (re.escape(PAYGW_PATH.encode()), _HEADERS_MAX)
)
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([^\r]*?)[ \t]*(?=\r\n)", re.IGNORECASE)
_DIGITS_MAX: Final = 5
# What changes where a request ends, or what happens after it.
_UNUSUAL: Final = re.compile(
    rb"\r\n(?:transfer-encoding|expect|upgrade|connection:(?![ \t]*keep-alive[ \t]*\r\n))", re.IGNORECASE
)
_REASONS: Final = {200: b"OK", 503: b"Service Unavailable"}


class Door:
    """Shut while there is too much to do.

    Args:
        reply: what a request is answered that is turned away. note: told of each.
    """

    def __init__(self, admission: Admission, reply: Reply, note: Callable[[], None]) -> None:
        self._admission = admission
        self._note = note
        lines = [b"HTTP/1.1 %d %s" % (reply.http_status, _REASONS[reply.http_status])]
        lines += [b"%s: %s" % header for header in answer_headers(reply)]
        self._head = b"\r\n".join(lines) + b"\r\ndate: "
        self._body = b"\r\n\r\n" + reply.body

    def answer_to(self, data: bytes, date: bytes) -> bytes | None:
        """Give the refusal of a request, whole, as it goes over the wire; None where it is not refused here.

        Args:
            data: what has been received, from the first byte of a request on. date: for the header of that name.
        """
        if not self._admission.overloaded:
            return None
        head = _HEAD.match(data)
        if head is None:
            return None
        lengths = _LENGTH.findall(data, 0, head.end())
        if len(lengths) != 1 or not lengths[0].isdigit() or len(lengths[0]) > _DIGITS_MAX:
            return None
        if head.end() + int(lengths[0]) != len(data):
            return None
        if _UNUSUAL.search(data, 0, head.end()) or not self._admission.turn_away():
            return None
        self._note()
        return self._head + date + self._body
