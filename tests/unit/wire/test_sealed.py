"""ENC_DATA's plaintext and HASH_CRC, against worked examples of an implementation that is not this one."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpmqr.crypto.blocks import hmac_sha256
from cpmqr.errors import Refusal, UnsealError
from cpmqr.model import HashMode
from cpmqr.wire import sealed
from cpmqr.wire.contract import REQUEST_MEMBERS

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "contract.json").read_text("utf-8"))
PAN, TIME, TRACE = "5350206900000066", "20261123090000", "NPAY202009XX123XXXX35"


def number_and_kind(example: dict[str, Any]) -> str:
    return example.get("crypto_type") or f"{example['mode']}-{len(example['members'])}"


@pytest.mark.parametrize("example", VECTORS["seal"], ids=number_and_kind)
def test_plaintext_and_aad_are_those_of_the_examples(example: dict[str, Any]) -> None:
    pan, time, trace, _ = example["plaintext"].split("|")
    assert sealed.plaintext(pan, time, trace) == example["plaintext"].encode()
    if "aad" in example:
        assert sealed.associated_data("42000000066", "00", trace) == example["aad"].encode()


@pytest.mark.parametrize("example", VECTORS["hash_crc"], ids=number_and_kind)
def test_canonical_text_and_hash_crc_are_those_of_the_examples(example: dict[str, Any]) -> None:
    text_of = sealed.response_text if "RSLT_CD" in example["members"] else sealed.request_text
    text = text_of(example["members"])
    assert text == example["canonical_text"].encode()
    key = bytes.fromhex(example["key_hex"] or "")
    assert sealed.hash_crc(HashMode(example["mode"]), hmac_sha256(key), text) == example["hash_crc"]
    assert sealed.hash_crc_equal(example["hash_crc"], example["hash_crc"])


def test_the_canonical_text_takes_members_in_order_of_name_and_neither_hash_crc_nor_unknown_ones() -> None:
    example = VECTORS["hash_crc"][0]
    shuffled = {"NEW": "x", "HASH_CRC": "y", **dict(reversed(example["members"].items())), "MSG_ID": "z"}
    assert sealed.request_text(shuffled) == example["canonical_text"].encode()
    answer = VECTORS["hash_crc"][-1]
    with_more = {"HASH_CRC": "y", "MSG_ID": "Q200", **answer["members"]}
    assert sealed.response_text(with_more) == answer["canonical_text"].encode()


def test_the_canonical_text_leaves_out_what_is_absent_and_keeps_what_is_empty() -> None:
    assert sealed.request_text({"MSG_VER": "01", "APP_DV": ""}) == b"APP_DV=\nMSG_VER=01\n"
    assert sealed.request_text({"MSG_VER": "01"}) == b"MSG_VER=01\n"
    assert sealed.request_text({}) == b""


def test_every_canonical_member_but_hash_crc_is_covered() -> None:
    names = sorted(member.name for member in REQUEST_MEMBERS if member.name != "HASH_CRC")
    text = sealed.request_text(dict.fromkeys(names, "x")).decode()
    assert text == "".join(f"{name}=x\n" for name in names)
    assert list(sealed.RESPONSE_MEMBERS) == sorted(sealed.RESPONSE_MEMBERS)


def test_hash_crc_is_empty_where_the_mode_is_off() -> None:
    assert sealed.hash_crc(HashMode.OFF, sealed.NO_KEY, b"text") == ""


@pytest.mark.parametrize("sent", ["", "O3ZFmBhQdzuZ+kIf9jmQ74h8Ziv+t0nlW2vQXymQllE", "가나다", "x" * 10_000])
def test_another_hash_crc_is_told_apart_whatever_its_length_or_letters(sent: str) -> None:
    assert not sealed.hash_crc_equal(sent, "O3ZFmBhQdzuZ+kIf9jmQ74h8Ziv+t0nlW2vQXymQllE=")


def test_blanks_around_each_value_are_stripped() -> None:
    opened = sealed.read_plaintext(f"  {PAN} | {TIME}  |  {TRACE}  |  ".encode(), TRACE)
    assert (opened.pan.reveal(), opened.request_time) == (PAN, TIME)
    assert opened == sealed.read_plaintext(f"{PAN}|{TIME}|{TRACE}|".encode(), TRACE)


def test_blanks_of_the_trace_number_itself_do_not_count_either() -> None:
    assert sealed.read_plaintext(f"{PAN}|{TIME}| A B |".encode(), "  A B").pan.reveal() == PAN


def test_a_plaintext_of_korean_text_opens() -> None:
    assert sealed.read_plaintext(sealed.plaintext(PAN, TIME, "거래-1"), "거래-1").request_time == TIME


@pytest.mark.parametrize("pan", ["4000000000006", "5350206900000066", "6200000000000000000", "4222222222222"])
def test_pans_of_13_to_19_digits_are_read(pan: str) -> None:
    assert sealed.read_plaintext(sealed.plaintext(pan, TIME, TRACE), TRACE).pan.reveal() == pan


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "three bars"),
        ("|||", "digital PAN"),
        (PAN, "three bars"),
        (f"{PAN}|{TIME}|{TRACE}", "three bars"),
        (f"{PAN}|{TIME}|{TRACE}||", "three bars"),
        (f"{PAN}|{TIME}|{TRACE}|x", "three bars"),
        (f"{PAN}|{TIME}|{TRACE}|\n", "three bars"),
        (f"|{PAN}|{TIME}|{TRACE}|", "three bars"),
        (f"{PAN[:-1]}7|{TIME}|{TRACE}|", "check digit"),
        (f"{PAN[:12]}|{TIME}|{TRACE}|", "13 to 19 digits"),
        (f"40000000000000000002|{TIME}|{TRACE}|", "13 to 19 digits"),
        (f"5350 2069 0000 0066|{TIME}|{TRACE}|", "13 to 19 digits"),
        (f"５350206900000066|{TIME}|{TRACE}|", "13 to 19 digits"),
        (f"\ufeff{PAN}|{TIME}|{TRACE}|", "13 to 19 digits"),
        (f"\t{PAN}|{TIME}|{TRACE}|", "13 to 19 digits"),
        (f"{PAN}||{TRACE}|", "request time"),
        (f"{PAN}|2026112309000|{TRACE}|", "request time"),
        (f"{PAN}|20260230090000|{TRACE}|", "request time"),
        (f"{PAN}|2026-11-23 09:00|{TRACE}|", "request time"),
        (f"{PAN}|{TIME}||", "trace number"),
        (f"{PAN}|{TIME}|{TRACE}x|", "trace number"),
        (f"{PAN}|{TIME}|{TRACE.lower()}|", "trace number"),
        (f"{PAN}|{TIME}|{TRACE}\x00|", "trace number"),
    ],
)
def test_a_wrong_plaintext_is_3005_and_says_which_part_without_its_value(text: str, cause: str) -> None:
    with pytest.raises(Refusal) as caught:
        sealed.read_plaintext(text.encode(), TRACE)
    assert caught.value.rslt_cd == "3005"
    assert cause in caught.value.cause
    assert not any(part in caught.value.cause for part in text.split("|") if len(part) > 4)


@given(st.binary(max_size=100))
def test_any_other_bytes_are_3005(opened: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        sealed.read_plaintext(opened, TRACE)
    assert caught.value.rslt_cd == "3005"


@given(st.binary(min_size=1, max_size=200))
def test_padded_base64_opens(blob: bytes) -> None:
    assert sealed.decode_enc_data(base64.b64encode(blob).decode()) == blob


@pytest.mark.parametrize(
    "enc_data",
    ["QQ", "QQ=", "QQ===", "QR==", "AAAA=", "AAAA====", "=", "====", "A===", "QQ==QQ==", "QQ==\n", " QQ==", "QQ ==",
     "QQ==\x00", "AA-_", "Q\r\nQ==", "QQ==A", "가나다라", "QQ＝=", "AAAAA"],
)  # fmt: skip
def test_what_is_not_the_one_padded_base64_of_its_bytes_does_not_open(enc_data: str) -> None:
    with pytest.raises(UnsealError) as caught:
        sealed.decode_enc_data(enc_data)
    assert enc_data not in str(caught.value)


def test_the_content_of_a_retry_is_the_same_though_its_ciphertext_and_hash_crc_differ() -> None:
    opened = sealed.read_plaintext(sealed.plaintext(PAN, TIME, TRACE), TRACE)
    members = dict(VECTORS["hash_crc"][0]["members"])
    text = sealed.content_text(sealed.request_lines(members), opened)
    assert (
        sealed.content_text(sealed.request_lines({**members, "ENC_DATA": "x", "HASH_CRC": "y"}), opened)
        == text
    )
    for name in members.keys() - {"ENC_DATA"}:
        assert sealed.content_text(sealed.request_lines({**members, name: "other"}), opened) != text, name
        assert (
            sealed.content_text(
                sealed.request_lines({key: members[key] for key in members if key != name}), opened
            )
            != text
        ), name


def test_the_content_differs_by_pan_and_by_request_time() -> None:
    members = VECTORS["hash_crc"][0]["members"]
    texts = {
        sealed.content_text(
            sealed.request_lines(members), sealed.read_plaintext(sealed.plaintext(pan, time, TRACE), TRACE)
        )
        for pan in (PAN, "4222222222222")
        for time in (TIME, "20261123090001")
    }
    assert len(texts) == 4
