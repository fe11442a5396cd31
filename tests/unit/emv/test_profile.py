"""Profiles as files: what they make, and what is wrong with a bad one, with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpmqr.crypto.blocks import aes_ecb, tdes_ecb
from cpmqr.emv.cpm import decode
from cpmqr.emv.cryptogram import AES_128, AES_256, generate_arqc
from cpmqr.emv.encode import encode
from cpmqr.emv.findings import Level
from cpmqr.emv.profile import BUILT_IN, FILE_BYTES_MAX, CardData, Profile
from cpmqr.emv.rules import validate
from cpmqr.errors import EncodeError, ProfileError

FIELD = json.loads((Path(__file__).parents[2] / "vectors" / "cpm.json").read_text("utf-8"))
BY_ID = {entry["id"]: entry for entry in FIELD}
CARD = CardData("5350206900000066", "02", "3012", "601", "0000000000099")
WHEN = "20261123090000"
UN = bytes.fromhex("66E03B45")

SMALL = """\
name = "small"
aid = "A000000333"

layout = [
  { tag = "85", text = "CPV01" },
  { tag = "61", objects = [
    { tag = "4F", value = "A000000333" },
    { tag = "5A", value = "{pan}", pad = "F" },
    { tag = "63", objects = [
      { tag = "9F26", value = "{cryptogram}" },
      { tag = "9F36", value = "{atc}" },
      { tag = "9F37", value = "{unpredictable_number}" },
    ] },
  ] },
]

