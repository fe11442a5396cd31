"""HASH_CRC by the requestor's setting; what answers say, in the sandbox and outside it."""

from __future__ import annotations

import asyncio
import base64
import re
from pathlib import Path

import msgspec
import pytest
from tests import by_hand
from tests.drafts import FAULTS, USED_TRACE_NO, Draft
from tests.in_process import House, run

from cpmqr.model import HashMode
from cpmqr.service.issue import Reply
from cpmqr.service.sample import PAGE_SAMPLE_ENC_DATA
from cpmqr.store.base import Actor

ACTOR = Actor("test", "test")


def response(reply: Reply) -> dict[str, str]:
    return by_hand.response_of(reply.body)


@pytest.mark.parametrize("mode", list(HashMode))
def test_hash_crc_is_what_the_requestors_setting_says(tmp_path: Path, mode: HashMode) -> None:
    async def scenario(house: House) -> None:
        gateway, wallet = house.gateway, house.wallet
        record = gateway.access.current.principals[wallet.known["requestor_id"]].requestor
        await house.change(
            gateway.store.put_requestor(ACTOR, msgspec.structs.replace(record, hash_crc=mode), 0)
        )
        members = wallet.members()
        keyed = by_hand.hash_crc(wallet.hash_key, members, by_hand.COVERED)
        plain = by_hand.hash_crc(None, members, by_hand.COVERED)
        for sent, good_in in (
            (None, {HashMode.OFF}),
            ("not even Base64", {HashMode.OFF}),
            (keyed, {HashMode.OFF, HashMode.HMAC_SHA256}),
            (plain, {HashMode.OFF, HashMode.SHA256}),
            (keyed + "\n", {HashMode.OFF}),
            (keyed.rstrip("="), {HashMode.OFF}),
        ):
            reply = await house.send({**members, **({} if sent is None else {"HASH_CRC": sent})})
            assert reply.rslt_cd == ("0000" if mode in good_in else "3004"), sent
            if reply.rslt_cd == "0000":
                answer = response(reply)
                key = wallet.hash_key if mode is HashMode.HMAC_SHA256 else None
                expected = by_hand.hash_crc(key, answer, by_hand.COVERED_IN_ANSWERS)
                assert answer.get("HASH_CRC") == (None if mode is HashMode.OFF else expected)
        cbc = await house.send(wallet.signed(crypto_type="02"))
        assert cbc.rslt_cd == ("0000" if mode is HashMode.HMAC_SHA256 else "3001")

    run(tmp_path, scenario)


