"""Every rule broken once, with its level, place and section; nothing said of a payload that breaks none."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpmqr.emv import tlv
from cpmqr.emv.cpm import Payload, decode
from cpmqr.emv.findings import FINDINGS_MAX, Finding, Level
from cpmqr.emv.profile import BUILT_IN, Profile
from cpmqr.emv.rules import examine, validate
from cpmqr.emv.tlv import DataObject, primitive, template

FIELD = json.loads((Path(__file__).parents[2] / "vectors" / "cpm.json").read_text("utf-8"))
BY_ID = {entry["id"]: entry for entry in FIELD}
HEAD = primitive("85", b"CPV01")
AID = primitive("4F", bytes.fromhex("A000000333010101"))
PAN = primitive("5A", bytes.fromhex("5350206900000066"))
TRACK2 = primitive("57", bytes.fromhex("5350206900000066D3012601"))
GOOD = template("61", AID, PAN)


def judged(*objects: DataObject, **options: Any) -> list[Finding]:
    """Judge a payload as it would be read back."""
    return validate(tlv.build(objects), **options)


def application(*objects: DataObject) -> DataObject:
    return template("61", AID, *objects)


E, W = Level.ERROR, Level.WARNING

CASES: list[tuple[str, list[DataObject], Level, str, str | None, int | None]] = [
    # rule, objects, level, path, tag, offset
    ("first-object", [GOOD], E, "61", "61", 0),
    ("version", [primitive("85", b"CPV02"), GOOD], E, "85", "85", 0),
    ("no-application", [HEAD], E, "", None, None),
    ("too-many-applications", [HEAD, GOOD, GOOD, GOOD], E, "61[3]", "61", 51),
    ("format-indicator-twice", [HEAD, GOOD, HEAD], E, "85[2]", "85", 29),
    ("common-data-twice", [HEAD, GOOD, GOOD, template("62"), template("62")], E, "62[2]", "62", 53),
    ("common-data-first", [HEAD, template("62"), GOOD], W, "62", "62", 7),
    ("common-data-alone", [HEAD, GOOD, template("62")], W, "62", "62", 29),
    ("order", [HEAD, primitive("50", b"A"), GOOD], W, "50", "50", 7),
    ("no-usable-aid", [HEAD, template("61", PAN)], E, "61", "61", 7),
    ("no-usable-aid", [HEAD, template("61", primitive("4F", b"1234"), PAN)], E, "61", "61", 7),
    ("skipped", [HEAD, GOOD, template("61", PAN)], W, "61[2]", "61", 29),
    ("no-pan", [HEAD, application()], E, "61", "61", 7),
    (
        "twice",
        [HEAD, application(PAN, primitive("50", b"A"), primitive("50", b"A"))],
        E,
        "61/50[2]",
        "50",
        32,
    ),
    ("twice", [HEAD, application(PAN, template("63"), template("63"))], W, "61/63[2]", "63", 31),
    ("twice", [HEAD, GOOD, GOOD, template("62", TRACK2, TRACK2)], E, "62/57[2]", "57", 67),
    ("in-both", [HEAD, GOOD, GOOD, template("62", PAN)], E, "62/5A", "5A", 53),
    (
        "length",
        [HEAD, application(PAN, template("63", primitive("9F36", b"1")))],
        E,
        "61/63/9F36",
        "9F36",
        31,
    ),
    ("length", [HEAD, application(PAN, primitive("50", b"A" * 17))], E, "61/50", "50", 29),
    ("length", [HEAD, application(primitive("5A", bytes(11)))], E, "61/5A", "5A", 19),
    ("format", [HEAD, application(primitive("57", PAN.value))], E, "61/57", "57", 19),
    ("format", [HEAD, application(PAN, primitive("5F2D", b"koe"))], E, "61/5F2D", "5F2D", 29),
    ("place", [HEAD, GOOD, template("63")], E, "63", "63", 29),
    ("place", [HEAD, application(PAN, template("64"))], E, "61/64", "64", 29),
    ("unknown-tag", [HEAD, application(PAN, primitive("DF01", b""))], W, "61/DF01", "DF01", 29),
    ("issuer-url", [HEAD, application(PAN, primitive("5F50", b"https://x"))], W, "61/5F50", "5F50", 29),
    ("luhn", [HEAD, application(primitive("5A", bytes.fromhex("5350206900000067")))], W, "61/5A", "5A", 19),
    ("last4", [HEAD, application(PAN, primitive("9F25", b"\x12\x34"))], W, "61/9F25", "9F25", 29),
    ("length-form", [HEAD, tlv.parse(b"\x61\x81" + GOOD.raw[1:])[0]], W, "61", "61", 7),
    (
        "text-length",
        [HEAD, application(PAN, primitive("9F60", bytes(250)), primitive("9F61", bytes(150)))],
        W,
        "",
        None,
        None,
    ),
]


@pytest.mark.parametrize(("rule", "objects", "level", "path", "tag", "offset"), CASES)
def test_each_rule_that_is_broken_is_found_at_its_place(
    rule: str, objects: list[DataObject], level: Level, path: str, tag: str | None, offset: int | None
) -> None:
    found = [finding for finding in judged(*objects) if finding.rule == rule]
    assert [(finding.level, finding.path, finding.tag, finding.offset) for finding in found] == [
        (level, path, tag, offset)
    ]
    assert found[0].section
    assert found[0].text


@pytest.mark.parametrize(
    "objects",
    [
        [HEAD, GOOD],
        [HEAD, application(TRACK2)],
        [HEAD, template("61", AID), template("61", AID), template("62", TRACK2)],
        [HEAD, GOOD, GOOD, primitive("9F60", b"1"), template("70", primitive("50", b"A"))],
        [HEAD, application(PAN, template("63", primitive("9F36", b"12"), primitive("9F36", b"12")))],
        [HEAD, application(PAN, primitive("5F50", b"tel:+82-2-000-0000"))],
    ],
    ids=["5A", "57", "two and common data", "others behind", "duplicates inside 63", "tel:"],
)
def test_a_payload_that_breaks_no_rule_gets_no_finding(objects: list[DataObject]) -> None:
    assert judged(*objects) == []


def test_all_broken_rules_are_told_in_the_order_of_the_bytes() -> None:
    found = judged(
        primitive("85", b"CPV99"),
        application(primitive("57", b"\x12"), primitive("5F34", b"\xaa"), primitive("C1", b"")),
    )
    assert [(finding.rule, finding.offset) for finding in found if finding.tag != "61"] == [
        ("version", 0),
        ("format", 19),
        ("format", 22),
        ("unknown-tag", 26),
    ]


def test_an_expiry_is_judged_only_by_a_day_that_is_given() -> None:
    payload = decode(BY_ID["bc-sample"]["base64"])
    assert validate(payload) == []
    assert validate(payload, today=datetime.date(2020, 7, 31)) == []
    (expired,) = validate(payload, today=datetime.date(2020, 8, 1))
    assert (expired.rule, expired.level, expired.path) == ("expired", W, "61/57")
    assert [
        finding.rule for finding in judged(HEAD, application(TRACK2), today=datetime.date(2026, 1, 1))
    ] == []


def test_track_2_is_judged_beside_a_pan() -> None:
    other = primitive("57", bytes.fromhex("4000000000000002D2012601"))
    found = judged(HEAD, application(PAN, other), today=datetime.date(2026, 1, 1))
    assert [(finding.rule, finding.path) for finding in found] == [
        ("two-pans", "61/57"),
        ("expired", "61/57"),
    ]
    assert judged(HEAD, application(PAN, TRACK2), today=datetime.date(2026, 1, 1)) == []


def test_an_application_that_can_not_be_read_is_not_said_to_be_missing() -> None:
    assert [finding.rule for finding in validate(BY_ID["d-indefinite"]["base64"])] == ["tlv"]


def test_an_expiry_without_a_month_is_told() -> None:
    track2 = primitive("57", bytes.fromhex("5350206900000066D3013601"))
    assert [f.rule for f in judged(HEAD, application(track2), today=datetime.date(2026, 1, 1))] == ["expiry"]


def test_a_common_card_is_judged_once_for_two_applications() -> None:
    wrong = primitive("5A", bytes.fromhex("5350206900000067"))
    found = judged(HEAD, template("61", AID), template("61", AID), template("62", wrong))
    assert [finding.rule for finding in found] == ["luhn"]


def test_a_truncated_payload_is_read_as_far_as_it_goes() -> None:
    examination = examine(BY_ID["d-truncated"]["base64"])
    assert examination.payload is not None
    assert [item.tag for item in examination.payload.walk()] == ["85", "61", "4F", "57"]
    assert [(finding.rule, finding.offset) for finding in examination.findings] == [("tlv", 7), ("tlv", 18)]
    assert not examination.valid


def test_text_that_can_not_be_read_gives_one_finding() -> None:
    examination = examine("hQVD UFYw")
    assert examination.payload is None
    assert [(finding.rule, finding.offset) for finding in examination.findings] == [("text", None)]


def test_a_lenient_examination_turns_known_slips_into_warnings() -> None:
    for identifier in ("qris-fatalisa", "upi-space"):
        strict, lenient = (examine(BY_ID[identifier]["base64"], lenient=mode) for mode in (False, True))
        assert not strict.valid
        assert lenient.valid
        assert "forgiven" in [finding.rule for finding in lenient.findings]
    assert not examine(BY_ID["d-truncated"]["base64"], lenient=True).valid


def test_thousands_of_broken_rules_are_cut_and_errors_kept() -> None:
    flood = [primitive("DF01", b"")] * 1000
    found = judged(HEAD, *flood, HEAD)
    assert len([finding for finding in found if finding.level is W]) == FINDINGS_MAX
    assert {"no-application", "format-indicator-twice"} <= {finding.rule for finding in found}


def test_findings_hold_no_values() -> None:
    for entry in FIELD:
        for finding in validate(entry["base64"]):
            for item in tlv.walk(examine(entry["base64"]).payload.objects if "hex" in entry else ()):  # type: ignore[union-attr]
                if len(item.value) > 3:
                    assert item.value.hex().upper() not in finding.text.upper()


@given(st.binary(max_size=400), st.booleans(), st.sampled_from([None, *BUILT_IN]))
def test_judging_any_bytes_raises_nothing(data: bytes, framed: bool, profile: str | None) -> None:
    source = HEAD.raw + b"\x61\x7f" + data if framed else data
    options = {"profile": Profile.load(profile) if profile else None, "today": datetime.date(2026, 1, 1)}
    for finding in validate(source, **options):  # type: ignore[arg-type]
        assert finding.offset is None or 0 <= finding.offset < len(source)


@given(
    st.lists(
        st.sampled_from([HEAD, AID, PAN, TRACK2, GOOD, template("62", PAN), template("63", PAN)]), max_size=6
    )
)
def test_a_built_payload_is_judged_like_the_one_read_back(objects: list[DataObject]) -> None:
    built = validate(Payload(tuple(objects)))
    read = validate(tlv.build(objects)) if objects else built
    assert sorted(finding.rule for finding in built) == sorted(finding.rule for finding in read)
    assert all(finding.offset is None for finding in built)


class TestProfiles:
    """What a payload does otherwise than its scheme's profile."""

    @pytest.mark.parametrize(
        ("identifier", "profile"),
        [
            ("bc-sample", "bc-domestic"),
            ("bc-delphi", "bc-domestic"),
            ("kr-d410-9f60", "bc-domestic"),
            ("upi-2", "unionpay"),
            ("upi-3", "unionpay"),
            ("upi-5", "unionpay"),
            ("qris-astra-1", "qris"),
            ("qris-astra-2", "qris"),
            ("qris-gopay", "qris"),
            ("qris-ndef", "qris"),
        ],
    )
    def test_the_fields_payloads_are_as_their_profiles_have_them(self, identifier: str, profile: str) -> None:
        found = validate(BY_ID[identifier]["base64"], profile=Profile.load(profile))
        assert not [finding for finding in found if finding.rule.startswith("profile")]

    def test_another_order_is_told(self) -> None:
        found = validate(BY_ID["upi-cn-1"]["base64"], profile=Profile.load("unionpay"))
        assert [(finding.rule, finding.path, finding.level) for finding in found] == [
            ("profile-order", "61", W),
            ("profile-order", "61/63", W),
        ]

    def test_another_scheme_is_told_though_its_aid_is_a_parameter(self) -> None:
        found = validate(BY_ID["bc-sample"]["base64"], profile=Profile.load("unionpay"))
        assert ("profile-scheme", "61/4F") in [(finding.rule, finding.path) for finding in found]

    def test_missing_new_and_other_objects_are_told(self) -> None:
        objects = [
            HEAD,
            template("61", primitive("4F", bytes.fromhex("D4100000014011")), TRACK2, primitive("50", b"A")),
        ]
        found = judged(*objects, profile=Profile.load("bc-domestic"))
        assert sorted((finding.rule, finding.path, finding.tag) for finding in found) == [
            ("profile-extra", "61/50", "50"),
            ("profile-lacks", "61", "61"),
            ("profile-lacks", "61", "61"),
            ("profile-value", "61/4F", "4F"),
        ]
        assert all(finding.section == "profile bc-domestic" for finding in found)
