"""The dictionary: complete, consistent, and right about the field's payloads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cpmqr.emv import tlv
from cpmqr.emv.meaning import BY_PARTS, DECODERS, aid_name, meaning
from cpmqr.emv.tags import FORMATS, TAGS, name_of

FIELD = json.loads((Path(__file__).parents[2] / "vectors" / "cpm.json").read_text("utf-8"))


def test_it_knows_150_tags_and_all_of_cpm() -> None:
    assert len(TAGS) >= 150
    cpm = (
        "4F 50 57 5A 5F20 5F2D 5F50 9F08 9F19 9F24 9F25 61 62 63 64 85 9F26 9F27 9F10 9F36 82 9F37 5F34 9F74"
    )
    assert not [tag for tag in cpm.split() if tag not in TAGS]


@pytest.mark.parametrize("tag", sorted(TAGS))
def test_each_line_is_sound(tag: str) -> None:
    known = TAGS[tag]
    assert tlv.parse(bytes.fromhex(tag) + b"\x00")[0].tag == tag
    assert known.name
    assert known.source
    assert 0 <= known.length_min <= known.length_max
    assert known.format in FORMATS
    assert known.mask in {"", "pan", "track2", "all"}
    assert known.decoder in {"", *DECODERS, *BY_PARTS}


def test_limits_are_told_at_each_edge() -> None:
    known = TAGS["4F"]
    assert known.fault(bytes(5)) is None
    assert known.fault(bytes(16)) is None
    assert known.fault(bytes(4)) == ("length", "4 bytes, not 5 to 16")
    assert known.fault(bytes(17)) == ("length", "17 bytes, not 5 to 16")
    assert TAGS["9F26"].fault(bytes(7)) == ("length", "7 bytes, not 8")


@pytest.mark.parametrize(
    ("tag", "good", "bad"),
    [
        ("5F34", b"\x02", b"\x0a"),
        ("5A", bytes.fromhex("9360091400000000001F"), bytes.fromhex("93F0091400000000001F")),
        ("5A", bytes.fromhex("12345678"), b"\xff\xff"),
        ("89", b"A1b2C3", b"A1 2C3"),
        ("50", b"QRIS CPM", b"QRIS-CPM"),
        ("5F20", b"CARDHOLDER/EMV", b"CARD\nHOLDER"),
        ("5F2D", b"koen", b"koe"),
        ("5F2D", b"koen", b"ko12"),
        ("9F24", b"A" * 29, b"a" * 29),
        ("57", bytes.fromhex("5350206900000066D2007601"), bytes.fromhex("535020690000006612007601")),
    ],
)
def test_formats_are_judged(tag: str, good: bytes, bad: bytes) -> None:
    assert TAGS[tag].fault(good) is None
    fault = TAGS[tag].fault(bad)
    assert fault is not None
    assert fault[0] == "format"


def test_unknown_tags_have_a_name_too() -> None:
    assert name_of("9F26") == "Application Cryptogram (AC)"
    assert name_of("C1") == "Private to its issuer"
    assert name_of("9F01FF") == "Unknown"


@pytest.mark.parametrize(
    ("tag", "value", "words"),
    [
        ("9F36", "008B", "139"),
        ("9F27", "80", "ARQC (the issuer is to decide)"),
        ("9F27", "40", "TC (approved offline)"),
        ("5F28", "0410", "KR, South Korea"),
        ("5F2A", "0410", "KRW, South Korean won"),
        ("5F2A", "0999", "999: not in our table"),
        ("5F2D", "6B6F656E", "Korean, then English"),
        ("9A", "261123", "2026-11-23"),
        ("9F21", "090000", "09:00:00"),
        ("82", "0000", "nothing set, as is usual in a QR"),
        ("82", "1980", "cardholder verification, terminal risk management, CDA, EMV mode"),
        ("95", "8000048000", "no data authentication, online PIN entered, over floor limit"),
        ("95", "0000000001", "reserved bit 1 of byte 5"),
        ("5A", "5350206900000066", "535020******0066, 16 digits"),
        ("9F08", "0010", "16"),
        ("9F02", "000000012000", "12000 in minor units"),
        ("9F38", "9F66049F0206", "asks for 9F66 9F02"),
        ("9C", "20", "refund"),
        ("50", "5152495343504D", "“QRISCPM”"),
        ("50", "00", ""),
        ("9F36", "", ""),
        ("C1", "01", ""),
    ],
)
def test_values_are_said_in_words(tag: str, value: str, words: str) -> None:
    assert meaning(tag, bytes.fromhex(value)) == words


@pytest.mark.parametrize("tag", sorted(TAGS))
def test_words_are_found_for_any_bytes_without_an_error(tag: str) -> None:
    for value in (b"\x00", b"\xff", bytes(3), b"\xff" * 9, b"\x9f", b"A" * 300, bytes(range(256))):
        assert isinstance(meaning(tag, value), str)


def test_schemes_are_known_by_the_beginning_of_their_aid() -> None:
    assert aid_name("A000000333010101") == "UnionPay debit"
    assert aid_name("A0000003330101019F").startswith("UnionPay debit, extended by")
    assert aid_name("A000000333FF") == "UnionPay, extended by FF"
    assert aid_name("4743415348") == ""


def test_every_valid_payload_of_the_field_obeys_the_dictionary() -> None:
    for entry in FIELD:
        if entry["expected"] != "valid":
            continue
        for item in tlv.walk(tlv.parse(bytes.fromhex(entry["hex"]))):
            assert item.tag in TAGS, entry["id"]
            assert TAGS[item.tag].fault(item.value) is None, (entry["id"], item.tag)
