"""Issuer application data by scheme."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpmqr.emv.iad import cvr_meaning, read_iad

BC = bytes.fromhex("0509A000080000000000000020200611175121 01")
UNIONPAY = bytes.fromhex("07000103A0000001083939393930333133")


def test_the_korean_layout_is_read_and_its_guesses_are_marked() -> None:
    read = read_iad(BC, "D4100000014010")
    assert (read.key_index, read.cryptogram_version) == ("05", "09")
    assert [field.name for field in read.fields if field.inferred] == [
        "key index",
        "cryptogram version",
        "CVR",
    ]
    assert "2020-06-11 17:51:21 Korean time" in [field.meaning for field in read.fields]


def test_the_korean_layout_is_not_read_into_another_schemes_data() -> None:
    assert read_iad(BC, "A000000333010101").fields == ()
    assert read_iad(BC, None).fields == ()


def test_unionpays_layout_is_read() -> None:
    read = read_iad(UNIONPAY, "A000000333010101")
    assert read.layout == "UnionPay"
    assert (read.key_index, read.cryptogram_version) == ("00", "01")
    assert read.fields[-1].meaning == "“99990313”"


def test_emvcos_example_is_of_visas_layout() -> None:
    assert read_iad(bytes.fromhex("06010A03000000"), "A0000000555555").layout == "VIS, 6 bytes"


@pytest.mark.parametrize("value", [BC, UNIONPAY, bytes.fromhex("06010A03A4200098765432")])
@pytest.mark.parametrize("aid", ["D4100000014010", "A000000333010101"])
def test_the_fields_are_all_of_the_bytes_in_their_order(value: bytes, aid: str) -> None:
    read = read_iad(value, aid)
    if read.fields:
        assert b"".join(field.value for field in read.fields) == value
        assert [field.offset for field in read.fields] == [
            sum(len(before.value) for before in read.fields[:number]) for number in range(len(read.fields))
        ]


@pytest.mark.parametrize(
    ("cvr", "words"),
    [
        ("03A00000", "second cryptogram not requested; first cryptogram: ARQC"),
        (
            "03A40020",
            "second cryptogram not requested; first cryptogram: ARQC; offline PIN verification performed; "
            "2 issuer scripts",
        ),
        ("03001000", "second cryptogram: AAC; first cryptogram: AAC; new card"),
        ("04A0000000", ""),
        ("", ""),
    ],
)
def test_card_verification_results_are_said_in_words(cvr: str, words: str) -> None:
    assert cvr_meaning(bytes.fromhex(cvr)) == words


@given(st.binary(max_size=40), st.sampled_from([None, "D4100000014010", "A000000333010101", ""]))
def test_any_bytes_are_read_without_an_error(value: bytes, aid: str | None) -> None:
    read = read_iad(value, aid)
    assert bool(read.fields) == bool(read.layout)
