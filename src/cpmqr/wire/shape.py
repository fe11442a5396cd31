"""The shape of a good request, into which msgspec reads one in a single pass.

Apart from `envelope.py`, which the compiled build compiles: msgspec goes by the annotations of a class, and a compiled
class has lost their details (that a member's value is a string, say).
"""

from __future__ import annotations

import msgspec


class Request(msgspec.Struct):
    """The members, as sent, between the envelope's own."""

    REQID: str
    VERSION: str
    REQUEST: dict[str, str]


class RequestBody(msgspec.Struct):
    """All that a body may hold."""

    PAYGW: Request


read_request = msgspec.json.Decoder(RequestBody).decode
"""Read a body's bytes. Raises msgspec.DecodeError (also ValidationError) where they are not such a request."""
