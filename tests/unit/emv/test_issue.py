"""The gateway's side of the toolkit: a profile makes the payloads of the contract's worked examples."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from cpmqr.crypto.blocks import tdes_ecb
from cpmqr.emv.profile import BUILT_IN, CardData, Profile
from cpmqr.errors import EncodeError

VECTORS = Path(__file__).parents[2] / "vectors"
EXAMPLES = json.loads((VECTORS / "contract.json").read_text("utf-8"))["payload"]
FIELD = {entry["id"]: entry for entry in json.loads((VECTORS / "cpm.json").read_text("utf-8"))}
CARD_FIELDS = ("pan", "psn", "expiry", "service_code", "discretionary")
CARD = CardData("5350206900000066", "02", "2007", "601", "0000000000099")


def card_of(example: dict[str, Any]) -> CardData:
    return CardData(**{name: example[name] for name in CARD_FIELDS})


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"atc {example['atc']}")
def test_bc_domestic_issues_the_contracts_payload(example: dict[str, Any]) -> None:
    profile = Profile.load("bc-domestic").compile()
    encrypt = tdes_ecb(bytes.fromhex(example["issuer_master_key_hex"]))
    values = (
        card_of(example),
        example["atc"],
        bytes.fromhex(example["unpredictable_number"]),
        example["issued_at_korean_time"],
        "05",
    )
    assert base64.b64encode(profile.issue(encrypt, *values)).decode() == example["cpmqr_data"]
    assert profile.expected_cryptogram(encrypt, *values).hex().upper() == example["cryptogram"]


def test_bc_domestic_gives_the_pages_99_bytes() -> None:
    payload = (
        Profile.load("bc-domestic")
        .compile()
        .encode(
            CARD, 139, bytes.fromhex("66E03B45"), "20200611175121", "05", bytes.fromhex("9844477339EBD67D")
        )
    )
    assert payload == bytes.fromhex(FIELD["bc-sample"]["hex"])


def test_bc_domestic_gives_the_field_payload_with_9f60() -> None:
    np = "4E5005A36219008D4BA1B7DAEEC9C5432BAF"
    payload = (
        Profile.load("bc-domestic")
        .compile({"iad_2": "21", "np": np})
        .encode(
            CardData("9200770000000007", "02", "2408", "601", "0900008700000"),
            0x57,
            bytes.fromhex("17BFDE42"),
            "20240726130447",
            "B1",
            bytes.fromhex("91F25D6CDD6C1A5C"),
        )
    )
    assert payload == bytes.fromhex(FIELD["kr-d410-9f60"]["hex"])


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_profile_loads_and_compiles(name: str) -> None:
    profile = Profile.load(name)
    assert profile.name == name
    assert profile.master_key_algorithm == ("" if name == "qris" else "tdes-112")


@pytest.mark.parametrize(
    "wrong",
    [
        {"atc": -1},
        {"atc": 65536},
        {"unpredictable_number": b"123"},
        {"issued_at": "2020061117512"},
        {"issued_at": "2020061117512A"},
        {"issued_at": "20 0061117512 1"},
        {"dki": "5"},
        {"dki": "0G"},
        {"cryptogram": b""},
        {"cryptogram": b"123456789"},
    ],
    ids=str,
)
def test_encode_refuses_a_value_that_does_not_fit(wrong: dict[str, Any]) -> None:
    values: dict[str, Any] = {
        "card": CARD,
        "atc": 1,
        "unpredictable_number": bytes(4),
        "issued_at": "20200611175121",
        "dki": "05",
        "cryptogram": bytes(8),
    }
    with pytest.raises(EncodeError):
        Profile.load("bc-domestic").compile().encode(**(values | wrong))


def test_card_data_print_masked() -> None:
    assert repr(CARD) == "<card 535020******0066 psn 02>"
    assert "2007" not in repr(CARD)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pan", "535020690000"),
        ("pan", "53502069000000660000"),
        ("pan", "535020690000006A"),
        ("pan", "٥350206900000066"),
        ("psn", "2"),
        ("expiry", "2013"),
        ("expiry", "207"),
        ("service_code", "60"),
        ("discretionary", "0" * 18),
        ("discretionary", " 12"),
    ],
)
def test_card_data_refuse_what_is_no_card(field: str, value: str) -> None:
    fields = {name: getattr(CARD, name) for name in CARD_FIELDS} | {field: value}
    with pytest.raises(EncodeError) as caught:
        CardData(**fields)
    assert fields["pan"] not in str(caught.value)


def test_check_card_refuses_a_track_2_over_19_bytes() -> None:
    with pytest.raises(EncodeError, match="19 at most"):
        Profile.load("bc-domestic").compile().check_card(CardData("9" * 19, "02", "2007", "601", "0" * 13))
