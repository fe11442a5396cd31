from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from hypothesis import given
from hypothesis import strategies as st

from cpmqr.errors import ConfigError
from cpmqr.keys.ceremony import Component, combine, kcv_matches
from cpmqr.keys.check_value import check_value
from cpmqr.model import Secret

# Two components of the industry's test key 0123456789ABCDEFFEDCBA9876543210, whose check value is 08D7B4.
FIRST = bytes.fromhex("11111111111111112222222222222222")
SECOND = bytes.fromhex("1032547698BADCFEDCFE98BA54761032")
WHOLE = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")


def component(part: bytes, algorithm: str = "tdes-112") -> Component:
    return Component(Secret(part), check_value(algorithm, part))


def test_combine_gives_the_xor_of_the_components() -> None:
    secret = combine("tdes-112", [component(FIRST), component(SECOND)], "08D7B4")
    assert secret.reveal() == WHOLE


@given(parts=st.lists(st.binary(min_size=32, max_size=32), min_size=2, max_size=8))
def test_combine_takes_two_to_eight_components_in_any_order(parts: list[bytes]) -> None:
    whole = bytes(32)
    for part in parts:
        whole = bytes(a ^ b for a, b in zip(whole, part, strict=True))
    components = [component(part, "aes-256") for part in parts]
    if len(set(whole)) == 1:
        with pytest.raises(ConfigError, match="two equal components"):
            combine("aes-256", components, check_value("aes-256", whole))
        return
    for order in (components, components[::-1]):
        assert combine("aes-256", order, check_value("aes-256", whole)).reveal() == whole


@pytest.mark.parametrize("count", [0, 1, 9])
def test_combine_refuses_one_component_and_nine(count: int) -> None:
    with pytest.raises(ConfigError, match="2 to 8 components"):
        combine("tdes-112", [component(FIRST)] * count, "08D7B4")


def test_combine_names_the_component_with_a_typing_error_and_its_real_check_value() -> None:
    wrong = Component(Secret(SECOND), "ABCDEF")
    with pytest.raises(ConfigError) as refusal:
        combine("tdes-112", [component(FIRST), wrong], "08D7B4")
    assert str(refusal.value) == (
        f"component 2: its check value is {check_value('tdes-112', SECOND)}, not the one given"
    )


def test_combine_holds_the_whole_against_its_own_check_value() -> None:
    with pytest.raises(ConfigError, match="the combined key: its check value is 08D7B4"):
        combine("tdes-112", [component(FIRST), component(SECOND)], "000000")


@pytest.mark.parametrize("kcv", ["", "08D7", "08D7B", "08D7BG", "08D7B4FB629D08850", "٠٨٠٨٠٨", "08 7B4"])
def test_combine_refuses_a_check_value_that_is_none(kcv: str) -> None:
    with pytest.raises(ConfigError, match="check value"):
        combine("tdes-112", [component(FIRST), component(SECOND)], kcv)


def test_an_hmac_key_may_come_without_check_values() -> None:
    parts = [Component(Secret(bytes([n]) * 31 + b"x"), "") for n in (1, 2, 3)]
    assert combine("hmac-sha256", parts, "").reveal() == bytes(31) + b"x"


def test_combine_refuses_components_of_different_lengths() -> None:
    with pytest.raises(ConfigError, match="component 2: tdes-112 takes a key of 16 bytes"):
        combine("tdes-112", [component(FIRST), Component(Secret(bytes(15)), "08D7B4")], "08D7B4")


def test_combine_refuses_two_equal_components() -> None:
    with pytest.raises(ConfigError, match="two equal components"):
        combine("aes-256", [component(bytes(range(32)), "aes-256")] * 2, check_value("aes-256", bytes(32)))


def test_combine_refuses_single_des_dressed_as_tdes_whatever_the_parity() -> None:
    half = bytes.fromhex("0123456789ABCDEF")
    other_parity = bytes(byte ^ 1 for byte in half)
    whole = half + other_parity
    parts = [bytes(a ^ b for a, b in zip(whole, FIRST, strict=True)), FIRST]
    with pytest.raises(ConfigError, match="single DES"):
        combine("tdes-112", [component(part) for part in parts], check_value("tdes-112", whole))


def test_kcv_matches_compares_as_much_as_there_is_and_in_either_case() -> None:
    for kcv in ("08D7B4", "08d7b4"):
        assert kcv_matches("tdes-112", WHOLE, kcv)
    assert not kcv_matches("tdes-112", WHOLE, "08D7B5")


def test_kcv_matches_takes_the_older_check_value_of_an_aes_key_too() -> None:
    key = bytes(range(32))
    encrypted_zeros = Cipher(AES(key), modes.ECB()).encryptor().update(bytes(16)).hex()
    assert kcv_matches("aes-256", key, encrypted_zeros[:6])
    assert kcv_matches("aes-256", key, encrypted_zeros[:16])
    assert kcv_matches("aes-256", key, check_value("aes-256", key))
    assert not kcv_matches("aes-256", key, encrypted_zeros[2:8])


def test_no_message_repeats_a_component() -> None:
    with pytest.raises(ConfigError) as refusal:
        combine("tdes-112", [component(FIRST), component(SECOND)], "000000")
    assert "1111" not in str(refusal.value)
    assert "<secret>" in repr(component(FIRST))
