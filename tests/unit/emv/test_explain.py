"""The explanation: its JSON to the letter, its picture, and nothing in it that may not be shown."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpmqr.emv.cpm import Payload, decode
from cpmqr.emv.explain import explain, shown_hex
from cpmqr.emv.explained import Explained
from cpmqr.emv.picture import heading, plain, rows
from cpmqr.emv.profile import Profile
from cpmqr.emv.tlv import parse, primitive, template

FIELD = json.loads((Path(__file__).parents[2] / "vectors" / "cpm.json").read_text("utf-8"))
BY_ID = {entry["id"]: entry for entry in FIELD}
SAMPLE = BY_ID["bc-sample"]["base64"]


def walk(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [found for item in items for found in (item, *walk(item.get("children", [])))]


def test_the_json_has_exactly_the_contracts_members() -> None:
    told = explain(BY_ID["qris-astra-5"]["base64"]).to_dict()
    assert list(told) == ["valid", "encoding", "length", "payload", "findings"]
    assert (told["valid"], told["encoding"], told["length"]) == (False, "base64", 118)
    for item in walk(told["payload"]):
        assert set(item) - {"children", "meaning"} == {"tag", "name", "offset", "length", "value"}
    for finding in told["findings"]:
        assert list(finding) == ["level", "offset", "tag", "rule", "text"]
        assert finding["level"] in {"error", "warning"}
    json.dumps(told)


def test_offsets_are_those_of_the_tags_first_byte() -> None:
    binary = bytes.fromhex(BY_ID["bc-sample"]["hex"])
    items = walk(explain(SAMPLE, show_pan=True).to_dict()["payload"])
    assert [item["tag"] for item in items][:4] == ["85", "61", "4F", "57"]
    for item in items:
        assert binary[item["offset"] :].startswith(bytes.fromhex(item["tag"]))
        assert bytes.fromhex(item["value"]) in binary
        assert len(bytes.fromhex(item["value"])) == item["length"]


def test_the_sample_says_what_it_means() -> None:
    told = {item["tag"]: item.get("meaning", "") for item in walk(explain(SAMPLE).to_dict()["payload"])}
    assert told["85"] == "EMV consumer-presented mode, version 1.x"
    assert "BC Card's page" in told["4F"]
    assert told["57"].startswith("PAN 535020******0066 (16 digits); expiry 2007 (2020-07); service code 601")
    assert "issue time 20200611175121 (2020-06-11 17:51:21 Korean time)" in told["9F10"]
    assert "key index 05 (which issuer master key; inferred)" in told["9F10"]
    assert told["9F36"] == "139"
    assert told["9F27"] == "ARQC (the issuer is to decide)"


def test_the_iad_of_unionpay_is_read_bit_by_bit() -> None:
    told = {
        item["tag"]: item.get("meaning", "")
        for item in walk(explain(BY_ID["upi-3"]["base64"]).to_dict()["payload"])
    }
    assert "second cryptogram not requested; first cryptogram: ARQC" in told["9F10"]
    assert "algorithm 01 (TDES)" in told["9F10"]
    assert "“39990157”" in told["9F10"]


@pytest.mark.parametrize("entry", FIELD, ids=lambda entry: entry["id"])
def test_no_pan_nor_track_2_is_shown_unless_asked_for(entry: dict[str, Any]) -> None:
    shown = explain(entry["base64"], lenient=True)
    texts = [str(shown), json.dumps(shown.to_dict(), ensure_ascii=False)]
    try:
        applications = decode(entry["base64"], lenient=True).applications
    except ValueError:
        applications = ()
    for application in applications:
        for text in texts:
            bare = text.replace(" ", "").replace("\n", "")
            if application.pan is not None and len(application.pan) >= 13:
                assert application.pan not in bare
            if application.track2 is not None and len(application.track2.discretionary) > 6:
                assert application.track2.discretionary not in bare


def test_asked_for_the_pan_is_shown_in_value_and_words() -> None:
    told = explain(SAMPLE, show_pan=True).to_dict()
    track2 = next(item for item in walk(told["payload"]) if item["tag"] == "57")
    assert track2["value"] == "5350206900000066D20076010000000000099F"
    assert "PAN 5350206900000066" in track2["meaning"]
    assert "0000000000099" in track2["meaning"]


@pytest.mark.parametrize(
    ("tag", "value", "shown"),
    [
        ("5A", "5350206900000066", "535020******0066"),
        ("5A", "9360091400000000001F", "936009*********0001F"),
        ("5A", "123456789012", "************"),
        ("5A", "FFFF", "****"),
        ("5A", "53502069000000AA66", "*" * 18),
        ("57", "5350206900000066D20076010000000000099F", "535020******0066D2007601*************F"),
        ("57", "5350206900000066D2007601", "535020******0066D2007601"),
        ("57", "5350206900000066D200", "535020******0066D200"),
        ("57", "5350206900000066", "****************"),
        ("57", "53502069000000662007601A", "*" * 24),
        ("9F6B", "5350206900000066D2007601", "*" * 24),
        ("56", "4235", "****"),
        ("9F36", "008B", "008B"),
    ],
)
def test_masks_hide_what_they_should(tag: str, value: str, shown: str) -> None:
    assert shown_hex(primitive(tag, bytes.fromhex(value))) == shown


def test_a_templates_bytes_are_masked_as_its_childrens_are() -> None:
    item = template("61", primitive("5A", bytes.fromhex("5350206900000066")), primitive("50", b"A"))
    assert shown_hex(item) == "5A08535020******0066500141"
    read = parse(item.raw)[0]
    assert shown_hex(read) == shown_hex(item)


def test_a_built_payload_is_explained_with_places() -> None:
    built = Payload((primitive("85", b"CPV01"), template("61", primitive("4F", b"12345"))))
    assert [item.offset for item in explain(built).objects] == [0, 7]


def test_a_decoded_payload_and_its_text_are_explained_alike() -> None:
    assert explain(decode(SAMPLE)).to_dict() == explain(SAMPLE).to_dict()
    today = datetime.date(2026, 1, 1)
    profile = Profile.load("unionpay")
    both = [explain(source, today=today, profile=profile).to_dict() for source in (decode(SAMPLE), SAMPLE)]
    assert both[0] == both[1]
    assert both[0]["findings"]


def test_unreadable_text_is_explained_too() -> None:
    told = explain("no payload").to_dict()
    assert told["valid"] is False
    assert told["encoding"] is None
    assert told["payload"] == []
    assert told["findings"][0]["rule"] == "text"
    assert "No payload" in str(explain("no payload"))


def test_the_picture_shows_every_byte_once() -> None:
    for entry in FIELD:
        if "hex" not in entry:
            continue
        explanation = explain(entry["hex"], show_pan=True)
        if any(finding.rule == "tlv" for finding in explanation.findings):
            continue
        digits = "".join(row.header + row.octets for row in rows(explanation)).replace(" ", "")
        assert digits == entry["hex"]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("identifier", ["bc-sample", "emvco-ex2", "upi-cn-1"])
def test_the_picture_keeps_its_width(identifier: str, width: int) -> None:
    lines = plain(explain(BY_ID[identifier]["base64"]), width).splitlines()
    assert max(len(line) for line in lines[1:]) <= width


def test_the_picture_of_the_sample_is_this_one() -> None:
    assert plain(explain(SAMPLE)).splitlines()[:9] == [
        "EMV CPM payload, 99 bytes (132 characters of Base64, read from base64): valid",
        "",
        "    0  85 05     43 50 56 30 31           85  Payload Format Indicator: EMV consumer-presented mode, "
        "version 1.x",
        "    7  61 5A                              61  Application Template, 90 bytes",
        "    9  4F 07     D4 10 00 00 01 40 10     ├─ 4F  ADF Name (AID)",
        '                                          │     Korean domestic (BC Card\'s page; seen as "KLSC JUSTOUCH")',
        "   18  57 13     53 50 20 ** ** ** 00 66  ├─ 57  Track 2 Equivalent Data",
        "                 D2 00 76 01 ** ** ** **  │     PAN            535020******0066  16 digits",
        "                 ** ** *F                 │     expiry         2007  2020-07",
    ]


def test_findings_stand_below_their_object_and_the_rest_at_the_end() -> None:
    text = str(explain(BY_ID["d-no-61"]["base64"]))
    assert heading(explain(BY_ID["d-no-61"]["base64"])).endswith("NOT VALID: 1 error")
    assert text.splitlines()[-1] == "✗ no application template (61) [CPM 5.1.3]"
    below = str(explain(BY_ID["emvco-ex1"]["base64"]))
    assert re.search(r"! the PAN's check digit is wrong \[ISO/IEC 7812-1\]", below)


@given(st.binary(max_size=300), st.booleans(), st.booleans())
def test_explaining_any_bytes_raises_nothing(data: bytes, framed: bool, show_pan: bool) -> None:
    explanation = explain(b"\x85\x05CPV01" + data if framed else data, show_pan=show_pan)
    assert str(explanation)
    json.dumps(explanation.to_dict())


def test_explained_objects_are_frozen() -> None:
    item = explain(SAMPLE).objects[0]
    assert isinstance(item, Explained)
    with pytest.raises(AttributeError):
        item.tag = "61"  # type: ignore[misc]
