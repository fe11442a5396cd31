"""TDES and AES over whole blocks, and the MACs, paddings and check values that EMV builds from them.

Pure: bytes and keys, no meaning. A key that lives long (an issuer's master key) is kept as a keyed object,
`EncryptBlocks`: to key a cipher costs five to ten times as much as to encrypt a block with it.

TDES is legacy, but EMV cards and their issuers still speak it. `cryptography` keeps it among the decrepit
algorithms and will stop taking short keys, so it always gets 24 bytes here: K1 K2 K1 for a two-key one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from cpmqr.errors import ConfigError

EncryptBlocks = Callable[[bytes], bytes]
"""ECB under a key that stays where it is: n whole blocks in, n whole blocks out. An HSM can stand behind it."""

Mac = Callable[[bytes], bytes]
"""A MAC under a key that stays where it is: bytes of any length in, the MAC out."""

TDES_BLOCK_BYTES: Final = 8
AES_BLOCK_BYTES: Final = 16

_ECB: Final = ECB()  # noqa: S305 - EMV encrypts single blocks that never repeat under one key
_SHA256: Final = SHA256()
_TDES_CBC: Final = CBC(bytes(TDES_BLOCK_BYTES))
_ODD_PARITY: Final = bytes(byte if byte.bit_count() % 2 else byte ^ 1 for byte in range(256))


def tdes_ecb(key: bytes) -> EncryptBlocks:
    """Key a TDES encryptor over 8-byte blocks.

    Args:
        key: 16 bytes (K1 K2, used as K1 K2 K1) or 24 bytes; parity bits are ignored.

    Raises:
        ConfigError: another length.
    """
    return Cipher(TripleDES(_tdes_24(key)), _ECB).encryptor().update


def aes_ecb(key: bytes) -> EncryptBlocks:
    """Key an AES encryptor over 16-byte blocks.

    Args:
        key: 16, 24 or 32 bytes.

    Raises:
        ConfigError: another length.
    """
    return Cipher(_aes(key), _ECB).encryptor().update


def pad_method_1(data: bytes, block_bytes: int) -> bytes:
    """Fill up with zero bytes to whole blocks; whole blocks stay as they are, nothing becomes one block.

    Source: ISO/IEC 9797-1, padding method 1.
    """
    return data + bytes(-len(data) % block_bytes or (0 if data else block_bytes))


def pad_method_2(data: bytes, block_bytes: int) -> bytes:
    """Append one byte 80, then zero bytes to whole blocks; always adds at least one byte.

    Source: ISO/IEC 9797-1, padding method 2.
    """
    return data + b"\x80" + bytes(-(len(data) + 1) % block_bytes)


def mac_algorithm_3(key: bytes, data: bytes, *, padding: int = 2) -> bytes:
    """Compute the "retail MAC": single DES over all blocks but the last, TDES over the last.

    Chaining is DES-CBC under K1; what ISO calls output transformation 3 (decrypt with K2, encrypt with K1)
    together with the last block's own encryption is one two-key TDES, so two keyed ciphers are enough.

    Args:
        key: 16 bytes, K1 K2.
        data: any length.
        padding: ISO/IEC 9797-1 padding method, 1 or 2.

    Returns:
        8 bytes; who needs a shorter MAC takes the leftmost.

    Raises:
        ConfigError: the key is not 16 bytes, or there is no such padding method.

    Source: ISO/IEC 9797-1, MAC algorithm 3; EMV Book 2 A1.2.
    """
    if len(key) != 16:
        raise ConfigError(f"MAC algorithm 3 takes a 16-byte key, not one of {len(key)} bytes")
    if padding == 2:
        padded = data + b"\x80" + bytes(~len(data) & 7)
    elif padding == 1:
        padded = pad_method_1(data, TDES_BLOCK_BYTES)
    else:
        raise ConfigError(f"padding method {padding}: 1 and 2 are the ones there are")
    key_1, last = key[:8], padded[-8:]
    if len(padded) > TDES_BLOCK_BYTES:
        chained = Cipher(TripleDES(key_1 * 3), _TDES_CBC).encryptor().update(padded[:-8])
        last = (int.from_bytes(chained[-8:]) ^ int.from_bytes(last)).to_bytes(8)
    return Cipher(TripleDES(key + key_1), _ECB).encryptor().update(last)


def aes_cmac(key: bytes, data: bytes) -> bytes:
    """Compute AES-CMAC.

    Args:
        key: 16, 24 or 32 bytes.
        data: any length.

    Returns:
        16 bytes; EMV keeps the leftmost 8 as a cryptogram.

    Raises:
        ConfigError: the key has another length.

    Source: NIST SP 800-38B; EMV Book 2 A1.2 for AES.
    """
    mac = CMAC(_aes(key))
    mac.update(data)
    return mac.finalize()


def hmac_sha256(key: bytes) -> Mac:
    """Key an HMAC-SHA-256 once for many texts: half of the time for a short one.

    Args:
        key: any length; 32 bytes are right.

    Source: FIPS 198-1.
    """
    keyed = HMAC(key, _SHA256)

    def mac(data: bytes) -> bytes:
        one = keyed.copy()
        one.update(data)
        return one.finalize()

    return mac


def tdes_kcv(key: bytes) -> bytes:
    """Give a TDES key's check value: the first 3 bytes of 8 zero bytes encrypted.

    Source: ANSI X9.24-1, the classic check value.
    """
    return tdes_ecb(key)(bytes(TDES_BLOCK_BYTES))[:3]


def aes_kcv(key: bytes) -> bytes:
    """Give an AES key's check value: the first 3 bytes of the CMAC of one zero block.

    Not the classic "encrypt zeros": that one would hand out 3 bytes of the CMAC's own subkey material.

    Source: ANSI X9.24-1:2017 Annex A.
    """
    return aes_cmac(key, bytes(AES_BLOCK_BYTES))[:3]


def odd_parity(key: bytes) -> bytes:
    """Set each byte's lowest bit so that its number of ones is odd, as DES keys are written down.

    The cipher ignores these bits; two derivations agree on paper only when both adjust or neither does.

    Source: FIPS 46-3.
    """
    return key.translate(_ODD_PARITY)


def _tdes_24(key: bytes) -> bytes:
    if len(key) == 16:
        return key + key[:8]
    if len(key) == 24:
        return key
    raise ConfigError(f"a TDES key is 16 or 24 bytes, not {len(key)}")


def _aes(key: bytes) -> AES:
    if len(key) not in (16, 24, 32):
        raise ConfigError(f"an AES key is 16, 24 or 32 bytes, not {len(key)}")
    return AES(key)
