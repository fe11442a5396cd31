"""A key-encryption key in a file: what a machine without an HSM can offer.

The file holds 64 hex digits and is readable by its owner alone. What this does not give (an administrator of the
machine can read it) is said in `docs/keys.md`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cpmqr.errors import ConfigError, KeyUnavailable
from cpmqr.keys.check_value import CHECK_VALUE_BYTES, KEY_BYTES_MAX, check_value
from cpmqr.keys.private_file import read_private, write_private
from cpmqr.model import Secret

Entropy = Callable[[int], bytes]

_WHAT: Final = "the key-encryption key"
KEK_BYTES: Final = 32
KEK_FILE_BYTES_MAX: Final = 256  # 64 digits and a line end; anything longer is some other file
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
_KEK_DIGITS: Final = re.compile(rb"[0-9A-Fa-f]{%d}" % (2 * KEK_BYTES))
# A wrapped key names its layout and its KEK: 01, check value of the KEK, nonce, ciphertext and tag. The first four
# bytes are authenticated as well.
_LAYOUT: Final = b"\x01"
_HEAD_BYTES: Final = len(_LAYOUT) + CHECK_VALUE_BYTES
_WRAPPED_BYTES_MAX: Final = _HEAD_BYTES + NONCE_BYTES + KEY_BYTES_MAX + TAG_BYTES


class SoftwareKek:
    """AES-256-GCM under a key held in this process.

    Args:
        secret: 32 bytes.
        entropy: gives n random bytes, for nonces. With 96 random bits each, a KEK stays safe for far more than
            the number of keys that any deployment wraps (NIST SP 800-38D 8.3: 2^32).

    Raises:
        ConfigError: the key is not 32 bytes.
    """

    __slots__ = ("_aead", "_entropy", "_kek_id")

    def __init__(self, secret: Secret, entropy: Entropy = os.urandom) -> None:
        self._kek_id = check_value("aes-256", secret.reveal())
        self._aead = AESGCM(secret.reveal())
        self._entropy = entropy

    @classmethod
    def from_file(cls, path: str | Path) -> SoftwareKek:
        """Read the KEK from a file of mode 0600.

        Raises:
            ConfigError: missing, not a file, readable by group or others, or not 64 hex digits; says what to do.
        """
        text = read_private(Path(path), _WHAT, KEK_FILE_BYTES_MAX)
        return cls(Secret(_kek_of(text, Path(path))))

    @classmethod
    def create(cls, path: str | Path, entropy: Entropy = os.urandom) -> SoftwareKek:
        """Make a random KEK in a new file of mode 0600; it is on disk, whole, or not there at all.

        Raises:
            ConfigError: the file exists (it is never overwritten), or can't be written.
        """
        secret = entropy(KEK_BYTES)
        try:
            write_private(Path(path), secret.hex().encode() + b"\n")
        except FileExistsError:
            raise ConfigError(f"{path} exists: a key-encryption key is never overwritten") from None
        return cls(Secret(secret), entropy)

    @property
    def kek_id(self) -> str:
        """The KEK's own check value, 6 hex digits."""
        return self._kek_id

    def __repr__(self) -> str:
        return f"<key-encryption key {self._kek_id}>"

    def wrap(self, secret: Secret, context: bytes) -> bytes:
        """Encrypt a key of 16 to 64 bytes; it opens again with the same `context` alone.

        Raises:
            ConfigError: the key is longer than any key is.
        """
        if len(secret.reveal()) > KEY_BYTES_MAX:
            raise ConfigError(f"a key has at most {KEY_BYTES_MAX} bytes")
        head = _LAYOUT + bytes.fromhex(self._kek_id)
        nonce = self._entropy(NONCE_BYTES)
        return head + nonce + self._aead.encrypt(nonce, secret.reveal(), head + context)

    def unwrap(self, wrapped: bytes, context: bytes) -> Secret:
        """Open a wrapped key.

        Raises:
            KeyUnavailable: wrapped under another KEK (both are named), changed, or moved from another context.
        """
        head, body = wrapped[:_HEAD_BYTES], wrapped[_HEAD_BYTES:]
        if not head.startswith(_LAYOUT) or not NONCE_BYTES + TAG_BYTES < len(body) < _WRAPPED_BYTES_MAX:
            raise KeyUnavailable("this is no wrapped key that this version reads")
        wrapped_under = head[len(_LAYOUT) :].hex().upper()
        if wrapped_under != self._kek_id:
            raise KeyUnavailable(f"wrapped under KEK {wrapped_under}, this one is {self._kek_id}")
        try:
            return Secret(self._aead.decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], head + context))
        except InvalidTag:
            raise KeyUnavailable(
                "the wrapped key was changed, or moved from another purpose, owner, name or version"
            ) from None


def _kek_of(text: bytes, path: Path) -> bytes:
    digits = text.strip()
    if not _KEK_DIGITS.fullmatch(digits):
        raise ConfigError(f"{_WHAT} {path} must hold {2 * KEK_BYTES} hex digits and nothing else")
    return bytes.fromhex(digits.decode())
