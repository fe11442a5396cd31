"""The model: every payload of the field there and back, what is refused, what is built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cpmqr.emv.cpm import Payload, decode
from cpmqr.emv.encode import encode
from cpmqr.emv.findings import Level
from cpmqr.emv.rules import validate
from cpmqr.emv.tlv import DataObject, primitive, template
from cpmqr.errors import DecodeError, EncodeError

FIELD = json.loads((Path(__file__).parents[2] / "vectors" / "cpm.json").read_text("utf-8"))
BY_ID = {entry["id"]: entry for entry in FIELD}
VALID = [entry for entry in FIELD if entry["expected"] in {"valid", "valid-nonminimal"}]
SAMPLE = BY_ID["bc-sample"]["base64"]
PAN = bytes.fromhex("5350206900000066")


def application(*objects: DataObject, aid: str = "A000000333010101") -> DataObject:
    return template("61", primitive("4F", bytes.fromhex(aid)), *objects)


def payload(*objects: DataObject) -> Payload:
    return Payload((primitive("85", b"CPV01"), *objects))


@pytest.mark.parametrize("entry", VALID, ids=lambda entry: entry["id"])
def test_a_good_payload_is_read_judged_good_and_written_back(entry: dict[str, Any]) -> None:
    read = decode(entry["base64"])
    assert not [finding for finding in validate(read) if finding.level is Level.ERROR]
    assert encode(read).hex().upper() == entry["hex"]
    assert encode(decode(entry["hex"])) == encode(decode(bytes.fromhex(entry["hex"]))) == encode(read)


@pytest.mark.parametrize("entry", FIELD, ids=lambda entry: entry["id"])
def test_every_payload_of_the_field_is_judged_as_expected(entry: dict[str, Any]) -> None:
    errors = [finding for finding in validate(entry["base64"]) if finding.level is Level.ERROR]
    expected = entry["expected"]
    if expected in {"valid", "valid-nonminimal"}:
        assert not errors
    elif expected != "invalid-or-warn":  # a fragment is no payload either
        assert errors
    if expected in {"tlv-valid/field-invalid", "field-invalid"}:
        assert encode(decode(entry["base64"])).hex().upper() == entry["hex"]


def test_the_pages_sample_is_read_into_typed_values() -> None:
    read = decode(SAMPLE)
    assert read.version == "CPV01"
    assert read.common is None
    (bc,) = read.applications
    assert bc.aid == "D4100000014010"
    assert bc.label is None
    assert bc.pan == "5350206900000066"
    assert bc.psn == "02"
    assert bc.expiry == "2007"
    assert bc.track2 is not None
    assert bc.track2.service_code == "601"
    assert bc.atc == 139
    assert bc.cryptogram == bytes.fromhex("9844477339EBD67D")
    assert bc.version_number == 0x0010
    assert bc.transparent_values["9F37"] == bytes.fromhex("66E03B45")
    assert bc.transparent.hex().upper().startswith("9F2608")


def test_common_data_belong_to_both_applications() -> None:
    first, second = decode(BY_ID["emvco-ex2"]["base64"]).applications
    assert (first.label, second.label) == ("Product1", "Product2")
    assert first.pan == second.pan == "1234567890123458"
    assert first.cardholder_name == "CARDHOLDER/EMV"
    assert first.languages == ("ru", "es", "de", "en")
    assert second.atc == 1


def test_a_psn_inside_63_is_found() -> None:
    read = payload(application(primitive("5A", PAN), template("63", primitive("5F34", b"\x07"))))
    assert decode(read.raw).applications[0].psn == "07"


@pytest.mark.parametrize(
    ("source", "reason", "section"),
    [
        (BY_ID["d-first-tag-61"]["base64"], "not 85", "CPM 5.1.2"),
        (BY_ID["d-cpv02"]["base64"], "not CPV01", "CPM 5.1.3"),
        (BY_ID["d-no-61"]["base64"], "no application template", "CPM 5.1.3"),
        (BY_ID["d-truncated"]["base64"], "runs past the end", "EMV Book 3 Annex B"),
        (BY_ID["d-indefinite"]["base64"], "indefinite", "EMV Book 3 Annex B"),
        (BY_ID["qris-fatalisa"]["base64"], "left out 81", "EMV Book 3 Annex B"),
        (BY_ID["upi-space"]["base64"], "a blank", "CPM 3.2; RFC 4648"),
        ("850543505630", "runs past the end", "EMV Book 3 Annex B"),
    ],
)
def test_what_is_no_payload_is_refused_with_its_section(source: str, reason: str, section: str) -> None:
    with pytest.raises(DecodeError, match=reason) as caught:
        decode(source)
    assert caught.value.section == section


@pytest.mark.parametrize("identifier", ["qris-fatalisa", "upi-space"])
def test_known_slips_are_read_leniently_and_named(identifier: str) -> None:
    read = decode(BY_ID[identifier]["base64"], lenient=True)
    assert read.forgiven
    assert read.applications[0].pan is not None
    assert [finding.rule for finding in validate(read) if finding.rule == "forgiven"]


def test_a_lenient_reading_of_a_good_payload_forgives_nothing() -> None:
    assert decode(SAMPLE, lenient=True).forgiven == ()


def test_a_built_payload_is_written() -> None:
    built = payload(application(primitive("57", bytes.fromhex("5350206900000066D2007601"))))
    assert decode(encode(built)).applications[0].pan == "5350206900000066"


@pytest.mark.parametrize(
    ("built", "reason"),
    [
        (Payload(()), "not 85"),
        (Payload((application(primitive("5A", PAN)),)), "not 85"),
        (payload(), "no application template"),
        (payload(template("61")), "no 61 has an ADF name"),
        (payload(application()), "neither track 2"),
        (payload(application(primitive("5A", PAN), primitive("5A", PAN))), "twice"),
        (payload(*[application(primitive("5A", PAN))] * 3), "at most 2"),
        (payload(application(primitive("5A", PAN)), template("62", primitive("5A", PAN))), "both"),
        (payload(application(primitive("5A", PAN)), template("62"), template("62")), "at most 1"),
        (payload(application(primitive("57", PAN))), "not PAN, D"),
        (payload(application(primitive("5A", bytes(10)))), "not a PAN of 1 to 19 digits"),
        (payload(application(primitive("5A", PAN), primitive("9F26", b"1234567"))), "7 bytes, not 8"),
        (payload(application(primitive("5A", PAN)), template("63")), "inside 61"),
        (payload(application(primitive("5A", PAN), template("64"))), "inside 62"),
        (payload(application(primitive("5A", PAN)), template("62")), "what two applications share"),
        (payload(template("62"), *[application(primitive("5A", PAN))] * 2), "before a 61"),
        (payload(primitive("50", b"A"), application(primitive("5A", PAN))), "stands before the last of"),
        (payload(application(primitive("5A", PAN)), template("61")), "a till skips this 61"),
        (payload(application(primitive("5A", PAN), primitive("5F50", b"http://a"))), "begins with tel: or"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_built_payload_that_breaks_a_rule_is_not_written(built: Payload, reason: str) -> None:
    with pytest.raises(EncodeError, match=reason) as caught:
        encode(built)
    assert caught.value.section


def test_a_changed_payload_is_judged_anew() -> None:
    read = decode(SAMPLE)
    changed = msgspec.structs.replace(read, objects=(*read.objects, primitive("85", b"CPV01")))
    with pytest.raises(EncodeError, match="at most 1"):
        encode(changed)


def test_unknown_objects_survive_in_their_place() -> None:
    odd = bytes.fromhex("C10101") + bytes.fromhex("DF8123020102")
    inner = primitive("4F", bytes.fromhex("A000000333010101")).raw + odd + primitive("5A", PAN).raw
    binary = b"\x85\x05CPV01" + b"\x61" + bytes([len(inner)]) + inner + odd
    assert encode(decode(binary)) == binary


def test_nothing_secret_is_printed() -> None:
    read = decode(SAMPLE)
    for value in (read, read.applications[0], read.objects, read.applications[0].track2):
        assert "5350206900000066" not in repr(value)
        assert "9844477339EBD67D" not in repr(value).upper()
