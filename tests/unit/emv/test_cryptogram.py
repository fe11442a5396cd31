"""Key derivation and cryptograms against published answers, and against EMV Book 2 spelled out once more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpmqr.crypto.blocks import aes_cmac, aes_ecb, mac_algorithm_3, odd_parity, tdes_ecb
from cpmqr.emv import derive
from cpmqr.emv.cryptogram import (
    AES_128,
    AES_256,
    TDES_OPTION_A,
    TDES_OPTION_B,
    CryptogramScheme,
    arpc_method_1,
    arpc_method_2,
    generate_arqc,
    verify_arqc,
)
from cpmqr.errors import EncodeError

VECTORS = Path(__file__).parents[2] / "vectors"
KNOWN = json.loads((VECTORS / "cryptograms.json").read_text("utf-8"))
CONTRACT = json.loads((VECTORS / "contract.json").read_text("utf-8"))["payload"]
MASTER_KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
SCHEMES = [TDES_OPTION_A, TDES_OPTION_B, AES_128, AES_256]
pans = st.text("0123456789", min_size=1, max_size=19)
psns = st.text("0123456789", min_size=2, max_size=2)


def encryptor(scheme: CryptogramScheme) -> derive.EncryptBlocks:
    key = bytes(range(scheme.key_bytes))
    return aes_ecb(key) if scheme.algorithm == "aes" else tdes_ecb(key)


@pytest.mark.parametrize("known", KNOWN["icc_master_key"], ids=lambda known: known["source"])
def test_icc_master_keys_are_the_published_ones(known: dict[str, Any]) -> None:
    make = derive.icc_master_key_a if known["option"] == "a" else derive.icc_master_key_b
    key = make(tdes_ecb(bytes.fromhex(known["master_key"])), known["pan"], known["psn"])
    assert odd_parity(key).hex().upper() == known["icc_master_key"]


@pytest.mark.parametrize("known", KNOWN["session_key"], ids=lambda known: known["source"])
def test_session_keys_are_the_published_ones(known: dict[str, Any]) -> None:
    key = derive.session_key_tdes(tdes_ecb(bytes.fromhex(known["icc_master_key"])), known["atc"])
    assert odd_parity(key).hex().upper() == known["session_key"]


@pytest.mark.parametrize("known", KNOWN["arqc"], ids=lambda known: known["source"])
def test_arqcs_are_the_published_ones(known: dict[str, Any]) -> None:
    mac = mac_algorithm_3(bytes.fromhex(known["session_key"]), bytes.fromhex(known["data"]))
    assert mac.hex().upper() == known["arqc"]


@pytest.mark.parametrize("known", KNOWN["arpc_method_1"], ids=lambda known: known["source"])
def test_arpcs_of_method_1_are_the_published_ones(known: dict[str, Any]) -> None:
    values = [bytes.fromhex(known[name]) for name in ("session_key", "arqc", "response_code")]
    assert arpc_method_1(*values).hex().upper() == known["arpc"]


@pytest.mark.parametrize("known", KNOWN["arpc_method_2"], ids=lambda known: known["source"])
def test_arpcs_of_method_2_are_the_published_ones(known: dict[str, Any]) -> None:
    values = [bytes.fromhex(known[name]) for name in ("session_key", "arqc", "card_status_update")]
    assert arpc_method_2(*values).hex().upper() == known["arpc"]


@pytest.mark.parametrize("example", CONTRACT, ids=lambda example: f"atc {example['atc']}")
def test_the_contracts_keys_are_derived(example: dict[str, Any]) -> None:
    card_key = derive.icc_master_key_a(
        tdes_ecb(bytes.fromhex(example["issuer_master_key_hex"])), example["pan"], example["psn"]
    )
    assert odd_parity(card_key).hex() == example["icc_master_key_hex"]
    assert (
        odd_parity(derive.session_key_tdes(tdes_ecb(card_key), example["atc"])).hex()
        == example["session_key_hex"]
    )


@given(pans, psns, st.integers(0, 0xFFFF), st.binary(max_size=80))
def test_aes_128_follows_book_2_step_by_step(pan: str, psn: str, atc: int, data: bytes) -> None:
    master = aes_ecb(bytes(range(16)))
    card_key = master(bytes.fromhex((pan + psn).rjust(32, "0")))
    session_key = aes_ecb(card_key)(atc.to_bytes(2, "big") + bytes(14))
    assert generate_arqc(master, pan, psn, atc, data, AES_128) == aes_cmac(session_key, data)[:8]


@given(pans, psns, st.integers(0, 0xFFFF), st.binary(max_size=80))
def test_aes_256_follows_book_2_step_by_step(pan: str, psn: str, atc: int, data: bytes) -> None:
    master = aes_ecb(bytes(range(32)))
    number = int((pan + psn).rjust(32, "0"), 16)
    card_key = master(number.to_bytes(16, "big")) + master((number ^ (1 << 128) - 1).to_bytes(16, "big"))
    card = aes_ecb(card_key)
    counter = atc.to_bytes(2, "big")
    session_key = card(counter + b"\xf0" + bytes(13)) + card(counter + b"\x0f" + bytes(13))
    assert generate_arqc(master, pan, psn, atc, data, AES_256) == aes_cmac(session_key, data)[:8]


def test_a_192_bit_key_is_cut_from_the_left() -> None:
    encrypt = aes_ecb(bytes(32))
    assert (
        derive.session_key_aes(encrypt, 1, key_bytes=24)
        == derive.session_key_aes(encrypt, 1, key_bytes=32)[:24]
    )
    both = derive.icc_master_key_aes(encrypt, "1", "00", key_bytes=32)
    assert derive.icc_master_key_aes(encrypt, "1", "00", key_bytes=24) == both[:24]


def test_option_b_takes_letters_of_the_hash_when_its_digits_are_too_few() -> None:
    # SHA-1 of this PAN and PSN has only 14 decimal digits (found by search), so two letters are decimalised.
    import hashlib

    pan = next(
        f"{number:017d}"
        for number in range(10_000_000)
        if sum(c.isdigit() for c in hashlib.sha1(bytes.fromhex(f"0{number:017d}00")).hexdigest()) < 16
    )
    digest = hashlib.sha1(bytes.fromhex(f"0{pan}00")).hexdigest()
    digits = "".join(c for c in digest if c.isdigit())
    letters = "".join("012345"["abcdef".index(c)] for c in digest if c.isalpha())
    block = bytes.fromhex((digits + letters)[:16])
    encrypt = tdes_ecb(MASTER_KEY)
    assert derive.icc_master_key_b(encrypt, pan, "00")[:8] == encrypt(block)


@pytest.mark.parametrize(
    "scheme", SCHEMES, ids=lambda scheme: f"{scheme.algorithm}-{scheme.option}-{scheme.key_bytes}"
)
def test_a_cryptogram_verifies_and_nothing_else_does(scheme: CryptogramScheme) -> None:
    encrypt = encryptor(scheme)
    values: tuple[Any, ...] = (encrypt, "5350206900000066", "02", 139, b"data")
    arqc = generate_arqc(*values, scheme)
    assert len(arqc) == 8
    assert verify_arqc(*values, arqc, scheme)
    for bit in range(64):
        changed = (int.from_bytes(arqc, "big") ^ 1 << bit).to_bytes(8, "big")
        assert not verify_arqc(*values, changed, scheme)
    assert not verify_arqc(*values, arqc[:7], scheme)
    assert not verify_arqc(*values, b"", scheme)
    assert not verify_arqc(encrypt, "5350206900000066", "02", 140, b"data", arqc, scheme)
    assert not verify_arqc(encrypt, "5350206900000066", "03", 139, b"data", arqc, scheme)
    assert not verify_arqc(encrypt, "5350206900000066", "02", 139, b"Data", arqc, scheme)


@pytest.mark.parametrize("atc", [-1, 65536])
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.master_key_algorithm)
def test_a_counter_that_does_not_fit_two_bytes_is_refused(scheme: CryptogramScheme, atc: int) -> None:
    with pytest.raises(EncodeError, match="65535"):
        generate_arqc(encryptor(scheme), "1234", "00", atc, b"", scheme)


@pytest.mark.parametrize(
    ("pan", "psn"), [("", "00"), ("1" * 20, "00"), ("12a4", "00"), ("1234", "0"), ("1234", "000")]
)
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.master_key_algorithm)
def test_a_pan_or_psn_that_is_none_is_refused(scheme: CryptogramScheme, pan: str, psn: str) -> None:
    with pytest.raises(EncodeError) as caught:
        generate_arqc(encryptor(scheme), pan, psn, 1, b"", scheme)
    assert "12a4" not in str(caught.value)


def test_an_arpc_refuses_wrong_lengths() -> None:
    key = bytes(16)
    with pytest.raises(EncodeError, match="ARQC is 8 bytes"):
        arpc_method_1(key, bytes(7), bytes(2))
    with pytest.raises(EncodeError, match="response code is 2 bytes"):
        arpc_method_1(key, bytes(8), bytes(3))
    with pytest.raises(EncodeError, match="card status update is 4 bytes"):
        arpc_method_2(key, bytes(8), bytes(3))
    with pytest.raises(EncodeError, match="at most 8 bytes"):
        arpc_method_2(key, bytes(8), bytes(4), bytes(9))


def test_an_aes_arpc_of_method_2_is_a_cut_cmac() -> None:
    key = bytes(range(16))
    assert (
        arpc_method_2(key, b"12345678", b"abcd", b"xyz", algorithm="aes")
        == aes_cmac(key, b"12345678abcdxyz")[:4]
    )
