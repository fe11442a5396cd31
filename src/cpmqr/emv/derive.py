"""From an issuer's one key to a card's key to a transaction's key.

An issuer keeps a single master key for cryptograms. Each card (or digital token) has a key of its own, which is
the master key's encryption of the card's number, so nobody has to store millions of keys. Each transaction has a
session key, the card key's encryption of the transaction counter, so a cryptogram tells nothing about the next one.

    issuer master key ──PAN, PSN──▶ ICC master key ──ATC──▶ session key ──transaction data──▶ cryptogram

Every function takes the step's key as an `EncryptBlocks` and never sees its bytes: an HSM can run the same lines.
Keys come out as the cipher gave them; `odd_parity` adjusts a DES key for paper, and changes no cryptogram.
"""

from __future__ import annotations

import hashlib
from typing import Final

from cpmqr.crypto.blocks import AES_BLOCK_BYTES, EncryptBlocks
from cpmqr.errors import EncodeError
from cpmqr.model import ATC_MAX

PAN_DIGITS_LIMIT: Final = 19  # EMV Book 1: what tag 5A can hold
_SECTION: Final = "EMV Book 2 A1.4"
_NOT_BITS: Final = bytes(255 - byte for byte in range(256))
_DECIMALISE: Final = str.maketrans("abcdef", "012345")
_KEEP_DECIMAL: Final = str.maketrans("", "", "abcdef")
_KEEP_LETTERS: Final = str.maketrans("", "", "0123456789")


def icc_master_key_a(encrypt: EncryptBlocks, pan: str, psn: str = "00") -> bytes:
    """Derive a card's TDES master key by option A: PAN and PSN, the rightmost 16 digits of them.

    The left half encrypts those digits, the right half their complement.

    Args:
        encrypt: TDES ECB under the issuer master key.
        pan: 1 to 19 digits.
        psn: card sequence number, 2 digits; "00" where the card has none.

    Returns:
        16 bytes, parity not adjusted.

    Raises:
        EncodeError: `pan` or `psn` is not so many digits.

    Source: EMV Book 2 A1.4.1.
    """
    return _both_halves(encrypt, bytes.fromhex(_pan_and_psn(pan, psn)[-16:].zfill(16)))


def icc_master_key_b(encrypt: EncryptBlocks, pan: str, psn: str = "00") -> bytes:
    """Derive a card's TDES master key by option B, made for PANs of more than 16 digits.

    Option A would drop a long PAN's first digits. B hashes the whole of it with SHA-1 and takes 16 decimal digits
    out of the hash: those that are decimal, from the left; if they are too few, then A to F read as 0 to 5.
    PANs of up to 16 digits are derived as by option A.

    Args, returns and raises: as `icc_master_key_a`.

    Source: EMV Book 2 A1.4.2.
    """
    if len(pan) <= 16:
        return icc_master_key_a(encrypt, pan, psn)
    digits = _pan_and_psn(pan, psn)
    # The standard names SHA-1 here; it spreads digits, it protects nothing.
    digest = hashlib.sha1(
        bytes.fromhex(digits if len(digits) % 2 == 0 else "0" + digits), usedforsecurity=False
    ).hexdigest()
    decimal = digest.translate(_KEEP_DECIMAL)
    decimal += digest.translate(_KEEP_LETTERS).translate(_DECIMALISE)
    return _both_halves(encrypt, bytes.fromhex(decimal[:16]))


def icc_master_key_aes(encrypt: EncryptBlocks, pan: str, psn: str = "00", *, key_bytes: int = 16) -> bytes:
    """Derive a card's AES master key (option C): one block of PAN and PSN, zeros before them.

    Args:
        encrypt: AES ECB under the issuer master key.
        pan: 1 to 19 digits.
        psn: 2 digits.
        key_bytes: 16, 24 or 32; the issuer master key's own length as a rule.

    Returns:
        `key_bytes` bytes.

    Raises:
        EncodeError: `pan` or `psn` is not so many digits, or there is no such key length.

    Source: EMV Book 2 A1.4.3.
    """
    block = bytes.fromhex(_pan_and_psn(pan, psn).zfill(2 * AES_BLOCK_BYTES))
    if key_bytes == AES_BLOCK_BYTES:
        return encrypt(block)
    return _both_halves(encrypt, block)[: _aes_key_bytes(key_bytes)]


def session_key_tdes(encrypt: EncryptBlocks, atc: int) -> bytes:
    """Derive the TDES key that makes one application cryptogram.

    Both halves encrypt the counter: `ATC F0 00…` and `ATC 0F 00…`.

    Args:
        encrypt: TDES ECB under the ICC master key.
        atc: application transaction counter, 0..65535.

    Returns:
        16 bytes, parity not adjusted.

    Raises:
        EncodeError: `atc` does not fit two bytes; the store must have stopped earlier.

    Source: EMV Book 2 A1.3.1, common session key derivation.
    """
    counter = _counter(atc)
    return encrypt(counter + b"\xf0\x00\x00\x00\x00\x00" + counter + b"\x0f\x00\x00\x00\x00\x00")


def session_key_aes(encrypt: EncryptBlocks, atc: int, *, key_bytes: int = 16) -> bytes:
    """Derive the AES key that makes one application cryptogram.

    A 16-byte key is the encryption of `ATC 00 00…`; a longer one is cut from those of `ATC F0 …` and `ATC 0F …`.

    Args:
        encrypt: AES ECB under the ICC master key.
        atc: application transaction counter, 0..65535.
        key_bytes: 16, 24 or 32.

    Raises:
        EncodeError: `atc` does not fit two bytes, or there is no such key length.

    Source: EMV Book 2 A1.3.1, common session key derivation for a 16-byte block.
    """
    counter = _counter(atc)
    if key_bytes == AES_BLOCK_BYTES:
        return encrypt(counter + bytes(14))
    both = encrypt(counter + b"\xf0" + bytes(13) + counter + b"\x0f" + bytes(13))
    return both[: _aes_key_bytes(key_bytes)]


def _both_halves(encrypt: EncryptBlocks, block: bytes) -> bytes:
    """Encrypt a block and its bitwise complement, in one call."""
    return encrypt(block + block.translate(_NOT_BITS))


def _pan_and_psn(pan: str, psn: str) -> str:
    joined = pan + psn
    if not (joined.isascii() and joined.isdigit() and len(psn) == 2 and 0 < len(pan) <= PAN_DIGITS_LIMIT):
        raise EncodeError("a key is derived from a PAN of 1 to 19 digits and a PSN of 2", section=_SECTION)
    return joined


def _counter(atc: int) -> bytes:
    if not 0 <= atc <= ATC_MAX:
        raise EncodeError(f"the ATC is 0 to {ATC_MAX}", tag="9F36", section="EMV Book 2 A1.3")
    return atc.to_bytes(2, "big")


def _aes_key_bytes(key_bytes: int) -> int:
    if key_bytes not in (16, 24, 32):
        raise EncodeError(f"an AES key is 16, 24 or 32 bytes, not {key_bytes}", section=_SECTION)
    return key_bytes
