"""Key algorithms and their check values: three bytes that tell a key without giving it away.

Source: ANSI X9.24-1 Annex A (TDES: three bytes of an encrypted zero block; AES: three bytes of the CMAC of a zero
block). An AES key is never checked by encrypting a zero block here: under GCM that block is the authentication key.
SEED follows AES, and HMAC takes three bytes of the HMAC of nothing (both ours; partners' tools differ on HMAC).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import SEED
from cryptography.hazmat.primitives.cmac import CMAC

from cpmqr.crypto.blocks import aes_kcv, tdes_kcv
from cpmqr.errors import ConfigError

CHECK_VALUE_BYTES: Final = 3
KEY_BYTES: Final[dict[str, int]] = {
    "aes-256": 32,
    "aes-128": 16,
    "seed-128": 16,
    "tdes-112": 16,
    "hmac-sha256": 32,
}
# A plugged-in suite's key is of a length that we do not know; these bounds hold for all.
KEY_BYTES_MIN: Final = 16
KEY_BYTES_MAX: Final = 64


def check_length(algorithm: str, key: bytes) -> None:
    """Refuse a key of the wrong length for its algorithm.

    Raises:
        ConfigError: names the algorithm and the length that it takes.
    """
    expected = KEY_BYTES.get(algorithm)
    if expected is not None and len(key) != expected:
        raise ConfigError(f"{algorithm} takes a key of {expected} bytes, this one has {len(key)}")
    if not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise ConfigError(f"a key has {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes, this one has {len(key)}")


def check_value(algorithm: str, key: bytes) -> str:
    """Give a key's check value (KCV), 6 upper-case hex digits.

    Raises:
        ConfigError: the key's length is not its algorithm's.
    """
    check_length(algorithm, key)
    return _MACS.get(algorithm, _hmac_of_nothing)(key)[:CHECK_VALUE_BYTES].hex().upper()


def _seed_cmac_of_zeros(key: bytes) -> bytes:
    mac = CMAC(SEED(key))
    mac.update(bytes(16))
    return mac.finalize()


def _hmac_of_nothing(key: bytes) -> bytes:
    return hmac.digest(key, b"", "sha256")


_MACS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "aes-256": aes_kcv,
    "aes-128": aes_kcv,
    "seed-128": _seed_cmac_of_zeros,
    "tdes-112": tdes_kcv,
    "hmac-sha256": _hmac_of_nothing,
}
