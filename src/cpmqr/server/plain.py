"""Plain requests of the main job: whole in what was received, and beyond doubt as to where they begin and end.

Nearly all requests are. They need no HTTP parser, only a look: the direct way (`server/direct.py`) takes them from
here. What is unusual in any respect is nobody's fault; it goes through the parser, and is served as well.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from cpmqr.record import Frozen, Leaf
from cpmqr.server.paygw import PAYGW_PATH
from cpmqr.wire.envelope import BODY_BYTES_MAX

HEAD_BYTES_MAX: Final = 2_048  # a wallet's head has some 250; a longer one goes through the parser
HEADERS_MAX: Final = 100
HEADS_KEPT: Final = 1_024  # a wallet's next head is like its last: 2 MB of them at the most
_DIGITS_MAX: Final = 5

_START: Final = b"POST %b HTTP/1.1" % PAYGW_PATH.encode()
# Well-formed header lines: no folding, no bare line feed, no blank before a colon, no control characters.
_LINES: Final = re.compile(rb"(?:\r\n[-!#$%&'*+.^_`|~0-9A-Za-z]+:[^\x00-\x08\x0a-\x1f\x7f]*)+")
_CREDENTIAL: Final = (b"\r\nAuthorization: ", b"\r\nauthorization: ")
# What changes where a request ends, or what happens before or after it; the sandbox's wishes.
_UNUSUAL: Final = frozenset(
    {
        b"transfer-encoding",
        b"expect",
        b"upgrade",
        b"x-sandbox-now",
        b"x-sandbox-result",
    }
)

Headers = tuple[tuple[bytes, bytes], ...]


class Head(Frozen):
    """What a head says, but for the credential.

    Attributes:
        headers: names in lower case.
    """

    content_type: str
    content_length: int
    headers: Headers


class PlainRequest(Leaf):
    """A request as far as it has come: `body` is shorter than the head says while the rest is on its way."""

    head: Head
    authorization: str | None
    body: bytes

    @property
    def is_whole(self) -> bool:
        """Tell whether the body has come to its end."""
        return len(self.body) == self.head.content_length

    def __repr__(self) -> str:
        return f"<plain request, {len(self.body)} of {self.head.content_length} bytes>"


def read_plain(data: bytes) -> PlainRequest | None:
    """Read what was received, from the first byte of a request on; None for what is not plain."""
    if not data.startswith(_START):
        return None
    end = data.find(b"\r\n\r\n", len(_START), HEAD_BYTES_MAX)
    if end < 0:
        return None
    lines, authorization = data[len(_START) : end], None
    at = max(lines.find(_CREDENTIAL[0]), lines.find(_CREDENTIAL[1]))
    if at >= 0:
        # Cut out before heads are remembered: no credential is kept, and heads of many wallets are the same.
        stop = lines.find(b"\r\n", at + 2)
        line = lines[at:] if stop < 0 else lines[at:stop]
        lines = lines.replace(line, b"", 1)
        authorization = line[len(_CREDENTIAL[0]) :].decode("latin-1").strip(" ")
        if not authorization.isprintable():
            return None
    if b"authorization" in lines.lower():  # a second one, or one that is spelt otherwise
        return None
    head = _read_head(lines)
    body = data[end + 4 :]
    if head is None or len(body) > head.content_length:
        return None
    return PlainRequest(head, authorization, body)


@lru_cache(HEADS_KEPT)
def _read_head(lines: bytes) -> Head | None:
    if not _LINES.fullmatch(lines):
        return None
    content_type, lengths = "", []
    headers = []
    for line in lines[2:].split(b"\r\n"):
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip(b" \t")
        headers.append((name, value))
        if name in _UNUSUAL or (name == b"connection" and value.lower() != b"keep-alive"):
            return None
        if name == b"content-type":
            content_type = value.decode("latin-1")
        elif name == b"content-length":
            lengths.append(value)
    if len(headers) >= HEADERS_MAX or len(lengths) != 1:
        return None
    if not lengths[0].isdigit() or len(lengths[0]) > _DIGITS_MAX or int(lengths[0]) > BODY_BYTES_MAX:
        return None
    return Head(content_type, int(lengths[0]), tuple(headers))
