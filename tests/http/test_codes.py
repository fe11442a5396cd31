"""Every code of the contract that issuing can give, once over HTTP: status, envelope, headers, both spellings."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests import by_hand
from tests.process import Answer, Process

CODES_FILE = Path(__file__).parents[1] / "vectors" / "codes.md"
ROWS = {
    cells[0]: (cells[1], int(cells[3]), cells[4])
    for line in CODES_FILE.read_text("utf-8").splitlines()
    if line.startswith("| ") and line[2].isdigit()
    for cells in [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]]
}
BY_A_VERIFICATION = {"5003", "5004", "5005", "5006", "5007"}
Spelled = Callable[[dict[str, Any]], dict[str, Any]]


def _ask(served: Process, spelled: Spelled, headers: dict[str, str] | None = None, **wishes: Any) -> Answer:
    return served.post(by_hand.body_of(spelled(served.wallet.signed(**wishes))), headers)


def _without(name: str) -> Callable[[Process, Spelled], Answer]:
    def send(served: Process, spelled: Spelled) -> Answer:
        members = {key: value for key, value in served.wallet.signed().items() if key != name}
        return served.post(by_hand.body_of(spelled(members)))

    return send


def _with(headers: dict[str, str] | None = None, **wishes: Any) -> Callable[[Process, Spelled], Answer]:
    return lambda served, spelled: _ask(served, spelled, headers, **wishes)


def _of(state: str) -> Callable[[Process, Spelled], Answer]:
    return lambda served, spelled: _ask(served, spelled, pan=served.wallet.pan(state))


def _body(change: Callable[[bytes], bytes]) -> Callable[[Process, Spelled], Answer]:
    def send(served: Process, spelled: Spelled) -> Answer:
        return served.post(change(by_hand.body_of(spelled(served.wallet.signed()))))

    return send


def _suspended_requestor(served: Process, spelled: Spelled) -> Answer:
    suspended = served.wallet.known["suspended_requestor"]
    headers = {"Authorization": suspended["authorization"]}
    return _ask(served, spelled, headers, REQUESTOR_ID=suspended["requestor_id"])


def _used_number(served: Process, spelled: Spelled) -> Answer:
    trace_no = by_hand.new_trace_no()
    assert served.ask(trace_no=trace_no, time=by_hand.korean_now(-9)).code == "0000"
    return _ask(served, spelled, trace_no=trace_no)


def _wrong_hash(served: Process, spelled: Spelled) -> Answer:
    members = {**served.wallet.signed(), "HASH_CRC": by_hand.hash_crc(bytes(32), {}, set())}
    return served.post(by_hand.body_of(spelled(members)))


WAYS: dict[str, list[Callable[[Process, Spelled], Answer]]] = {
    "0000": [_with()],
    "1001": [_body(lambda body: body[:-1]), _body(lambda _: b""), _body(lambda _: b"[]"),
             _body(lambda body: b"\xff" + body)],
    "1002": [_without(name) for name in ("REQUESTOR_ID", "MSG_CD", "MSG_VER", "CRYPTO_TYPE", "CRYPTO_KEY_VER",
                                         "TRNS_TRCE_NO", "ENC_DATA")],
    "1003": [_with(RSLT_TYPE="XML"), _with(REG_ATON="20261301000000"), _with(trace_no="x" * 41),
             _body(lambda body: body.replace(b'"01"', b"1"))],
    "1004": [_with(MSG_CD="Q201"), _body(lambda body: body.replace(b"cpmqrdatareq", b"other"))],
    "1005": [_with(MSG_VER="02"), _body(lambda body: body.replace(b'"1.0"', b'"1.1"'))],
    "1006": [_body(lambda body: body.ljust(65_537))],
    "1007": [_with({"Content-Type": "text/plain"}), _with({"Content-Type": ""}),
             _with({"Content-Type": "application/json; charset=latin1"})],
    "2001": [_with({"Authorization": ""}), _with({"Authorization": "unknown"}), _with({"Authorization": "x" * 10_000})],
    "2002": [_with(REQUESTOR_ID="42000000067")],
    "2003": [_suspended_requestor],
    "3001": [_with(CRYPTO_TYPE="99")],
    "3002": [_with(CRYPTO_KEY_VER="77"), _with(CRYPTO_KEY_VER="01"), _with(CRYPTO_KEY_VER="02")],
    "3003": [_with(sealed=bytes(60)), _with(crypto_type="02", sealed=bytes(47)), _with(ENC_DATA="no Base64")],
    "3004": [_without("HASH_CRC"), _wrong_hash],
    "3005": [_with(plaintext="5350206900000066|x|y|"), _with(plaintext="no plaintext")],
    "3006": [_with(time=by_hand.korean_now(-400)), _with(time=by_hand.korean_now(600))],
    "4001": [_with(pan="4222222222222")],
    "4002": [_of("suspended")],
    "4003": [_of("deleted")],
    "4004": [_of("expired")],
    "4006": [_of("exhausted")],
    "5001": [_used_number],
    **{code: [_with({"X-Sandbox-Result": code})] for code in ("8001", "9001", "9002", "9003", "9999")},
}  # fmt: skip


def test_no_code_of_the_contract_is_left_out() -> None:
    assert WAYS.keys() | BY_A_VERIFICATION == ROWS.keys()


@pytest.mark.parametrize("spelled", [dict, by_hand.table_spelling], ids=["sample", "table"])
@pytest.mark.parametrize("code", WAYS)
def test_a_code_comes_with_its_status_text_envelope_and_headers(
    served: Process, code: str, spelled: Spelled
) -> None:
    text, status, retry = ROWS[code]
    for way in WAYS[code]:
        answer = way(served, spelled)
        response = answer.response
        assert (response["RSLT_CD"], answer.status) == (code, status), answer
        assert re.match(rf"{text}$" if code == "0000" else rf"{text}: \S", response["RSLT_MSG"])
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers.get("retry-after", "none").isdigit() == (retry == "Retry-After")
        if code != "0000":
            assert response.keys() <= {"RSLT_CD", "RSLT_MSG", "REQUESTOR_ID", "MSG_CD", "MSG_ID", "MSG_VER"}


def test_a_wrong_credential_is_one_answer_whatever_is_wrong_with_it(served: Process) -> None:
    own = served.wallet.authorization
    wrong = (
        "x",
        "Basic " + own,
        own[:-1],
        own + own,
        "Bearer",
        "Bearer " + own[::-1],
        "x" * 10_000,
        "\xff\xfe",
    )
    bodies = {served.ask({"Authorization": value}).body for value in wrong}
    assert len(bodies) == 1
    for good in (own, f"Bearer {own}", f"bearer  {own}", f"BEARER {own}  "):
        assert served.ask({"Authorization": good}).code == "0000"


def test_every_other_way_to_write_the_content_type_is_read(served: Process) -> None:
    members = served.wallet.signed(trace_no=by_hand.new_trace_no() + "거래")
    body = by_hand.body_of(members)
    first = served.post(body).response
    for content_type in (
        "application/json",
        "APPLICATION/JSON; CHARSET=UTF-8",
        'application/json;charset="utf-8"',
    ):
        assert served.post(body, {"Content-Type": content_type}).response == first
    euc_kr = body.decode().encode("euc-kr")
    assert served.post(euc_kr, {"Content-Type": "application/json; charset=euc-kr"}).response == first
    assert served.post(euc_kr, {"Content-Type": "application/json"}).code == "1001"


def test_the_pages_own_sample_is_told_in_korean_what_is_wrong_with_it(served: Process) -> None:
    page = json.loads((CODES_FILE.parent / "page.json").read_text("utf-8"))["request"]
    pasted = served.post(json.dumps(page, indent=2).encode())
    signed = served.post(by_hand.body_of(served.wallet.sign(page["PAYGW"]["REQUEST"])))
    assert (pasted.code, signed.code) == ("3004", "3005")
    for answer in (pasted, signed):
        assert answer.status == 400
        assert "자리표시자" in answer.response["RSLT_MSG"]
        assert "cpmqr request" in answer.response["RSLT_MSG"]
        assert page["PAYGW"]["REQUEST"]["ENC_DATA"] not in answer.body.decode()


def test_a_refusal_never_repeats_enc_data_or_a_pan_put_in_another_members_place(served: Process) -> None:
    wallet = served.wallet
    for name in (
        "REQUESTOR_ID",
        "MSG_CD",
        "MSG_VER",
        "CRYPTO_TYPE",
        "CRYPTO_KEY_VER",
        "APP_DV",
        "REG_ATON",
    ):
        for value in (wallet.pan(), wallet.signed()["ENC_DATA"]):
            answer = served.post(by_hand.body_of({**wallet.signed(), name: value}))
            assert answer.status >= 400
            assert value not in answer.body.decode()
