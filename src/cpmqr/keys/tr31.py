"""Keys in TR-31 key blocks: how partners and HSMs hand keys over, never in clear.

    header (16 characters and more) | key data, encrypted (hex) | MAC (hex)

The header says what the key is for and is authenticated with it, so that a PIN key can't become a transport key.
Read and written are version B (TDES) and version D (AES), the two that derive their keys; A and C, which protect by
variants, are withdrawn. Source: ASC X9 TR-31:2018 (X9.143); `psec` is the oracle of our tests.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from typing import Final

import msgspec
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from cpmqr.errors import ConfigError
from cpmqr.keys.check_value import KEY_BYTES, check_length
from cpmqr.model import KeyPurpose, Secret

Entropy = Callable[[int], bytes]

BLOCK_CHARS_MAX: Final = 4_096  # with every optional block that devices write, one is below 1,000
_HEADER_CHARS: Final = 16
_NO_OPEN: Final = "the TR-31 block does not open: it is damaged, or the protection key is another"


class _Use(msgspec.Struct, frozen=True):
    """Usage and mode in a header: what X9.143 calls a purpose of ours."""

    usage: str
    mode: str


class _Version(msgspec.Struct, frozen=True):
    """One version's cipher. `algorithms`: protection key length → its code in the derivation."""

    cipher: type[AES] | type[TripleDES]
    block_bytes: int
    algorithms: dict[int, int]


# E0: EMV issuer master key for cryptograms, X: to derive from. D0: data encryption, B: both ways. M7: HMAC, C: both.
_USES: Final[dict[KeyPurpose, _Use]] = {
    KeyPurpose.ISSUER_MASTER: _Use("E0", "X"),
    KeyPurpose.TRANSPORT: _Use("D0", "B"),
    KeyPurpose.HASH_CRC: _Use("M7", "C"),
    KeyPurpose.WEBHOOK: _Use("M7", "C"),
}
_LETTERS: Final = {"tdes-112": "T", "aes-128": "A", "aes-256": "A", "hmac-sha256": "H"}
_PADDED_BYTES: Final = {
    "T": 24,
    "A": 32,
}  # a shorter key is padded to its kind's longest, which hides its length
_VERSIONS: Final[dict[str, _Version]] = {
    "B": _Version(TripleDES, 8, {16: 0, 24: 1}),
    "D": _Version(AES, 16, {16: 2, 24: 3, 32: 4}),
}


def read_block(block: str, protection_key: Secret, purpose: KeyPurpose, algorithm: str) -> Secret:
    """Unwrap a key block of version B or D.

    Args:
        block: the block's text; blanks around it are stripped.
        protection_key: the key block protection key (KBPK) shared with the sender: TDES of 16 or 24 bytes for
            version B, AES of 16, 24 or 32 for D.
        purpose, algorithm: what the key is to be here; the authenticated header must agree.

    Raises:
        ConfigError: not a block, another version, usage or algorithm, or another protection key.
    """
    text = block.strip()
    if not _HEADER_CHARS < len(text) <= BLOCK_CHARS_MAX or not text.isascii():
        raise ConfigError(f"a TR-31 block is {_HEADER_CHARS + 1} to {BLOCK_CHARS_MAX} ASCII characters")
    version = _VERSIONS.get(text[0])
    if version is None:
        raise ConfigError("only TR-31 blocks of version B (TDES) and D (AES) are read")
    if text[1:5] != f"{len(text):04d}":
        raise ConfigError(f"the TR-31 block has {len(text)} characters; its header says another length")
    header_chars = _header_chars(text)
    encryption_key, mac_key = _derive(version, protection_key)
    blob = _unhex(text[header_chars:])
    encrypted, mac = blob[: -version.block_bytes], blob[-version.block_bytes :]
    if not encrypted or len(encrypted) % version.block_bytes:
        raise ConfigError(_NO_OPEN)
    decryptor = Cipher(_keyed(version, encryption_key), modes.CBC(mac)).decryptor()
    data = decryptor.update(encrypted)
    if not hmac.compare_digest(_cmac(version, mac_key, text[:header_chars].encode() + data), mac):
        raise ConfigError(_NO_OPEN)
    _check_use(text, purpose, algorithm)
    return Secret(_key_of(data, algorithm))


