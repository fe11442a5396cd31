"""What an authoriser presents: payloads and messages, whole and broken."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpmqr.emv import cpm, tlv
from cpmqr.errors import Refusal
from cpmqr.service.presented import REQUIRED, differences, read_expected, read_presented
from cpmqr.wire import codes, v1

VECTORS = Path(__file__).parents[2] / "vectors"
# Source: the sample of the page "CPM QR 결제 데이터 요청".
PAGE = (
    "hQVDUFYwMWFaTwfUEAAAAUAQVxNTUCBpAAAAZtIAdgEAAAAAAAmfXzQBAmM2nyYImERHcznr1n2fJwGAnxAUBQmgAAgAAAAAAAAAICAGERdRIQGfNgIA"
    "i4ICAACfNwRm4DtF"
)
PAGE_TRACK2 = "5350206900000066=20076010000000000099"
PAGE_ICC = cpm.decode(PAGE).applications[0].transparent.hex()


def presented_payload(text: str) -> Any:
    return read_presented(v1.VerificationRequest(authorization_id="a", payload=text))


def presented_message(track2: str, icc_data: str) -> Any:
    return read_presented(v1.VerificationRequest(authorization_id="a", track2=track2, icc_data=icc_data))


def test_the_pages_payload_names_its_pan_and_counter() -> None:
    presented = presented_payload(PAGE)
    assert (presented.pan, presented.atc) == ("5350206900000066", 0x8B)
    assert presented.values["9F37"].hex() == "66e03b45"
    assert "5350206900000066" not in repr(presented)


def test_a_message_made_of_a_payload_has_the_same_values() -> None:
    whole, message = presented_payload(PAGE), presented_message(PAGE_TRACK2, PAGE_ICC)
    assert (message.pan, message.atc) == (whole.pan, whole.atc)
    assert {tag: whole.values[tag] for tag in message.values} == dict(message.values)
    assert differences(message, whole) == []
    assert differences(whole, whole) == []


def test_every_payload_from_the_field_with_a_cryptogram_can_be_presented() -> None:
    """Those of `vectors/cpm.json` that decode and carry 9F36; whose they are, the store says."""
    known = json.loads((VECTORS / "cpm.json").read_text("utf-8"))
    texts = [text for text in _texts(known) if _has_counter(text)]
    assert len(texts) > 5
    for text in texts:
        assert 13 <= len(presented_payload(text).pan) <= 19


def _texts(tree: object) -> list[str]:
    if isinstance(tree, dict):
        return [text for value in tree.values() for text in _texts(value)]
    if isinstance(tree, list):
        return [text for value in tree for text in _texts(value)]
    return [tree] if isinstance(tree, str) and tree.startswith("hQVDUFY") else []


def _has_counter(text: str) -> bool:
    try:
        applications = cpm.decode(text).applications
    except ValueError:
        return False
    return any(
        application.atc is not None and application.pan is not None and len(application.pan) >= 13
        for application in applications
    )


@pytest.mark.parametrize("tag", ["57", "5F34", "9F26", "9F27", "9F10", "82", "9F37", "4F"])
def test_each_value_that_differs_is_named(tag: str) -> None:
    whole = presented_payload(PAGE)
    binary = bytearray(whole.payload)
    found = next(item for item in cpm.decode(PAGE).walk() if item.tag == tag)
    binary[found.value_offset + len(found.value) - 2 if tag == "57" else found.value_offset] ^= 1
    other = read_expected(bytes(binary))
    assert differences(other, whole) == [tag, "payload"]


def test_an_application_id_in_a_message_is_judged_by_either_of_its_tags() -> None:
    whole = presented_payload(PAGE)
    for tag in ("84", "9F06"):
        right = presented_message(PAGE_TRACK2, PAGE_ICC + f"{tag}07D4100000014010")
        wrong = presented_message(PAGE_TRACK2, PAGE_ICC + f"{tag}07D4100000014011")
        assert differences(right, whole) == []
        assert differences(wrong, whole) == ["4F"]


def test_a_message_without_a_proof_is_never_equal_to_an_issue_without_one() -> None:
    whole = presented_payload(PAGE)
    bare = msgspec.structs.replace(whole, values={"57": whole.values["57"]})
    assert differences(presented_message(PAGE_TRACK2, PAGE_ICC), bare) == list(REQUIRED)


@pytest.mark.parametrize("length", range(0, 2 * 99, 2))
def test_every_truncation_of_a_payload_is_refused(length: int) -> None:
    with pytest.raises(Refusal) as refused:
        presented_payload(cpm.decode(PAGE).raw.hex()[:length] or " ")
    assert refused.value.rslt_cd == codes.MEMBER_WRONG


def test_every_truncation_of_icc_data_is_refused() -> None:
    for length in range(len(PAGE_ICC)):
        with pytest.raises(Refusal) as refused:
            presented_message(PAGE_TRACK2, PAGE_ICC[:length])
        assert refused.value.rslt_cd == codes.MEMBER_WRONG


@pytest.mark.parametrize(
    "track2",
    [
        "5350206900000066=2007601",
        "5350206900000066d2007601",
        ";5350206900000066=20076010000000000099?",
        "5350206900000066D20076010000000000099F",
    ],
)
def test_track_2_is_read_in_its_usual_spellings(track2: str) -> None:
    assert presented_message(track2, PAGE_ICC).pan == "5350206900000066"


@pytest.mark.parametrize(
    "track2",
    [
        "5350206900000066",
        "=2007601",
        "5350206900000066=200760",
        "535020690000=2007601",
        "53502069000000661234=2007601",
        "5350206900000066=2007601=",
        "5350206900000066 =2007601",
        "5350206900000066=20O7601",
        "٥٣٥٠٢٠٦٩٠٠٠٠٠٠٦٦=2007601",
    ],
)
def test_what_is_no_track_2_is_refused_without_its_digits(track2: str) -> None:
    with pytest.raises(Refusal) as refused:
        presented_message(track2, PAGE_ICC)
    assert refused.value.rslt_cd == codes.MEMBER_WRONG
    assert "535020" not in refused.value.cause


def test_a_counter_of_another_length_is_refused() -> None:
    objects = [
        tlv.primitive("9F36", b"\x01") if item.tag == "9F36" else item
        for item in tlv.parse(bytes.fromhex(PAGE_ICC))
    ]
    with pytest.raises(Refusal):
        presented_message(PAGE_TRACK2, tlv.build(objects).hex())


@given(text=st.text(max_size=300) | st.binary(max_size=200).map(bytes.hex))
def test_whatever_comes_is_read_or_refused(text: str) -> None:
    for read in (
        lambda: presented_payload(text),
        lambda: presented_message(text, PAGE_ICC),
        lambda: presented_message(PAGE_TRACK2, text),
    ):
        with contextlib.suppress(Refusal):
            read()
