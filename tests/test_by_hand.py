"""The hand-written wallet itself, against the contract's worked examples."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from tests import by_hand

VECTORS = json.loads((Path(__file__).parent / "vectors" / "contract.json").read_text("utf-8"))


@pytest.mark.parametrize("example", VECTORS["payload"], ids=lambda example: str(example["atc"]))
def test_the_cryptogram_by_hand_is_the_examples(example: dict[str, Any]) -> None:
    fields = by_hand.fields_of(example["cpmqr_data"])
    made = by_hand.cryptogram(
        bytes.fromhex(example["issuer_master_key_hex"]),
        example["pan"],
        example["psn"],
        fields["9F36"],
        fields["9F37"] + fields["82"] + fields["9F36"] + fields["9F10"],
    )
    assert made == fields["9F26"] == bytes.fromhex(example["cryptogram"])
    assert by_hand.atc_of(example["cpmqr_data"]) == example["atc"]


@pytest.mark.parametrize("example", VECTORS["hash_crc"], ids=lambda example: example["mode"])
def test_hash_crc_by_hand_is_the_examples(example: dict[str, Any]) -> None:
    key = bytes.fromhex(example["key_hex"]) if example["key_hex"] else None
    covered = by_hand.COVERED_IN_ANSWERS if "RSLT_CD" in example["members"] else by_hand.COVERED
    assert by_hand.hash_crc(key, example["members"], covered) == example["hash_crc"]


@pytest.mark.parametrize("example", VECTORS["seal"], ids=lambda example: example["crypto_type"])
def test_a_seal_by_hand_is_the_examples(example: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    random = bytes.fromhex(example.get("nonce_hex") or example.get("iv_hex") or "")
    monkeypatch.setattr(by_hand.os, "urandom", lambda count: random[:count])
    blob = by_hand.seal(
        example["crypto_type"],
        bytes.fromhex(example.get("key_hex", "")),
        example["plaintext"].encode(),
        example.get("aad", "").encode(),
    )
    assert base64.b64encode(blob).decode() == example["enc_data"]