def test_hash_crc_is_checked_before_anything_is_decrypted(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        for crypto_type in ("01", "02", "11"):
            members = house.wallet.signed(crypto_type=crypto_type)
            blob = bytearray(base64.b64decode(members["ENC_DATA"]))
            blob[-1] ^= 1
            changed = {**members, "ENC_DATA": base64.b64encode(bytes(blob)).decode()}
            assert (await house.send(changed)).rslt_cd == "3004"
            assert (await house.send(house.wallet.sign(changed))).rslt_cd in ("3003", "3005")

    run(tmp_path, scenario)


@pytest.mark.parametrize("name", sorted(by_hand.COVERED - {"ENC_DATA"}))
def test_a_member_changed_after_signing_is_3004_or_refused_earlier(tmp_path: Path, name: str) -> None:
    async def scenario(house: House) -> None:
        members = house.wallet.signed(
            RSLT_TYPE="JSON",
            REG_ATON="20261123090000",
            REQ_KEY_DV="1",
            CPMQR_DATA_CLSS="1",
            DNF_DV="1",
            APP_DV="x",
        )
        other = {"REG_ATON": "20261123090001", "APP_DV": "y", "DNF_DV": "", "CRYPTO_TYPE": "02"}.get(name, "")
        without = {key: value for key, value in members.items() if key != name}
        for changed in ({**members, name: other}, without):
            code = (await house.send(changed)).rslt_cd
            assert code in ("3004", "1002", "1003", "1004", "1005"), changed
            assert code != "0000"

    run(tmp_path, scenario)


def test_in_the_sandbox_every_refusal_names_its_cause_after_the_fixed_text(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        await house.ask(trace_no=USED_TRACE_NO, time=by_hand.korean_now(-9))
        for fault, spoil in FAULTS.items():
            draft = Draft(house.wallet)
            spoil(draft, house.wallet)
            answer = response(await draft.send(house))
            assert re.match(r"^[가-힣 ]+: \S", answer["RSLT_MSG"]), (fault, answer)
        suspended = house.wallet.known["suspended_requestor"]
        reply = await house.send(
            house.wallet.signed(REQUESTOR_ID=suspended["requestor_id"]),
            authorization=suspended["authorization"],
        )
        assert re.match(r"^[가-힣 ]+: \S", response(reply)["RSLT_MSG"])

    run(tmp_path, scenario)


def test_a_refusal_repeats_ids_and_versions_from_the_moment_that_they_could_be_read(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        for fault in ("1004e", "1005e", "1003", "2002", "3001", "3004", "3003", "3005", "3006", "4001"):
            draft = Draft(house.wallet)
            FAULTS[fault](draft, house.wallet)
            answer = response(await draft.send(house))
            assert answer.keys() == {"RSLT_CD", "RSLT_MSG", "REQUESTOR_ID", "MSG_CD", "MSG_ID", "MSG_VER"}, (
                fault
            )
            assert (answer["MSG_CD"], answer["MSG_ID"], answer["MSG_VER"]) == ("Q200", "Q200", "01")

    run(tmp_path, scenario)


def test_no_answer_and_no_cause_holds_a_pan_a_key_a_credential_or_enc_data(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        wallet = house.wallet
        await house.ask(trace_no=USED_TRACE_NO, time=by_hand.korean_now(-9))
        sent = []
        for spoil in FAULTS.values():
            draft = Draft(wallet)
            spoil(draft, wallet)
            await draft.send(house)
        for name in (
            "REQUESTOR_ID",
            "MSG_CD",
            "MSG_VER",
            "CRYPTO_TYPE",
            "CRYPTO_KEY_VER",
            "REG_ATON",
            "APP_DV",
        ):
            for value in (wallet.pan(), wallet.signed()["ENC_DATA"]):
                await house.send({**wallet.signed(), name: value})
                sent.append(value)
        secrets = [token["pan"] for token in wallet.known["tokens"]] + sent + [wallet.authorization]
        secrets += [key["key_hex"] for key in wallet.known["crypto_types"].values()]
        for reply in house.replies[1:]:
            seen = reply.body.decode() + reply.cause + repr(reply)
            assert not [secret for secret in secrets if secret in seen], reply

    run(tmp_path, scenario)


def test_outside_the_sandbox_decryption_failures_have_one_text_and_type_00_is_refused(tmp_path: Path) -> None:
    async def seeded(_: House) -> None:
        return None

    async def scenario(house: House) -> None:
        wallet = house.wallet
        texts = set()
        for crypto_type in ("01", "02", "11"):
            for sealed in (bytes(60), bytes(64), b"x", bytes(12)):
                reply = await house.send(wallet.signed(crypto_type=crypto_type, sealed=sealed))
                texts.add((reply.http_status, response(reply)["RSLT_MSG"]))
        members = wallet.members()
        reply = await house.send(wallet.sign({**members, "ENC_DATA": "no Base64"}))
        texts.add((reply.http_status, response(reply)["RSLT_MSG"]))
        assert texts == {(400, "복호화 실패")}
        assert await house.code(crypto_type="00") == "3001"
        assert await house.code() == "0000"
        assert (await house.send(wallet.signed(), sandbox_result="9001")).rslt_cd == "0000"
        answer = await house.ask(CRYPTO_KEY_VER="77")
        assert answer["RSLT_MSG"] == "암호화 키 버전 오류: CRYPTO_KEY_VER 77 is not live"

    run(tmp_path, seeded)
    run(tmp_path, scenario, sandbox=False)


def test_the_sandbox_names_the_key_version_its_state_and_the_live_check_value(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        refused = house.wallet.known["refused_key_versions"]
        for state, version in refused.items():
            text = (await house.ask(CRYPTO_KEY_VER=version))["RSLT_MSG"]
            assert f"CRYPTO_KEY_VER {version} is {state}" in text
            assert re.search(r"00 \(check value [0-9A-F]{6}\)", text)
        text = (await house.ask(sealed=bytes(60)))["RSLT_MSG"]
        assert re.search(r"GCM tag wrong.*key version 00, check value [0-9A-F]{6}", text)

    run(tmp_path, scenario)


def test_the_pages_own_sample_is_recognised_in_korean_before_and_after_it_is_signed(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        page = {
            "CRYPTO_KEY_VER": "00",
            "CRYPTO_TYPE": "00",
            "HASH_CRC": "Vbo9SiU/ZsD7D/tRaJjpz7PJl3rpVSUV091c17+X5rE=",
            "MSG_VER": "01",
            "RSLT_TYPE": "JSON",
            "REQUESTOR_ID": "42000000066",
            "MSG_CD": "Q200",
            "REG_ATON": "20200623090000",
            "TRNS_TRCE_NO": "NPAY202009XX123XXXX35",
            "REQ_KEY_DV": "1",
            "ENC_DATA": PAGE_SAMPLE_ENC_DATA,
            "CPMQR_DATA_CLSS": "1",
            "DNF_DV": "1",
            "APP_DV": "",
        }
        for members, code in ((page, "3004"), (house.wallet.sign(page), "3005")):
            answer = response(await house.send(members))
            assert answer["RSLT_CD"] == code
            assert "자리표시자" in answer["RSLT_MSG"]
            assert "cpmqr request" in answer["RSLT_MSG"]

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("wish", "status", "retry_after_s"),
    [
        ("8001", 429, 1),
        ("9001", 503, 1),
        ("9002", 503, 1),
        ("9003", 504, None),
        ("9999", 500, None),
        ("4002", 409, None),
    ],
)
def test_the_sandbox_gives_any_code_on_request(
    tmp_path: Path, wish: str, status: int, retry_after_s: int | None
) -> None:
    async def scenario(house: House) -> None:
        reply = await house.send(house.wallet.signed(), sandbox_result=wish)
        assert (reply.rslt_cd, reply.http_status, reply.retry_after_s) == (wish, status, retry_after_s)
        assert bool(reply.incident) == (wish == "9999")
        assert (await house.send({}, authorization=None, sandbox_result=wish)).rslt_cd == "2001"

    run(tmp_path, scenario)


@pytest.mark.parametrize("wish", ["0000", "1234", "x", "9999 ", "가"])
def test_a_wish_for_what_is_no_error_code_is_1003(tmp_path: Path, wish: str) -> None:
    async def scenario(house: House) -> None:
        reply = await house.send(house.wallet.signed(), sandbox_result=wish)
        assert reply.rslt_cd == "1003"
        assert "X-Sandbox-Result" in reply.cause

    run(tmp_path, scenario)


def test_where_the_deployment_says_so_errors_have_status_200_and_their_own_code(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        reply = await house.send({})
        assert (reply.http_status, reply.rslt_cd) == (200, "1002")

    run(tmp_path, scenario, issuing__error_status="always-200")


def test_a_rate_limit_is_8001_and_the_retry_after_it_is_served(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        gateway, wallet = house.gateway, house.wallet
        record = gateway.access.current.principals[wallet.known["requestor_id"]].requestor
        limited = msgspec.structs.replace(record, token_rate_limit_per_s=1)
        await house.change(gateway.store.put_requestor(ACTOR, limited, 0))
        members = wallet.signed()
        assert (await house.send(members)).rslt_cd == "0000"
        refused = await house.send(members)
        assert (refused.rslt_cd, refused.http_status, refused.retry_after_s) == ("8001", 429, 1)
        await asyncio.sleep(1.05)
        assert (await house.send(members)).repeated

    run(tmp_path, scenario)
