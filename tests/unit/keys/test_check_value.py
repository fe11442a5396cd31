from __future__ import annotations

import hmac

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import SEED
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from cpmqr.errors import ConfigError
from cpmqr.keys.check_value import KEY_BYTES, check_value

KEY_16 = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
KEY_32 = KEY_16 + bytes(range(16))


def cmac_of_zeros_by_hand(algorithm: AES | SEED) -> bytes:
    """CMAC of one zero block, from SP 800-38B's definition: E(K1), K1 = 2·E(0) in GF(2^128)."""
    encrypt = Cipher(algorithm, modes.ECB()).encryptor().update
    doubled = int.from_bytes(encrypt(bytes(16)), "big") << 1
    subkey = (doubled ^ (0x87 if doubled >> 128 else 0)) & ((1 << 128) - 1)
    return encrypt(subkey.to_bytes(16, "big"))


def test_check_value_of_a_tdes_key_is_the_one_that_every_hsm_prints() -> None:
    # The industry's test key: 08D7B4FB629D0885 is its encrypted zero block.
    assert check_value("tdes-112", KEY_16) == "08D7B4"


@pytest.mark.parametrize(("algorithm", "key"), [("aes-128", KEY_16), ("aes-256", KEY_32)])
def test_check_value_of_an_aes_key_is_the_cmac_of_a_zero_block(algorithm: str, key: bytes) -> None:
    assert check_value(algorithm, key) == cmac_of_zeros_by_hand(AES(key))[:3].hex().upper()


def test_check_value_of_an_aes_key_gives_no_byte_of_an_encrypted_zero_block_away() -> None:
    encrypted_zeros = Cipher(AES(KEY_32), modes.ECB()).encryptor().update(bytes(16))
    assert check_value("aes-256", KEY_32) != encrypted_zeros[:3].hex().upper()


def test_check_value_of_a_seed_key_follows_aes() -> None:
    assert check_value("seed-128", KEY_16) == cmac_of_zeros_by_hand(SEED(KEY_16))[:3].hex().upper()


def test_check_value_of_an_hmac_key_is_the_hmac_of_nothing() -> None:
    assert check_value("hmac-sha256", KEY_32) == hmac.digest(KEY_32, b"", "sha256")[:3].hex().upper()


@pytest.mark.parametrize("algorithm", sorted(KEY_BYTES))
def test_check_value_refuses_every_other_key_length(algorithm: str) -> None:
    for length in {0, 1, 15, 16, 17, 24, 31, 32, 33, 64, 65} - {KEY_BYTES[algorithm]}:
        with pytest.raises(ConfigError, match=r"bytes, this one has"):
            check_value(algorithm, bytes(length))


def test_check_value_of_a_plugged_in_scheme_takes_16_to_64_bytes() -> None:
    assert len(check_value("aria-256", bytes(range(32)))) == 6
    for length in (15, 65):
        with pytest.raises(ConfigError, match="16 to 64"):
            check_value("aria-256", bytes(length))
