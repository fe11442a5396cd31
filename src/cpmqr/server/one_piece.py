"""A transport whose writes of one round of the event loop leave in one piece.

uvicorn writes an answer's head, then its body, and uvloop sends each at once: two system calls here, two packets, two
wake-ups at the client. Held until the loop's next round they are one of each.
"""

from __future__ import annotations

import asyncio
from typing import Any


class OnePiece:
    """Wraps a transport; everything but writing and closing is the transport's own."""

    __slots__ = ("_loop", "_pieces", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send soon: in the loop's next round, with what else is written in this one."""
        if not self._pieces:
            self._loop.call_soon(self._send)
        self._pieces.append(data)

    def write_whole(self, data: bytes) -> None:
        """Send an answer that is in one piece already."""
        if self._pieces:
            self._pieces.append(data)
        else:
            self._transport.write(data)

    def is_closing(self) -> bool:
        """Tell whether the connection is closed or about to be."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Close once all that was written has gone."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            if not self._transport.is_closing():
                self._transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
