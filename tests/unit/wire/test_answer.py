"""Answers as a wallet reads them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest

from cpmqr.crypto.blocks import hmac_sha256
from cpmqr.model import HashMode
from cpmqr.wire import answer, sealed
from cpmqr.wire.codes import CODES

KEY = bytes(range(32, 64))
NAMES_OF_THE_PAGE = {
    "CPMQR_DATA",
    "CRYPTO_KEY_VER",
    "CRYPTO_TYPE",
    "HASH_CRC",
    "MSG_VER",
    "RSLT_TYPE",
    "MSG_CD",
    "MSG_ID",
    "REQUESTOR_ID",
    "QR_DATA_MAPP_VAL",
    "RSLT_CD",
    "RSLT_MSG",
}


def success(mode: HashMode) -> dict[str, str]:
    body = answer.success(
        requestor_id="42000000066",
        crypto_type="01",
        crypto_key_ver="00",
        cpmqr_data=b"hQVDUFYwMQ==",
        mapping_value="0123456789ABCDEF0123456789ABCDEF01234567",
        hash_mode=mode,
        hash_mac=hmac_sha256(KEY),
    )
    return response_of(body)


def response_of(body: bytes) -> dict[str, str]:
    tree = json.loads(body)
    assert list(tree) == ["PAYGW"]
    assert tree["PAYGW"].keys() == {"REQID", "VERSION", "RESPONSE"}
    assert (tree["PAYGW"]["REQID"], tree["PAYGW"]["VERSION"]) == ("cpmqrdatareq", "1.0")
    assert all(isinstance(value, str) for value in tree["PAYGW"]["RESPONSE"].values())
    return tree["PAYGW"]["RESPONSE"]


def test_a_success_holds_every_name_of_the_pages_table_and_sample() -> None:
    response = success(HashMode.HMAC_SHA256)
    assert response.keys() == NAMES_OF_THE_PAGE
    assert {
        name: response[name] for name in ("RSLT_CD", "RSLT_MSG", "MSG_CD", "MSG_ID", "MSG_VER", "RSLT_TYPE")
    } == {
        "RSLT_CD": "0000",
        "RSLT_MSG": "성공",
        "MSG_CD": "Q200",
        "MSG_ID": "Q200",
        "MSG_VER": "01",
        "RSLT_TYPE": "JSON",
    }


def test_hash_crc_of_a_success_covers_all_members_but_itself_and_msg_id() -> None:
    for mode in (HashMode.HMAC_SHA256, HashMode.SHA256):
        response = success(mode)
        sent = base64.b64decode(response.pop("HASH_CRC"))
        del response["MSG_ID"]
        text = "".join(f"{name}={response[name]}\n" for name in sorted(response)).encode()
        made = (
            hmac.digest(KEY, text, "sha256")
            if mode is HashMode.HMAC_SHA256
            else hashlib.sha256(text).digest()
        )
        assert sent == made


def test_a_success_has_no_hash_crc_where_the_requestors_mode_is_off() -> None:
    assert success(HashMode.OFF).keys() == NAMES_OF_THE_PAGE - {"HASH_CRC"}


SENT = {
    "REQUESTOR_ID": "42000000066",
    "MSG_ID": "Q200",
    "MSG_VER": "01",
    "ENC_DATA": "QUJDRA==",
    "TRNS_TRCE_NO": "5350206900000066",
}


@pytest.mark.parametrize("rslt_cd", [code for code in CODES if code != "0000"])
@pytest.mark.parametrize("sandbox", [True, False])
def test_a_refusal_has_its_code_and_text_and_the_cause_where_it_may(rslt_cd: str, sandbox: bool) -> None:
    response = response_of(answer.refusal(rslt_cd, "the cause", SENT, sandbox=sandbox))
    text = CODES[rslt_cd].rslt_msg
    terse = rslt_cd in ("3003", "9001", "9002", "9999") and not sandbox
    assert response == {
        "REQUESTOR_ID": "42000000066",
        "MSG_CD": "Q200",
        "MSG_ID": "Q200",
        "MSG_VER": "01",
        "RSLT_CD": rslt_cd,
        "RSLT_MSG": text if terse else f"{text}: the cause",
    }


def test_a_refusal_without_a_cause_has_the_fixed_text_alone() -> None:
    assert response_of(answer.refusal("4002", "", {}, sandbox=True)) == {
        "RSLT_CD": "4002",
        "RSLT_MSG": "토큰 일시정지",
    }


def test_the_answers_canonical_text_is_the_one_that_the_general_function_gives() -> None:
    response = success(HashMode.HMAC_SHA256)
    text = sealed.response_text(response)
    assert response["HASH_CRC"] == sealed.hash_crc(HashMode.HMAC_SHA256, hmac_sha256(KEY), text)
