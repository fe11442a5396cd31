"""Random bytes drawn ahead: one system call for a thousand unpredictable numbers, not one for each."""

from __future__ import annotations

from typing import Final

from cpmqr.crypto.suites import Entropy

DRAWN_BYTES: Final = 4_096


class DrawnAhead:
    """Hands out bytes that were drawn in one go; each is given once.

    For unpredictable numbers and incident ids, which are sent in clear anyway: keys and nonces are drawn when they are
    needed. Belongs to one process and one thread: workers are started anew, never forked with a store of bytes.

    Args:
        entropy: gives n random bytes, by a system call.
    """

    __slots__ = ("_at", "_drawn", "_entropy")

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._drawn = b""
        self._at = 0

    def __call__(self, count: int) -> bytes:
        """Give `count` random bytes."""
        end = self._at + count
        if end > len(self._drawn):
            self._drawn = self._entropy(max(DRAWN_BYTES, count))
            self._at, end = 0, count
        given = self._drawn[self._at : end]
        self._at = end
        return given
