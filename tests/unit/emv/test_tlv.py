"""BER-TLV: round trips, every truncation, every limit and one more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpmqr.emv import tlv
from cpmqr.errors import DecodeError, EncodeError

FIELD = json.loads((Path(__file__).parents[2] / "vectors" / "cpm.json").read_text("utf-8"))
READABLE = [bytes.fromhex(entry["hex"]) for entry in FIELD if "hex" in entry and entry["expected"] == "valid"]

primitive_tags = st.sampled_from(
    ["4F", "50", "57", "5A", "82", "9F26", "9F10", "5F2D", "C1", "DF01", "9F8101", "DF817F"]
)
template_tags = st.sampled_from(["61", "62", "63", "70", "BF0C", "E1", "FF01"])


def objects() -> st.SearchStrategy[tlv.DataObject]:
    """Give objects up to three templates deep."""
    any_object = st.builds(tlv.primitive, primitive_tags, st.binary(max_size=300))
    for _ in range(3):
        any_object |= st.builds(
            lambda tag, children: tlv.template(tag, *children),
            template_tags,
            st.lists(any_object, max_size=3),
        )
    return any_object


def shape(item: tlv.DataObject) -> tuple[object, ...]:
    return (item.tag, item.value, tuple(shape(child) for child in item.children))


@given(st.lists(objects(), max_size=4))
def test_what_is_built_is_read_back(built: list[tlv.DataObject]) -> None:
    data = tlv.build(built)
    read = tlv.parse(data)
    assert [shape(item) for item in read] == [shape(item) for item in built]
    assert tlv.build(read) == data


@given(st.lists(objects(), min_size=1, max_size=3))
def test_each_object_keeps_its_place_and_its_bytes(built: list[tlv.DataObject]) -> None:
    data = tlv.build(built)
    objects_read, _ = tlv.parse_tolerantly(data)
    for item in tlv.walk(objects_read):
        assert data[item.offset : item.offset + len(item.raw)] == item.raw
        assert data[item.value_offset : item.value_offset + len(item.value)] == item.value


@given(st.binary(max_size=600))
def test_any_bytes_give_objects_or_the_typed_error(data: bytes) -> None:
    tolerant, faults = tlv.parse_tolerantly(data)
    if not faults:
        assert tlv.parse(data) == tolerant
        assert tlv.build(tolerant) == data
        return
    with pytest.raises(DecodeError) as caught:
        tlv.parse(data)
    assert str(caught.value) == str(faults[0])
    assert caught.value.section == tlv.SECTION
    assert caught.value.offset is not None
    assert 0 <= caught.value.offset < len(data)


@pytest.mark.parametrize("data", READABLE, ids=lambda data: data[16:21].hex())
def test_every_truncation_is_refused_or_ends_between_objects(data: bytes) -> None:
    ends = {0} | {item.offset + len(item.raw) for item in tlv.parse(data)}
    for cut in range(len(data)):
        if cut in ends:
            assert tlv.build(tlv.parse(data[:cut])) == data[:cut]
        else:
            with pytest.raises(DecodeError):
                tlv.parse(data[:cut])


@pytest.mark.parametrize(
    ("length", "octets"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7F"),
        (128, "8180"),
        (255, "81FF"),
        (256, "820100"),
        (65535, "82FFFF"),
        (65536, "83010000"),
    ],
)
def test_lengths_take_the_fewest_bytes(length: int, octets: str) -> None:
    assert tlv.length_octets(length).hex().upper() == octets


@pytest.mark.parametrize(
    ("data", "reason", "offset"),
    [
        ("5780", "indefinite length", 0),
        ("4F00 5780 0000", "indefinite length", 2),
        ("57", "no length follows", 0),
        ("5F", "does not end", 0),
        ("9F81", "does not end", 0),
        ("9F8180807F00", "more than 4 bytes", 0),
        ("00", "00 is no tag", 0),
        ("FFFFFF", "does not end", 0),
        ("4F05 01020304", "length 5 runs past the end", 0),
        ("6104 4F05 0102 030405", "length 5 runs past the end", 2),
        ("61 03 4F 02 01", "length 2 runs past the end", 2),
        ("5785 0000000001 00", "85 is no length that fits", 0),
        ("57FF 00", "FF is no length that fits", 0),
        ("5781", "81 is no length that fits", 0),
        ("5784 FFFFFFFF 00", "length 4294967295 runs past the end", 0),
    ],
)
def test_what_is_no_tlv_is_refused_with_its_place(data: str, reason: str, offset: int) -> None:
    with pytest.raises(DecodeError, match=reason) as caught:
        tlv.parse(bytes.fromhex(data))
    assert caught.value.offset == offset
    assert caught.value.section == "EMV Book 3 Annex B"


def test_templates_may_nest_eight_deep_and_no_deeper() -> None:
    def nested(depth: int) -> bytes:
        data = b""
        for _ in range(depth):
            data = b"\x61" + tlv.length_octets(len(data)) + data
        return data

    assert len(list(tlv.walk(tlv.parse(nested(tlv.DEPTH_MAX))))) == tlv.DEPTH_MAX
    with pytest.raises(DecodeError, match="nested more than 8 deep"):
        tlv.parse(nested(tlv.DEPTH_MAX + 1))


def test_64_kib_are_read_and_a_byte_more_is_not() -> None:
    data = tlv.primitive("5A", bytes(tlv.BYTES_MAX - 4)).raw
    assert len(data) == tlv.BYTES_MAX
    assert tlv.build(tlv.parse(data)) == data
    with pytest.raises(DecodeError, match="over 65536 bytes"):
        tlv.parse(data + b"\x00")


@pytest.mark.parametrize("data", ["61811A" + "00" * 0, "57810101", "5782000101", "57840000000101"])
def test_a_length_longer_than_needed_is_kept_as_it_was(data: str) -> None:
    octets = bytes.fromhex(data if data != "61811A" else "61810357 01 01".replace(" ", ""))
    item = tlv.parse(octets)[0]
    assert item.odd_header
    assert item.raw == octets


def test_repeated_tags_and_order_survive() -> None:
    data = bytes.fromhex("4F0101 4F0102 500103 4F0104")
    assert [item.value[0] for item in tlv.parse(data)] == [1, 2, 3, 4]
    assert tlv.build(tlv.parse(data)) == data


def test_a_length_without_its_81_is_refused_with_the_reason_and_read_leniently() -> None:
    value = bytes(147)
    data = b"\x57\x93" + value
    with pytest.raises(DecodeError, match="93 is no length; read as 147 it fits: the issuer left out 81"):
        tlv.parse(data)
    read, forgiven = tlv.parse_leniently(data)
    assert read[0].value == value
    assert read[0].raw == data
    assert len(forgiven) == 1


def test_a_lenient_reading_forgives_nothing_else() -> None:
    with pytest.raises(DecodeError, match="runs past the end"):
        tlv.parse_leniently(bytes.fromhex("570301"))


def test_an_opaque_template_stays_closed() -> None:
    data = bytes.fromhex("61 06 63 04 FFFFFFFF")
    with pytest.raises(DecodeError):
        tlv.parse(data)
    closed = tlv.parse(data, opaque=frozenset({"63"}))[0].first("63")
    assert closed is not None
    assert closed.children == ()
    assert closed.value == b"\xff" * 4


@pytest.mark.parametrize(
    "tag", ["", "5", "5f20", "5F", "9F8", "00", "FF", "FFFF", "4F50", "zz", "9F81018101", "5f"]
)
def test_a_tag_that_is_none_can_not_be_built(tag: str) -> None:
    with pytest.raises(EncodeError):
        tlv.primitive(tag, b"")


def test_values_and_templates_are_not_mixed_up() -> None:
    with pytest.raises(EncodeError, match="61 is a template's tag"):
        tlv.primitive("61", b"")
    with pytest.raises(EncodeError, match="4F is not a template's tag"):
        tlv.template("4F")


def test_an_object_prints_without_its_value() -> None:
    item = tlv.parse(bytes.fromhex("5A085350206900000066"))[0]
    assert repr(item) == "<5A at 0, 8 bytes>"
