"""Payloads from values, by tag and by name."""

from __future__ import annotations

import pytest

from cpmqr.emv.compose import compose
from cpmqr.emv.encode import encode
from cpmqr.emv.findings import Level
from cpmqr.emv.profile import BUILT_IN, Profile
from cpmqr.emv.rules import validate
from cpmqr.errors import EncodeError

SAMPLE = (
    "85054350563031615A4F07D410000001401057135350206900000066D20076010000000000099F5F34010263369F26089844477339EBD67D"
    "9F2701809F10140509A000080000000000000020200611175121019F3602008B820200009F370466E03B45"
)
NAMES = {
    "pan": ["5350206900000066"],
    "psn": ["02"],
    "expiry": ["2007"],
    "service_code": ["601"],
    "discretionary": ["0000000000099"],
    "atc": ["008B"],
    "unpredictable_number": ["66E03B45"],
    "issued_at": ["20200611175121"],
    "dki": ["05"],
    "cryptogram": ["9844477339EBD67D"],
}
TAGS = {
    "57": ["5350206900000066D20076010000000000099F"],
    "5F34": ["02"],
    "9F26": ["9844477339EBD67D"],
    "9F10": ["0509A00008000000000000002020061117512101"],
    "9F36": ["008B"],
    "9F37": ["66E03B45"],
}


@pytest.mark.parametrize("values", [NAMES, TAGS, {**NAMES, "9F27": ["80"], "4F": ["D4100000014010"]}])
def test_the_pages_sample_is_made_by_name_and_by_tag(values: dict[str, list[str]]) -> None:
    assert encode(compose(Profile.load("bc-domestic"), values)).hex().upper() == SAMPLE


def asked_for(profile: Profile) -> dict[str, list[str]]:
    return {name: given for name, given in NAMES.items() if f"{{{name}}}" in profile.text}


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_profile_is_made_of_names(name: str) -> None:
    profile = Profile.load(name)
    payload = compose(profile, asked_for(profile))
    assert not [finding for finding in validate(payload) if finding.level is Level.ERROR]
    assert encode(payload)


def test_what_lacks_is_asked_for_all_at_once_by_tag_and_by_name() -> None:
    with pytest.raises(EncodeError) as raised:
        compose(Profile.load("bc-domestic"), {})
    assert str(raised.value) == (
        "57 5F34 9F26 9F10 9F36 9F37 are not known: give them by tag, or pan=… expiry=… service_code=… psn=… "
        "cryptogram=… dki=… issued_at=… atc=… unpredictable_number=…"
    )
    with pytest.raises(EncodeError, match=r"9F26 is not known: give 9F26=…, or cryptogram=…"):
        compose(Profile.load("bc-domestic"), {name: NAMES[name] for name in NAMES if name != "cryptogram"})


def test_a_card_without_discretionary_data_needs_none() -> None:
    values = {name: NAMES[name] for name in NAMES if name != "discretionary"}
    payload = compose(Profile.load("bc-domestic"), values)
    assert payload.applications[0].value("57") == bytes.fromhex("5350206900000066D2007601")


@pytest.mark.parametrize(
    "pan",
    [
        {"pan": ["9360091400000000001"]},
        {"5A": ["9360091400000000001F"]},
        {"5A": ["9360 0914 0000 0000 001"]},
    ],
)
def test_the_last_four_digits_follow_from_the_pan_however_it_was_given(pan: dict[str, list[str]]) -> None:
    application = compose(Profile.load("qris"), {**pan, "9F74": ["text:REF"]}).applications[0]
    assert application.pan == "9360091400000000001"
    assert application.value("9F25") == b"\x00\x01"


def test_the_last_four_digits_follow_from_track_2() -> None:
    values = {"57": TAGS["57"]}
    assert compose(Profile.load("emvco"), values).applications[0].value("9F25") == bytes.fromhex("0066")


def test_a_text_is_taken_by_tag_and_by_name_whatever_its_line_holds() -> None:
    values = {"pan": ["9360091400000000001"], "50": ["text:QRIS"], "cardholder_name": ["text:TEST HOLDER"]}
    application = compose(Profile.load("qris"), {**values, "issuer_reference": ["text:REF"]}).applications[0]
    assert (application.label, application.cardholder_name) == ("QRIS", "TEST HOLDER")
    assert application.transparent_values == {"9F74": b"REF"}


def test_what_has_no_place_is_refused() -> None:
    with pytest.raises(EncodeError, match="profile bc-domestic has no place for 9F02; it has 85, 4F, 57"):
        compose(Profile.load("bc-domestic"), {**TAGS, "9F02": ["00"]})
    with pytest.raises(EncodeError, match="no place for 5F34"):
        compose(Profile.load("bc-domestic"), {**TAGS, "5F34": ["02", "03"]})
    with pytest.raises(
        EncodeError, match=r"no place for expiry; it has .*, and by name atc, cardholder_name, "
    ):
        compose(Profile.load("qris"), {**asked_for(Profile.load("qris")), "expiry": ["3012"]})


def test_nothing_that_was_given_is_dropped_in_silence() -> None:
    with pytest.raises(EncodeError, match="expiry goes into 57, which also needs service_code=…"):
        compose(Profile.load("emvco"), {"pan": NAMES["pan"], "expiry": ["3012"]})
    with pytest.raises(
        EncodeError, match="psn goes into 64, which also needs dki=… cryptogram=… atc=… unpred"
    ):
        compose(Profile.load("emvco"), {"pan": NAMES["pan"], "psn": ["01"]})
    with pytest.raises(EncodeError, match="atc goes into 9F36, which was given as a whole"):
        compose(Profile.load("bc-domestic"), {**NAMES, "9F36": ["008B"]})


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("psn", ["2"], "psn is 2 digits"),
        ("atc", ["139"], "atc is 4 hex digits: 008B is 139"),
        ("pan", ["53502069x"], "pan is 1 to 19 digits"),
        ("expiry", ["30-12"], "expiry is 4 digits, yymm"),
        ("expiry", ["3012", "3112"], "expiry takes one value, not 2"),
    ],
)
def test_a_field_that_does_not_fit_is_refused_by_its_name(name: str, values: list[str], reason: str) -> None:
    with pytest.raises(EncodeError, match=reason):
        compose(Profile.load("bc-domestic"), {**NAMES, name: values})


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"9F36": ["0"]}, "9F36 is not hex digits"),
        ({"9F36": ["zz"]}, "9F36 is not hex digits"),
        ({"9F36": ["000102"]}, "3 bytes, not 2"),
        ({"57": ["5350206900000066"]}, "not PAN, D"),
        ({"4F": ["A0"]}, "5 to 16"),
    ],
)
def test_a_value_that_is_none_or_breaks_a_rule_is_refused(changed: dict[str, list[str]], reason: str) -> None:
    with pytest.raises(EncodeError, match=reason):
        encode(compose(Profile.load("bc-domestic"), {**TAGS, **changed}))


def test_values_of_one_tag_go_to_its_objects_in_order() -> None:
    values = {
        **asked_for(Profile.load("emvco")),
        "4F": ["A000000333010101", "A0000000031010"],
        "50": ["46495253540A".replace("0A", "31")],
    }
    first, second = compose(Profile.load("emvco"), values).applications
    assert (first.aid, second.aid) == ("A000000333010101", "A0000000031010")
    assert (first.label, second.label) == ("FIRST1", "Product2")


def test_too_many_values_are_refused() -> None:
    with pytest.raises(EncodeError, match="over 256 values"):
        compose(Profile.load("emvco"), {"4F": ["00"] * 257})
