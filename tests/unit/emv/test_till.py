"""A till's processing: outcomes in their order, POI data, transparent data, receipt, DE 55."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpmqr.emv import tlv
from cpmqr.emv.till import AIDS_MAX, Outcome, Till
from cpmqr.emv.tlv import DataObject, primitive, template
from cpmqr.errors import ConfigError, EncodeError

FIELD = json.loads((Path(__file__).parents[2] / "vectors" / "cpm.json").read_text("utf-8"))
BY_ID = {entry["id"]: entry for entry in FIELD}
HEAD = primitive("85", b"CPV01")
PAN = primitive("5A", bytes.fromhex("5350206900000066"))
TILL = Till(["A000000333010101", "A0000006022020", "D4100000014010"])


def text(*objects: DataObject) -> str:
    return base64.b64encode(tlv.build(objects)).decode()


def app(aid: str, *objects: DataObject) -> DataObject:
    return template("61", primitive("4F", bytes.fromhex(aid)), *objects)


@pytest.mark.parametrize(
    ("scanned", "outcome", "section"),
    [
        ("https://example.com/pay", Outcome.NOT_EMV, "CPM 5.1.1"),
        ("", Outcome.NOT_EMV, "CPM 5.1.1"),
        ("hQVDUFY*", Outcome.NOT_EMV, "CPM 3.2; RFC 4648"),
        ("hQVDUFYwMWEF", Outcome.NOT_EMV, "EMV Book 3 Annex B"),
        ("8506", Outcome.NOT_EMV, "EMV Book 3 Annex B"),
        (tlv.build([app("A000000333010101", PAN)]), Outcome.NOT_EMV, "CPM 5.1.2"),
        (text(primitive("85", b"CPV02"), app("A000000333010101", PAN)), Outcome.ERROR, "CPM 5.1.3"),
        (text(HEAD), Outcome.ERROR, "CPM 5.1.3"),
        (text(HEAD, template("62", PAN)), Outcome.ERROR, "CPM 5.1.3"),
        (text(HEAD, app("A0000000031010", PAN)), Outcome.NOT_SUPPORTED, "CPM 5.1.6"),
        (text(HEAD, template("61", PAN)), Outcome.NOT_SUPPORTED, "CPM 5.1.6"),
        (text(HEAD, app("A000000333010101")), Outcome.ERROR, "CPM 6"),
        (text(HEAD, app("A000000333010101", PAN, PAN)), Outcome.ERROR, "CPM 5.1.10"),
        (text(HEAD, app("A000000333010101", PAN), template("62", PAN)), Outcome.ERROR, "CPM 5.1.10"),
        (text(HEAD, app("A000000333010101", PAN)), Outcome.ACCEPTED, ""),
    ],
)
def test_outcomes_come_in_the_tills_order(scanned: str | bytes, outcome: Outcome, section: str) -> None:
    result = TILL.read(scanned)
    assert (result.outcome, result.section) == (outcome, section)
    assert bool(result.reason) == (outcome is not Outcome.ACCEPTED)


def test_the_pages_sample_is_split_as_a_till_splits_it() -> None:
    result = TILL.read(BY_ID["bc-sample"]["base64"])
    assert (result.aid, result.supported_aid, result.pan) == (
        "D4100000014010",
        "D4100000014010",
        "5350206900000066",
    )
    assert [item.tag for item in result.poi] == ["4F", "57", "5F34"]
    assert result.track2 == bytes.fromhex("5350206900000066D20076010000000000099F")
    assert result.transparent.hex().upper() == BY_ID["bc-sample"]["hex"][90:]
    assert result.version_number == b"\x00\x10"
    assert result.receipt is not None
    assert (result.receipt.last4, result.receipt.pan_masked) == ("0066", "535020******0066")


def test_a_supported_aid_stands_for_longer_ones_that_begin_with_it() -> None:
    scanned = text(HEAD, app("A00000033301010199", PAN))
    assert Till(["A000000333010101"]).read(scanned).supported_aid == "A000000333010101"
    assert Till(["A0000003330101019988"]).read(scanned).outcome is Outcome.NOT_SUPPORTED


def test_of_two_eligible_applications_the_merchants_choice_is_taken_and_the_other_dropped_whole() -> None:
    scanned = text(
        HEAD,
        app("A000000333010101", primitive("50", b"First")),
        app("A0000000031010", primitive("50", b"Second"), template("63", primitive("9F26", b"2" * 8))),
        template("62", PAN, template("64", primitive("9F36", b"\x00\x01"))),
    )
    one = Till(["A000000333010101", "A0000000031010"]).read(scanned)
    other = Till(["A0000000031010", "A000000333010101"]).read(scanned)
    assert (one.receipt and one.receipt.label, other.receipt and other.receipt.label) == ("First", "Second")
    assert [item.tag for item in one.poi] == ["4F", "50", "5A"]
    assert one.transparent == bytes.fromhex("9F36020001")
    assert other.transparent == primitive("9F26", b"2" * 8).raw + bytes.fromhex("9F36020001")


def test_an_unusable_aid_is_passed_over() -> None:
    unusable = template("61", primitive("4F", bytes.fromhex("A0000003")), PAN)
    assert TILL.read(text(HEAD, unusable, app("A000000333010101", PAN))).outcome is Outcome.ACCEPTED
    assert TILL.read(text(HEAD, unusable)).outcome is Outcome.NOT_SUPPORTED


def test_transparent_data_are_never_looked_into() -> None:
    garbage = bytes.fromhex("9F26 08 FF 00 FF")
    inner = primitive("4F", bytes.fromhex("A000000333010101")).raw + PAN.raw + b"\x63\x06" + garbage
    scanned = base64.b64encode(HEAD.raw + b"\x61" + bytes([len(inner)]) + inner).decode()
    assert TILL.read(scanned).transparent == garbage


def test_duplicates_in_transparent_data_are_no_error() -> None:
    twice = template("63", primitive("9F36", b"\x00\x01"), primitive("9F36", b"\x00\x02"))
    assert TILL.read(text(HEAD, app("A000000333010101", PAN, twice))).outcome is Outcome.ACCEPTED


def test_unknown_objects_are_kept() -> None:
    result = TILL.read(
        text(HEAD, app("A000000333010101", primitive("DF01", b"x"), PAN), primitive("C1", b"y"))
    )
    assert result.value("DF01") == b"x"


def test_5a_comes_before_57_and_9f25_is_what_a_receipt_prints() -> None:
    track2 = primitive("57", bytes.fromhex("6210036000000007D2007601"))
    result = TILL.read(
        text(HEAD, app("A000000333010101", track2, PAN, primitive("9F25", bytes.fromhex("4321"))))
    )
    assert result.pan == "5350206900000066"
    assert result.receipt is not None
    assert result.receipt.last4 == "4321"


def test_de_55_is_the_terminals_then_the_qrs_and_the_transparent_data_as_they_came() -> None:
    result = TILL.read(BY_ID["bc-sample"]["base64"])
    data = result.de55({"9F02": bytes.fromhex("000000012000"), "5F2A": bytes.fromhex("0410")})
    assert data.endswith(result.transparent)
    assert " ".join(item.tag for item in tlv.parse(data)) == "9F02 5F2A 84 5F34 9F26 9F27 9F10 9F36 82 9F37"
    assert b"\x53\x50\x20\x69" not in data
    assert result.de55({"84": b"12345"}).count(b"\x84\x05") == 1
    assert len([item for item in tlv.parse(result.de55({"84": b"12345"})) if item.tag == "84"]) == 1


def test_de_55_is_refused_where_nothing_was_chosen_or_it_gets_too_long() -> None:
    with pytest.raises(EncodeError, match="no application was chosen"):
        TILL.read("x").de55()
    result = TILL.read(BY_ID["bc-sample"]["base64"])
    room = 255 - len(result.de55())
    assert len(result.de55({"9F4E": bytes(room - 4)})) in {254, 255}
    with pytest.raises(EncodeError, match="255 at most"):
        result.de55({"9F4E": bytes(room)})
    with pytest.raises(EncodeError, match="no tag"):
        result.de55({"5F": b""})


@pytest.mark.parametrize(
    "aids", [[], ["A0"], ["zz"], ["A0000000031010" * 3], [b"1234"], ["A0000000031010"] * (AIDS_MAX + 1)]
)
def test_a_till_refuses_what_is_no_list_of_aids(aids: list[str | bytes]) -> None:
    with pytest.raises(ConfigError):
        Till(aids)


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300)))
def test_any_scan_has_an_outcome(scanned: str | bytes) -> None:
    assert TILL.read(scanned).outcome in set(Outcome)


@given(st.binary(max_size=120))
def test_any_bytes_behind_the_frame_have_an_outcome(data: bytes) -> None:
    inner = primitive("4F", bytes.fromhex("A000000333010101")).raw + data
    result = TILL.read(HEAD.raw + b"\x61" + tlv.length_octets(len(inner)) + inner)
    assert result.outcome in set(Outcome)
    if result.outcome is Outcome.ACCEPTED:
        assert result.pan


def test_a_result_prints_without_the_pan() -> None:
    assert repr(TILL.read(BY_ID["bc-sample"]["base64"])) == "<accepted D4100000014010>"