[cryptogram]
input = ["9F37", "9F36"]
"""


def issue(profile: Profile, card: CardData = CARD, **parameters: str) -> bytes:
    key = bytes(range({"tdes-112": 16, "aes-128": 16, "aes-256": 32, "": 16}[profile.master_key_algorithm]))
    encrypt = aes_ecb(key) if profile.master_key_algorithm.startswith("aes") else tdes_ecb(key)
    return profile.compile(parameters).issue(encrypt, card, 139, UN, WHEN, "05")


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("digits", [13, 16, 19])
def test_built_in_profiles_issue_payloads_that_break_no_rule(name: str, digits: int) -> None:
    from cpmqr.model import luhn_ok

    pan = next(
        f"{number:0{digits}d}"
        for number in range(10 ** (digits - 1), 10**digits)
        if luhn_ok(f"{number:0{digits}d}")
    )
    profile = Profile.load(name)
    payload = issue(profile, CardData(pan, "02", "3012", "601", "0" * (27 - digits)))
    assert [
        finding for finding in validate(payload, profile=profile) if finding.rule != "common-data-alone"
    ] == []
    assert encode(decode(payload)) == payload
    assert decode(payload).applications[0].pan == pan


def test_unionpay_gives_the_fields_payload() -> None:
    payload = (
        Profile.load("unionpay")
        .compile({"institution": "3339393930333133"})
        .encode(
            CardData("6292690600000006", "00", "3010", "201", "0000018801"),
            0xFE3E,
            bytes.fromhex("00E9CA84"),
            WHEN,
            "00",
            bytes.fromhex("568B0D033EC15F10"),
        )
    )
    assert payload == bytes.fromhex(BY_ID["upi-5"]["hex"])


def test_qris_issues_without_a_cryptogram_or_a_key() -> None:
    profile = Profile.load("qris")

    def never(_: bytes) -> bytes:
        raise AssertionError

    payload = profile.compile({"cardholder_name": "TEST HOLDER", "issuer_url": "tel:123"}).issue(
        never, CardData("9360091400000000001", "00", "3012", "601", ""), 7, UN, WHEN, "00"
    )
    application = decode(payload).applications[0]
    assert (application.label, application.cardholder_name) == ("QRISCPM", "TEST HOLDER")
    assert application.transparent_values["9F74"].hex().upper() == f"{WHEN}000766E03B45"
    with pytest.raises(EncodeError, match="no cryptogram"):
        profile.compile().expected_cryptogram(never, CARD, 1, UN, WHEN, "00")


@pytest.mark.parametrize(("key_bytes", "scheme"), [(16, AES_128), (32, AES_256)])
def test_a_profile_may_choose_aes(key_bytes: int, scheme: Any) -> None:
    profile = Profile.parse(
        SMALL + f'algorithm = "aes"\noption = "c"\nkey_bytes = {key_bytes}\n', source="small.toml"
    )
    assert profile.master_key_algorithm == f"aes-{8 * key_bytes}"
    payload = issue(profile)
    expected = generate_arqc(aes_ecb(bytes(range(key_bytes))), CARD.pan, "02", 139, UN + b"\x00\x8b", scheme)
    assert decode(payload).applications[0].cryptogram == expected


def test_the_expected_cryptogram_is_the_one_issued_and_the_one_over_received_values() -> None:
    encrypt = tdes_ecb(bytes(range(16)))
    compiled = Profile.load("bc-domestic").compile()
    application = decode(compiled.issue(encrypt, CARD, 139, UN, WHEN, "05")).applications[0]
    assert application.cryptogram == compiled.expected_cryptogram(encrypt, CARD, 139, UN, WHEN, "05")
    values = dict(application.transparent_values)
    assert application.cryptogram == compiled.cryptogram_over(encrypt, CARD.pan, CARD.psn, values)
    values["9F36"] = b"\x00\x8c"
    assert application.cryptogram != compiled.cryptogram_over(encrypt, CARD.pan, CARD.psn, values)
    del values["9F10"]
    with pytest.raises(EncodeError, match="covers 9F10, which is not there"):
        compiled.cryptogram_over(encrypt, CARD.pan, CARD.psn, values)


def test_many_seconds_shapes_and_keys_do_not_mix_and_do_not_pile_up() -> None:
    encrypt = tdes_ecb(bytes(range(16)))
    shared = Profile.load("bc-domestic").compile()
    for number in range(300):
        card = CardData("9" * (13 + number % 4), "02", "3012", "601", "1" * (number % 10))
        values = (card, number, UN, f"202611230900{number % 60:02}", f"{number % 7:02X}")
        assert shared.issue(encrypt, *values) == Profile.load("bc-domestic").compile().issue(encrypt, *values)
    assert len(shared._templates) <= 64


@given(
    st.integers(13, 19),
    st.integers(0, 17),
    st.integers(0, 65535),
    st.binary(min_size=4, max_size=4),
    st.integers(0, 255),
)
def test_encoded_values_are_read_back(pan: int, disc: int, atc: int, un: bytes, dki: int) -> None:
    card = CardData("4" * pan, "09", "3012", "601", "7" * disc)
    compiled = Profile.load("bc-domestic").compile()
    if pan + disc + 8 > 38:
        with pytest.raises(EncodeError, match="19 at most"):
            compiled.encode(card, atc, un, WHEN, f"{dki:02X}", bytes(8))
        return
    read = decode(compiled.encode(card, atc, un, WHEN, f"{dki:02X}", bytes(8))).applications[0]
    assert (read.pan, read.psn, read.expiry, read.atc) == (card.pan, "09", "3012", atc)
    assert read.track2 is not None
    assert read.track2.discretionary == card.discretionary
    assert read.transparent_values["9F37"] == un
    assert read.transparent_values["9F10"][0] == dki


def test_a_long_payload_gets_a_long_length() -> None:
    payload = (
        Profile.load("bc-domestic").compile({"np": "00" * 150}).encode(CARD, 1, UN, WHEN, "05", bytes(8))
    )
    assert payload[7:9] == b"\x61\x81"
    assert not [finding for finding in validate(payload) if finding.level is Level.ERROR]


def test_a_users_own_file_is_loaded_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SMALL, "utf-8")
    profile = Profile.load(path)
    assert (profile.name, profile.source) == ("small", str(path))
    assert decode(issue(profile)).applications[0].aid == "A000000333"


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ('name = "small"', "name = ", 1, "Invalid value"),
        ('name = "small"', "name = 3", 1, "Expected `str`"),
        ('name = "small"', 'name = "Small"', 1, "matching regex"),
        ('name = "small"\n', "", None, "missing required field `name`"),
        ('aid = "A000000333"', 'aid = "A0"', 2, "matching regex"),
        ('value = "A000000333" }', 'value = "A00000033" }', 7, "odd number of digits"),
        ('value = "A000000333" }', 'value = "A00000033X" }', 7, "'X'"),
        ('value = "A000000333" }', 'value = "A000000333", text = "x" }', 7, "one of value, text or objects"),
        ('value = "A000000333" }', 'value = "" }', 7, "one of value, text or objects"),
        ('value = "A000000333" }', 'wert = "A000000333" }', 7, "unknown field `wert`"),
        ('value = "{pan}", pad = "F"', 'value = "{pam}"', 8, "no such placeholder or parameter: pam"),
        (
            'value = "{pan}", pad = "F"',
            'value = "{pan}{atc}", pad = "F"',
            8,
            "does not begin on a whole byte",
        ),
        ('value = "{pan}", pad = "F"', 'value = "1{atc}2"', 8, "does not begin on a whole byte"),
        ('value = "{pan}", pad = "F"', 'value = "{pan}", pad = "E"', 8, "matching regex"),
        ('{ tag = "63", objects', '{ tag = "5F", objects', 9, "matching regex"),
        ('{ tag = "63", objects', '{ tag = "9F60", objects', 9, "9F60 holds a value"),
        ('{ tag = "9F36", value = "{atc}" }', '{ tag = "70", value = "{atc}" }', 11, "70 holds objects"),
        (
            '{ tag = "9F36", value = "{atc}" }',
            '{ tag = "9F36", text = "{atc}" }',
            11,
            "names parameters alone",
        ),
        ('{ tag = "9F36", value = "{atc}" }', '{ tag = "9F36", text = "가" }', 11, "printable ASCII"),
        ('"9F37", "9F36"]', '"9F37", "9F10"]', 18, "covers 9F10, which the layout lacks"),
        ('"9F37", "9F36"]', '"9F37", "63"]', 18, "can't cover itself"),
        ('input = ["9F37", "9F36"]', 'algorithm = "rsa"', 18, "matching regex"),
        ('input = ["9F37", "9F36"]', 'algorithm = "aes"', 17, "aes goes with"),
        ('input = ["9F37", "9F36"]', "padding = 3", 18, "<= 2"),
        ('input = ["9F37", "9F36"]', "key_bytes = 24", 17, "tdes goes with"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(old: str, new: str, line: int | None, reason: str) -> None:
    assert old in SMALL
    with pytest.raises(ProfileError, match=reason) as caught:
        Profile.parse(SMALL.replace(old, new, 1), source="mine.toml")
    assert caught.value.line == line
    assert str(caught.value).startswith(f"mine.toml:{line}: " if line else "mine.toml: ")


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ProfileError, match=r"neither a built-in profile \(bc-domestic, unionpay, emvco, qris\)"
    ):
        Profile.load(tmp_path / "absent.toml")
    with pytest.raises(ProfileError, match="can't be read"):
        Profile.load(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(ProfileError, match="not UTF-8"):
        Profile.load(tmp_path / "latin.toml")
    (tmp_path / "long.toml").write_text(SMALL + "#" * FILE_BYTES_MAX)
    with pytest.raises(ProfileError, match="over 65536 bytes"):
        Profile.load(tmp_path / "long.toml")
    with pytest.raises(ProfileError):
        Profile.load("a\x00b")


def test_parameters_are_checked_when_they_are_filled_in() -> None:
    profile = Profile.load("bc-domestic")
    with pytest.raises(ProfileError, match="no parameter 'cvn': it has iad_2, np"):
        profile.compile({"cvn": "09"})
    with pytest.raises(ProfileError, match="bc-domestic:19: the value of 9F10 has 'x'"):
        profile.compile({"iad_2": "0x"})
    with pytest.raises(ProfileError, match="passes 1024 characters"):
        profile.compile({"np": "00" * 600})


def test_an_empty_value_is_left_out_only_where_it_may_be() -> None:
    text = SMALL.replace(
        '{ tag = "9F36"', '{ tag = "9F60", value = "{np}", optional = true },\n{ tag = "9F36"'
    )
    profile = Profile.parse(text + '\n[parameters.np]\nabout = "x"\n', source="mine.toml")
    assert "9F60" not in [item.tag for item in decode(issue(profile)).walk()]
    assert "9F60" in [item.tag for item in decode(issue(profile, np="00")).walk()]
    strict = text.replace(", optional = true", "") + '\n[parameters.np]\nabout = "x"\n'
    with pytest.raises(ProfileError, match="9F60 is empty"):
        Profile.parse(strict, source="mine.toml")


def test_track_2_may_be_laid_out_otherwise() -> None:
    text = SMALL.replace(
        '{ tag = "5A", value = "{pan}", pad = "F" }',
        '{ tag = "57", value = "{pan}D{expiry}{service_code}", pad = "F" }',
    )
    track2 = decode(issue(Profile.parse(text, source="x"))).applications[0].track2
    assert track2 is not None
    assert (track2.pan, track2.discretionary) == (CARD.pan, "")


@given(st.text(max_size=200))
def test_any_text_gives_a_profile_or_the_typed_error(text: str) -> None:
    for candidate in (text, SMALL + text, SMALL.replace("{pan}", text.replace('"', "").replace("\\", ""))):
        try:
            Profile.parse(candidate, source="x")
        except ProfileError:
            continue
