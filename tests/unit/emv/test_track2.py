"""Track 2 equivalent data: reading, writing, masking."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpmqr.emv.card import CardData
from cpmqr.emv.track2 import Track2, is_track2, service_code_meaning
from cpmqr.errors import DecodeError, EncodeError

SAMPLE = bytes.fromhex("5350206900000066D20076010000000000099F")
digits = st.text("0123456789", min_size=0, max_size=40)


def test_the_pages_track_2_is_taken_apart() -> None:
    track2 = Track2.from_bytes(SAMPLE)
    assert track2 == Track2("5350206900000066", "2007", "601", "0000000000099")
    assert track2.to_bytes() == SAMPLE


def test_it_prints_masked() -> None:
    track2 = Track2.from_bytes(SAMPLE)
    assert track2.masked == "535020******0066D2007601*************"
    assert repr(track2) == "<track 2 535020******0066D2007601*************>"


@given(
    st.text("0123456789", min_size=1, max_size=19),
    st.text("0123456789", min_size=4, max_size=4),
    st.text("0123456789", min_size=3, max_size=3),
    st.text("0123456789", max_size=30),
)
def test_what_is_written_is_read_back(pan: str, expiry: str, service_code: str, discretionary: str) -> None:
    track2 = Track2(pan, expiry, service_code, discretionary)
    if len(pan + discretionary) + 8 > 38:
        with pytest.raises(EncodeError, match="over 19 bytes"):
            track2.to_bytes()
    else:
        assert Track2.from_bytes(track2.to_bytes()) == track2


@given(st.binary(max_size=24))
def test_reading_and_testing_agree(value: bytes) -> None:
    if is_track2(value):
        assert Track2.from_bytes(value).to_bytes() == value
    else:
        with pytest.raises(DecodeError):
            Track2.from_bytes(value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "no D"),
        ("5350206900000066", "no D"),
        ("5350206900000066D2007F", "service code is missing"),
        ("D2007601F0", "digits, one D and one F"),
        ("D200760100", "the PAN is missing"),
        ("53502069A0000066D2007601", "digits, one D"),
        ("5350206900000066D2007601D0", "digits, one D"),
        ("5350206900000066D200760100FF", "digits, one D"),
        ("12345678901234567890D2007601", "PAN of over 19 digits"),
        ("5350206900000066D2007601" + "0" * 16, "over 19 bytes"),
    ],
)
def test_what_is_no_track_2_is_refused_without_its_digits(value: str, reason: str) -> None:
    octets = bytes.fromhex(value + "F" * (len(value) % 2))
    with pytest.raises(DecodeError, match=reason) as caught:
        Track2.from_bytes(octets)
    assert "5350" not in str(caught.value)


@pytest.mark.parametrize("field", ["pan", "expiry", "service_code", "discretionary"])
def test_a_part_that_is_no_digits_is_not_written(field: str) -> None:
    parts = {"pan": "5350206900000066", "expiry": "2007", "service_code": "601", "discretionary": "09"}
    with pytest.raises(EncodeError):
        Track2(**(parts | {field: "12A4"})).to_bytes()


def test_a_cards_track_2_is_the_same_as_the_models() -> None:
    card = CardData("5350206900000066", "02", "2007", "601", "0000000000099")
    assert card.track2 == SAMPLE
    assert CardData("535020690000006", "02", "2007", "601", "09").track2[-1] & 0x0F == 0x0F


def test_a_service_code_is_said_in_words() -> None:
    assert service_code_meaning("601") == "national, chip; authorised as usual; no restrictions"
    assert "reserved" in service_code_meaning("333")