def write_block(
    secret: Secret,
    protection_key: Secret,
    purpose: KeyPurpose,
    algorithm: str,
    entropy: Entropy = os.urandom,
) -> str:
    """Wrap a key for a partner: version B for TDES keys, D for all others; not exportable any further.

    Raises:
        ConfigError: TR-31 has no place for the purpose or algorithm, or the protection key is weaker than the key.
    """
    use, letter = _use(purpose), _letter(algorithm)
    key = secret.reveal()
    check_length(algorithm, key)
    if len(protection_key.reveal()) < KEY_BYTES[algorithm]:
        raise ConfigError("the protection key is shorter than the key: no key is wrapped under a weaker one")
    name = "B" if letter == "T" else "D"
    version = _VERSIONS[name]
    encryption_key, mac_key = _derive(version, protection_key)
    data = (8 * len(key)).to_bytes(2, "big") + key + entropy(_PADDED_BYTES.get(letter, len(key)) - len(key))
    data += entropy(-len(data) % version.block_bytes)
    length = _HEADER_CHARS + 2 * (len(data) + version.block_bytes)
    header = f"{name}{length:04d}{use.usage}{letter}{use.mode}00N0000"
    mac = _cmac(version, mac_key, header.encode() + data)
    encryptor = Cipher(_keyed(version, encryption_key), modes.CBC(mac)).encryptor()
    return header + (encryptor.update(data) + mac).hex().upper()


def _derive(version: _Version, protection_key: Secret) -> tuple[bytes, bytes]:
    """Derive encryption and MAC key: CMAC over counter, usage, zero, algorithm and length in bits."""
    key = protection_key.reveal()
    algorithm = version.algorithms.get(len(key))
    if algorithm is None:
        lengths = " or ".join(map(str, version.algorithms))
        raise ConfigError(f"the protection key of this version has {lengths} bytes")
    tail = b"\x00" + algorithm.to_bytes(2, "big") + (8 * len(key)).to_bytes(2, "big")
    steps = range(1, -(-len(key) // version.block_bytes) + 1)
    encryption_key, mac_key = (
        b"".join(_cmac(version, key, bytes((counter, 0, usage)) + tail) for counter in steps)[: len(key)]
        for usage in (0, 1)
    )
    return encryption_key, mac_key


def _cmac(version: _Version, key: bytes, data: bytes) -> bytes:
    mac = CMAC(_keyed(version, key))
    mac.update(data)
    return mac.finalize()


def _keyed(version: _Version, key: bytes) -> AES | TripleDES:
    if version.cipher is TripleDES and len(key) == 16:
        return TripleDES(key + key[:8])
    return version.cipher(key)


def _header_chars(text: str) -> int:
    """Give the header's length with its optional blocks: id (2), length (2 hex digits; 00 announces a longer one)."""
    count, end = _number(text[12:14], 10), _HEADER_CHARS
    for _ in range(count):
        length = _number(text[end + 2 : end + 4], 16)
        if length == 0:
            digits = 2 * _number(text[end + 4 : end + 6], 16)  # its length, in bytes
            length = _number(text[end + 6 : end + 6 + digits], 16)
        if length < 4 or end + length > len(text):
            raise ConfigError("an optional block of the TR-31 header runs past its end")
        end += length
    return end


def _number(digits: str, base: int) -> int:
    if not digits.isalnum():
        raise ConfigError("the TR-31 header is damaged")
    try:
        return int(digits, base)
    except ValueError:
        raise ConfigError("the TR-31 header is damaged") from None


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ConfigError(_NO_OPEN) from None


def _key_of(data: bytes, algorithm: str) -> bytes:
    bits = int.from_bytes(data[:2], "big")
    if bits % 8 or 2 + bits // 8 > len(data):
        raise ConfigError("the TR-31 block holds a key of no whole number of bytes")
    key = data[2 : 2 + bits // 8]
    check_length(algorithm, key)
    return key


def _check_use(header: str, purpose: KeyPurpose, algorithm: str) -> None:
    use, letter = _use(purpose), _letter(algorithm)
    if header[5:7] != use.usage:
        raise ConfigError(f"the block's key usage is {header[5:7]}; that of a {purpose} key is {use.usage}")
    if header[7] != letter:
        raise ConfigError(f"the block's algorithm is {header[7]}; that of {algorithm} is {letter}")


def _use(purpose: KeyPurpose) -> _Use:
    use = _USES.get(purpose)
    if use is None:
        raise ConfigError(f"a {purpose} key is this gateway's own: it comes from nobody and goes to nobody")
    return use


def _letter(algorithm: str) -> str:
    letter = _LETTERS.get(algorithm)
    if letter is None:
        raise ConfigError(f"TR-31 has no letter for {algorithm}: bring this key as components")
    return letter
