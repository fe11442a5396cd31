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


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_profile_is_made_of_names(name: str) -> None:
    payload = compose(Profile.load(name), NAMES)
    assert not [finding for finding in validate(payload) if finding.level is Level.ERROR]
    assert encode(payload)


def test_what_lacks_is_asked_for_by_tag_and_by_name() -> None:
    with pytest.raises(EncodeError, match=r"57 is not known: give 57=…, or pan=… expiry=… service_code=…"):
        compose(Profile.load("bc-domestic"), {})
    with pytest.raises(EncodeError, match=r"9F26 is not known: give 9F26=…, or cryptogram=…"):
        compose(Profile.load("bc-domestic"), {name: NAMES[name] for name in NAMES if name != "cryptogram"})


def test_what_has_no_place_is_refused() -> None:
    with pytest.raises(EncodeError, match="profile bc-domestic has no place for 9F02; it has 85, 4F, 57"):
        compose(Profile.load("bc-domestic"), {**TAGS, "9F02": ["00"]})
    with pytest.raises(EncodeError, match="no place for 5F34"):
        compose(Profile.load("bc-domestic"), {**TAGS, "5F34": ["02", "03"]})


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
        **NAMES,
        "4F": ["A000000333010101", "A0000000031010"],
        "50": ["46495253540A".replace("0A", "31")],
    }
    first, second = compose(Profile.load("emvco"), values).applications
    assert (first.aid, second.aid) == ("A000000333010101", "A0000000031010")
    assert (first.label, second.label) == ("FIRST1", "Product2")


def test_too_many_values_are_refused() -> None:
    with pytest.raises(EncodeError, match="over 256 values"):
        compose(Profile.load("emvco"), {"4F": ["00"] * 257})
