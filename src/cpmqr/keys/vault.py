"""The gateway's own keys at work: PANs at rest, blind indexes, request digests.

Made once from a keyring and used for each request, so contexts that are costly to make are kept. A vault belongs
to one thread.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cpmqr.crypto.blocks import hmac_sha256
from cpmqr.errors import EncodeError, KeyUnavailable
from cpmqr.keys.keyring import KeyEntry, Keyring
from cpmqr.keys.mapping import MappingValues
from cpmqr.model import KeyPurpose, KeyState, Secret, Token, TokenPan

Entropy = Callable[[int], bytes]

INDEX_BYTES: Final = 16  # a chance of 2^-48 of one collision among 2^40 tokens
_NONCE_BYTES: Final = 12
_PAN_CONTEXT: Final = b"cpmqr vault pan v1 "


class Vault:
    """Seals and finds PANs, digests requests, makes and reads QR_DATA_MAPP_VAL.

    Args:
        keyring: must hold an active vault-pan key, a vault-index key and a mapping key.
        entropy: gives n random bytes, for nonces.

    Raises:
        KeyUnavailable: one of the three is missing; says which.
    """

    __slots__ = (
        "_digest",
        "_entropy",
        "_index",
        "_mapping",
        "_sealers",
        "_sealing_since_s",
        "_sealing_version",
    )

    def __init__(self, keyring: Keyring, entropy: Entropy = os.urandom) -> None:
        index_key = _needed(keyring, KeyPurpose.VAULT_INDEX)
        pan_key = _needed(keyring, KeyPurpose.VAULT_PAN)
        _needed(keyring, KeyPurpose.MAPPING)
        self._entropy = entropy
        self._index = hmac_sha256(_derive(index_key.secret, b"cpmqr vault index v1"))
        self._digest = hmac_sha256(_derive(index_key.secret, b"cpmqr vault digest v1"))
        self._sealing_version = pan_key.version
        self._sealing_since_s = pan_key.activated_at_s or 0
        self._sealers = {
            entry.version: AESGCM(entry.secret.reveal())
            for entry in keyring.versions(KeyPurpose.VAULT_PAN)
            if entry.state is not KeyState.PENDING
        }
        self._mapping = MappingValues(keyring.versions(KeyPurpose.MAPPING))

    def __repr__(self) -> str:
        return f"<vault, sealing under version {self._sealing_version}>"

    @property
    def sealing_version(self) -> str:
        """The version of the vault-pan key that new seals are made with."""
        return self._sealing_version

    @property
    def sealing_since_s(self) -> int:
        """When that version was activated."""
        return self._sealing_since_s

    def index(self, pan: str) -> bytes:
        """Give a PAN's blind index: 16 bytes, the same for the same PAN under the same key."""
        return self._index(pan.encode("utf-8", "surrogatepass"))[:INDEX_BYTES]

    def digest(self, content: bytes) -> bytes:
        """Give 16 bytes that stand for a request's content; unrelated to any index."""
        return self._digest(content)[:INDEX_BYTES]

    def seal(self, pan: str, token_id: int) -> tuple[bytes, str]:
        """Encrypt a PAN for storage: nonce, ciphertext, tag; and the key version. It opens for this token alone.

        Raises:
            EncodeError: `token_id` is not a number of 8 bytes.
        """
        nonce = self._entropy(_NONCE_BYTES)
        sealer = self._sealers[self._sealing_version]
        return nonce + sealer.encrypt(
            nonce, pan.encode("utf-8", "surrogatepass"), _context(token_id)
        ), self._sealing_version

    def open(self, token: Token) -> TokenPan:
        """Decrypt a token's PAN.

        Raises:
            KeyUnavailable: no such version of the vault key, or the record was changed or belongs to another token.
        """
        sealer = self._sealers.get(token.vault_key_ver)
        if sealer is None:
            raise KeyUnavailable(f"there is no vault-pan key of version {token.vault_key_ver!r}")
        nonce, sealed = token.pan_sealed[:_NONCE_BYTES], token.pan_sealed[_NONCE_BYTES:]
        try:
            return TokenPan(sealer.decrypt(nonce, sealed, _context(token.token_id)).decode())
        except (InvalidTag, ValueError):
            raise KeyUnavailable("a sealed PAN was changed, or is another token's") from None

    def mapping_value(self, token_id: int, atc: int, day: int) -> str:
        """Give QR_DATA_MAPP_VAL; see `MappingValues.value`."""
        return self._mapping.value(token_id, atc, day)

    def read_mapping_value(self, text: str) -> tuple[int, int, int] | None:
        """Give (token_id, atc, day), or None for what is not ours; see `MappingValues.read`."""
        return self._mapping.read(text)


def _needed(keyring: Keyring, purpose: KeyPurpose) -> KeyEntry:
    entry = keyring.find(purpose)
    if entry is None:
        for unusable in keyring.unusable:
            if unusable.key.purpose is purpose:
                raise KeyUnavailable(f"the {purpose} key does not open: {unusable.cause}")
        raise KeyUnavailable(f"there is no active {purpose} key: run `cpmqr key init`")
    return entry


def _derive(secret: Secret, label: bytes) -> bytes:
    """Give a 32-byte key for one use of a shared one (HMAC as a pseudo-random function, ours)."""
    return hmac.digest(secret.reveal(), label, "sha256")


def _context(token_id: int) -> bytes:
    try:
        return _PAN_CONTEXT + token_id.to_bytes(8, "big")
    except OverflowError:
        raise EncodeError("a token id is a number of 8 bytes") from None
