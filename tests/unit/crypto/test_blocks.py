"""Blocks, MACs, paddings and check values against published answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpmqr.crypto.blocks import (
    aes_cmac,
    aes_ecb,
    aes_kcv,
    mac_algorithm_3,
    odd_parity,
    pad_method_1,
    pad_method_2,
    tdes_ecb,
    tdes_kcv,
)
from cpmqr.errors import ConfigError

KNOWN = json.loads((Path(__file__).parents[2] / "vectors" / "cryptograms.json").read_text("utf-8"))
TDES_KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")


@pytest.mark.parametrize("known", KNOWN["mac_algorithm_3"], ids=lambda known: known["source"])
def test_mac_algorithm_3_gives_the_published_macs(known: dict[str, Any]) -> None:
    mac = mac_algorithm_3(bytes.fromhex(known["key"]), known["text"].encode(), padding=known["padding"])
    assert mac.hex().upper() == known["mac"]


@pytest.mark.parametrize("known", KNOWN["aes_cmac"], ids=lambda known: known["source"])
def test_aes_cmac_gives_the_published_macs(known: dict[str, Any]) -> None:
    assert aes_cmac(bytes.fromhex(known["key"]), bytes.fromhex(known["data"])).hex().upper() == known["mac"]


@pytest.mark.parametrize("known", KNOWN["tdes_kcv"], ids=lambda known: known["source"])
def test_tdes_kcv_gives_the_published_check_value(known: dict[str, Any]) -> None:
    assert tdes_kcv(bytes.fromhex(known["key"])).hex().upper() == known["kcv"]


def test_aes_kcv_is_the_cmac_of_a_zero_block() -> None:
    key = bytes(range(32))
    assert aes_kcv(key) == aes_cmac(key, bytes(16))[:3]
    assert aes_kcv(key) != aes_ecb(key)(bytes(16))[:3]


@given(st.binary(min_size=16, max_size=16), st.binary(max_size=200), st.sampled_from([1, 2]))
def test_mac_algorithm_3_is_single_des_chaining_with_a_tdes_end(
    key: bytes, data: bytes, padding: int
) -> None:
    padded = (pad_method_1 if padding == 1 else pad_method_2)(data, 8)
    single = tdes_ecb(key[:8] * 3)
    chain = bytes(8)
    for at in range(0, len(padded) - 8, 8):
        chain = single(_xor(chain, padded[at : at + 8]))
    assert mac_algorithm_3(key, data, padding=padding) == tdes_ecb(key)(_xor(chain, padded[-8:]))


def test_a_two_key_encryptor_is_that_of_its_24_byte_form() -> None:
    assert tdes_ecb(TDES_KEY)(bytes(16)) == tdes_ecb(TDES_KEY + TDES_KEY[:8])(bytes(16))


def test_a_kept_encryptor_gives_the_same_block_each_time() -> None:
    encrypt = aes_ecb(bytes(16))
    assert encrypt(bytes(16)) == encrypt(bytes(16)) == encrypt(bytes(32))[16:]


@given(st.binary(max_size=64), st.sampled_from([8, 16]))
def test_paddings_fill_up_to_whole_blocks_and_only_method_2_can_be_undone(data: bytes, block: int) -> None:
    first, second = pad_method_1(data, block), pad_method_2(data, block)
    assert len(first) % block == len(second) % block == 0
    assert len(first) >= max(len(data), block)
    assert first.rstrip(b"\x00") == data.rstrip(b"\x00")
    assert second.rstrip(b"\x00") == data + b"\x80"


@given(st.binary(min_size=16, max_size=16))
def test_parity_is_odd_in_every_byte_and_changes_no_ciphertext(key: bytes) -> None:
    adjusted = odd_parity(key)
    assert all(byte.bit_count() % 2 == 1 for byte in adjusted)
    assert all(before >> 1 == after >> 1 for before, after in zip(key, adjusted, strict=True))
    assert tdes_ecb(adjusted)(bytes(8)) == tdes_ecb(key)(bytes(8))


@pytest.mark.parametrize("length", [0, 8, 15, 17, 23, 25, 32])
def test_a_tdes_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ConfigError, match="16 or 24 bytes"):
        tdes_ecb(bytes(length))


@pytest.mark.parametrize("length", [0, 8, 15, 17, 33])
def test_an_aes_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ConfigError, match="16, 24 or 32 bytes"):
        aes_ecb(bytes(length))
    with pytest.raises(ConfigError, match="16, 24 or 32 bytes"):
        aes_cmac(bytes(length), b"")


def test_mac_algorithm_3_refuses_other_keys_and_paddings() -> None:
    with pytest.raises(ConfigError, match="16-byte key"):
        mac_algorithm_3(bytes(24), b"")
    with pytest.raises(ConfigError, match="padding method 3"):
        mac_algorithm_3(bytes(16), b"", padding=3)


def test_a_program_that_turns_warnings_into_errors_can_use_tdes() -> None:
    program = (
        "from cpmqr.crypto.blocks import *; mac_algorithm_3(bytes(range(16)), b'x'); tdes_kcv(bytes(16))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
