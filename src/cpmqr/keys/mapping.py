"""QR_DATA_MAPP_VAL: an encrypted, authenticated pointer to an issue (ours; `docs/decisions/mapping-value.md`).

    16 bytes   AES-256 of: token_id (8) | atc (2) | day since 1970 (2) | four zero bytes
     4 bytes   the first four of AES-256, under a second key, of those 16: a CBC-MAC of exactly one block

It needs no column and no index, is the same on each retry, and names its issue to us alone.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from cpmqr.errors import EncodeError, KeyUnavailable
from cpmqr.keys.keyring import KeyEntry, by_age
from cpmqr.model import KeyState, Secret

MAPPING_VALUE_DIGITS: Final = 40
_POINTER: Final = struct.Struct(">QHHI")
_POINTER_BYTES: Final = 16
_MAC_BYTES: Final = 4
_DAY_S: Final = 86_400
# A change takes effect at the second midnight (UTC) that is at least this far away, so that all gateways know it.
_NOTICE_S: Final = 60


class MappingValues:
    """Makes and reads mapping values under all versions of the mapping key.

    Which version serves a day is settled before that day begins, so the value of an issue never changes when keys
    are rotated between the first answer and a retry.

    Args:
        versions: the mapping keys; pending ones are left aside.

    Raises:
        KeyUnavailable: none of them is active or retired.
    """

    __slots__ = ("_ciphers", "_newest", "_settled_day")

    def __init__(self, versions: Sequence[KeyEntry]) -> None:
        usable = [entry for entry in versions if entry.state is not KeyState.PENDING]
        if not usable:
            raise KeyUnavailable("there is no mapping key that is active or retired")
        usable.sort(key=by_age)
        self._ciphers = [_Cipher(entry) for entry in reversed(usable)]
        self._newest = self._ciphers[0]
        # From this day on only the newest version counts: the common case, decided by one comparison.
        self._settled_day = max(cipher.first_day for cipher in self._ciphers)

    def value(self, token_id: int, atc: int, day: int) -> str:
        """Give the handle of an issue.

        Args:
            token_id: 0..2^64-1.
            atc: 0..65535.
            day: days since 1970 of the issue's time (`issued_at_s // 86400`), 0..65535.

        Returns:
            40 upper-case hex digits.

        Raises:
            EncodeError: a number is out of its range.
        """
        try:
            pointer = _POINTER.pack(token_id, atc, day, 0)
        except struct.error:
            raise EncodeError("token id, counter or day does not fit its field") from None
        return self._for_day(day).seal(pointer).hex().upper()

    def read(self, text: str) -> tuple[int, int, int] | None:
        """Give (token_id, atc, day), or None: not 40 hex digits, or made by nobody who has our keys."""
        if len(text) != MAPPING_VALUE_DIGITS or not text.isalnum():
            return None
        try:
            blob = bytes.fromhex(text)
        except ValueError:
            return None
        for cipher in self._ciphers:
            pointer = cipher.unseal(blob)
            if pointer is not None:
                token_id, atc, day, padding = _POINTER.unpack(pointer)
                return (token_id, atc, day) if padding == 0 else None
        return None

    def _for_day(self, day: int) -> _Cipher:
        if day >= self._settled_day and self._newest.last_day is None:
            return self._newest
        for cipher in self._ciphers:
            if cipher.first_day <= day and (cipher.last_day is None or day <= cipher.last_day):
                return cipher
        return self._ciphers[-1]


class _Cipher:
    """One version: two keys derived from it, with their contexts kept; and the days that it serves."""

    __slots__ = ("_decrypt", "_encrypt", "_mac", "first_day", "last_day")

    def __init__(self, entry: KeyEntry) -> None:
        pointer_key = Cipher(AES(_derive(entry.secret, b"cpmqr mapping pointer v1")), modes.ECB())  # noqa: S305
        mac_key = Cipher(AES(_derive(entry.secret, b"cpmqr mapping mac v1")), modes.ECB())  # noqa: S305
        self._encrypt: CipherContext = pointer_key.encryptor()
        self._decrypt: CipherContext = pointer_key.decryptor()
        self._mac: CipherContext = mac_key.encryptor()
        self.first_day = _next_day(entry.activated_at_s or 0)
        self.last_day = None if entry.retired_at_s is None else _next_day(entry.retired_at_s) - 1

    def seal(self, pointer: bytes) -> bytes:
        block = self._encrypt.update(pointer)
        return block + self._mac.update(block)[:_MAC_BYTES]

    def unseal(self, blob: bytes) -> bytes | None:
        block = blob[:_POINTER_BYTES]
        if not hmac.compare_digest(self._mac.update(block)[:_MAC_BYTES], blob[_POINTER_BYTES:]):
            return None
        return self._decrypt.update(block)


def _next_day(at_s: int) -> int:
    """The first day that begins after this moment and a notice."""
    return (at_s + _NOTICE_S) // _DAY_S + 1


def _derive(secret: Secret, label: bytes) -> bytes:
    return hmac.digest(secret.reveal(), label, "sha256")
