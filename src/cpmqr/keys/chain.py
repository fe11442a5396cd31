"""Two key-encryption keys at once, for the time in which keys move from one to the other without an outage."""

from __future__ import annotations

from collections.abc import Sequence

from cpmqr.errors import ConfigError, KeyUnavailable
from cpmqr.keys.base import KeyEncryptionKey
from cpmqr.model import Secret


class KekChain:
    """Wraps under the first, unwraps under whichever opens.

    Args:
        keks: the one that keys move to, then those that they may still be under.

    Raises:
        ConfigError: there is none.
    """

    __slots__ = ("_keks",)

    def __init__(self, keks: Sequence[KeyEncryptionKey]) -> None:
        if not keks:
            raise ConfigError("there is no key-encryption key")
        self._keks = tuple(keks)

    @property
    def kek_id(self) -> str:
        """The check value of the first."""
        return self._keks[0].kek_id

    def __repr__(self) -> str:
        return f"<key-encryption keys {', '.join(kek.kek_id for kek in self._keks)}>"

    def wrap(self, secret: Secret, context: bytes) -> bytes:
        """Encrypt under the first."""
        return self._keks[0].wrap(secret, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> Secret:
        """Open under whichever opens.

        Raises:
            KeyUnavailable: none does; with the answer of each.
        """
        causes = []
        for kek in self._keks:
            try:
                return kek.unwrap(wrapped, context)
            except KeyUnavailable as error:
                causes.append(str(error))
        raise KeyUnavailable("; ".join(causes))
