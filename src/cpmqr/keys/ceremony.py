"""A key from components: no single custodian ever sees the whole of it.

Each custodian brings a part as long as the key, with its check value; the key is the XOR of all parts, and has a
check value of its own. Source: the usual split-knowledge practice of PCI PIN requirement 6; the rules are ours.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from functools import reduce
from typing import Final

import msgspec

from cpmqr.crypto.blocks import aes_ecb
from cpmqr.errors import ConfigError
from cpmqr.keys.check_value import CHECK_VALUE_BYTES, check_length, check_value
from cpmqr.model import Secret

COMPONENTS_MIN: Final = 2
COMPONENTS_MAX: Final = 8  # more custodians than any ceremony has
_KCV_DIGITS_MIN: Final = 2 * CHECK_VALUE_BYTES
_KCV_DIGITS_MAX: Final = 16  # some devices print more of it; what is there is compared


class Component(msgspec.Struct, frozen=True):
    """One custodian's part and the check value that came with it, hex; "" only where the algorithm has none."""

    secret: Secret
    kcv: str


def combine(algorithm: str, components: Sequence[Component], kcv: str) -> Secret:
    """Make the key of its components, each held against its check value, and the whole against `kcv`.

    Args:
        algorithm: as `WrappedKey.algorithm`.
        components: 2 to 8.
        kcv: check value of the key that should come out. "" is allowed for HMAC keys alone, for which partners'
            tools agree on no check value; the same holds for the components'.

    Raises:
        ConfigError: names the component (from 1) and what is wrong with it.
    """
    if not COMPONENTS_MIN <= len(components) <= COMPONENTS_MAX:
        raise ConfigError(
            f"a key has {COMPONENTS_MIN} to {COMPONENTS_MAX} components, here are {len(components)}"
        )
    for number, component in enumerate(components, start=1):
        _check(algorithm, component.secret.reveal(), component.kcv, f"component {number}")
    key = reduce(_xor, (component.secret.reveal() for component in components))
    _check(algorithm, key, kcv, "the combined key")
    refuse_weak(algorithm, key)
    return Secret(key)


def refuse_weak(algorithm: str, key: bytes) -> None:
    """Refuse a key that is no key: one byte throughout, or two equal halves where TDES needs two keys.

    Raises:
        ConfigError: says which.
    """
    if len(set(key)) == 1:
        raise ConfigError("every byte of the key is the same: were two equal components given?")
    half = len(key) // 2
    if algorithm == "tdes-112" and _without_parity(key[:half]) == _without_parity(key[half:]):
        raise ConfigError("both halves of the TDES key are the same: that is single DES")


def kcv_matches(algorithm: str, key: bytes, kcv: str) -> bool:
    """Tell whether a partner's check value is this key's.

    For AES the older check value (a zero block encrypted) is taken as well: many devices still print it.

    Raises:
        ConfigError: the key's length is wrong, or `kcv` is not 6 to 16 hex digits.
    """
    given = _kcv_bytes(kcv)
    candidates = [bytes.fromhex(check_value(algorithm, key))]
    if algorithm.startswith("aes-"):
        candidates.append(aes_ecb(key)(bytes(16)))
    return any(_same_start(candidate, given) for candidate in candidates)


def _check(algorithm: str, key: bytes, kcv: str, what: str) -> None:
    try:
        check_length(algorithm, key)
        matches = not kcv or kcv_matches(algorithm, key, kcv)
    except ConfigError as error:
        raise ConfigError(f"{what}: {error}") from None
    if not kcv and algorithm != "hmac-sha256":
        raise ConfigError(f"{what}: a check value must come with it")
    if not matches:
        raise ConfigError(f"{what}: its check value is {check_value(algorithm, key)}, not the one given")


def _kcv_bytes(kcv: str) -> bytes:
    if not _KCV_DIGITS_MIN <= len(kcv) <= _KCV_DIGITS_MAX or not kcv.isalnum():
        raise ConfigError(f"a check value is {_KCV_DIGITS_MIN} to {_KCV_DIGITS_MAX} hex digits")
    try:
        return bytes.fromhex(kcv)
    except ValueError:
        raise ConfigError(
            f"a check value is {_KCV_DIGITS_MIN} to {_KCV_DIGITS_MAX} hex digits, two for each byte"
        ) from None


def _same_start(candidate: bytes, given: bytes) -> bool:
    length = min(len(candidate), len(given))
    return hmac.compare_digest(candidate[:length], given[:length])


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _without_parity(half: bytes) -> bytes:
    return bytes(byte & 0xFE for byte in half)
