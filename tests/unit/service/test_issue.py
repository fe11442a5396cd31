"""The main job: what a good request gives, which code each fault gives, and what happens when a part is broken."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests import by_hand
from tests.drafts import FAULTS, ONE_PLACE, USED_TRACE_NO, Draft
from tests.in_process import JSON_TYPE, House, run

from cpmqr.model import KeyState, TokenPan, TokenState
from cpmqr.service.issue import Call, Issuer, Reply
from cpmqr.service.tokens import TokenOrder, draft_token
from cpmqr.store.base import Actor

ACTOR = Actor("test", "test")


def response(reply: Reply) -> dict[str, str]:
    return by_hand.response_of(reply.body)


@pytest.mark.parametrize("crypto_type", ["00", "01", "02", "11"])
@pytest.mark.parametrize("spelled", [dict, by_hand.table_spelling], ids=["sample", "table"])
def test_a_good_request_gives_a_payload_with_a_right_cryptogram(
    tmp_path: Path, crypto_type: str, spelled: Callable[[dict[str, str]], dict[str, str]]
) -> None:
    async def scenario(house: House) -> None:
        wallet = house.wallet
        reply = await house.send(spelled(wallet.signed(crypto_type=crypto_type, APP_DV="앱 26.1")))
        answer = response(reply)
        assert (reply.http_status, answer["RSLT_CD"], answer["RSLT_MSG"]) == (200, "0000", "성공")
        assert wallet.believes(answer)
        assert (answer["CRYPTO_TYPE"], answer["CRYPTO_KEY_VER"]) == (crypto_type, "00")
        assert re.fullmatch("[0-9A-F]{40}", answer["QR_DATA_MAPP_VAL"])
        assert len(answer["CPMQR_DATA"]) <= 512
        token = wallet.known["tokens"][0]
        fields = by_hand.fields_of(answer["CPMQR_DATA"])
        assert fields["4F"].hex().upper() == "D4100000014010"
        track2 = f"{token['pan']}D{token['expiry']}{token['service_code']}{token['discretionary']}F".upper()
        assert fields["57"].hex().upper() == track2
        assert fields["5F34"].hex() == token["psn"]
        assert (fields["9F27"], fields["82"], fields["9F36"]) == (b"\x80", b"\x00\x00", b"\x00\x01")
        assert re.fullmatch("0509a0000800000000000000[0-9]{14}01", fields["9F10"].hex())
        key = bytes.fromhex(wallet.known["issuer_keys"]["bc-domestic"]["master_key_hex"])
        covered = fields["9F37"] + fields["82"] + fields["9F36"] + fields["9F10"]
        assert fields["9F26"] == by_hand.cryptogram(key, token["pan"], token["psn"], fields["9F36"], covered)

    run(tmp_path, scenario)


def test_each_issue_has_the_next_counter_another_handle_and_other_unpredictable_bytes(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        answers = [await house.ask() for _ in range(5)]
        assert [by_hand.atc_of(answer["CPMQR_DATA"]) for answer in answers] == [1, 2, 3, 4, 5]
        assert len({answer["QR_DATA_MAPP_VAL"] for answer in answers}) == 5
        assert len({by_hand.fields_of(answer["CPMQR_DATA"])["9F37"] for answer in answers}) == 5

    run(tmp_path, scenario)


def test_dnf_dv_chooses_the_configured_profile_for_one_issue(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        domestic, other = await house.ask(DNF_DV="1"), await house.ask(DNF_DV="2")
        assert b"\xd4\x10" in base64.b64decode(domestic["CPMQR_DATA"])
        assert bytes.fromhex("A0000003330101") in base64.b64decode(other["CPMQR_DATA"])

    run(tmp_path, scenario)


def test_blanks_around_the_sealed_values_are_stripped(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        plaintext = f" {house.wallet.pan()} | {by_hand.korean_now()} |  T-blank | "
        assert await house.code(trace_no="T-blank", plaintext=plaintext) == "0000"

    run(tmp_path, scenario)


def test_a_declared_euc_kr_body_is_signed_over_its_utf_8(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        members = house.wallet.signed(trace_no="거래-1")
        body = by_hand.body_of(members).decode().encode("euc-kr")
        reply = await house.send(body=body, content_type="application/json; charset=euc-kr")
        assert reply.rslt_cd == "0000"
        assert (await house.send(body=body)).rslt_cd == "1001"
        again = await house.send(members)
        assert response(again)["CPMQR_DATA"] == response(reply)["CPMQR_DATA"]

    run(tmp_path, scenario)


def test_each_fault_alone_gives_its_code_and_of_any_two_the_earlier_in_the_contracts_order(
    tmp_path: Path,
) -> None:
    async def scenario(house: House) -> None:
        assert await house.code(trace_no=USED_TRACE_NO, time=by_hand.korean_now(-9)) == "0000"
        for earlier_place, earlier in enumerate(FAULTS):
            for later in list(FAULTS)[earlier_place:]:
                if earlier != later and any({earlier, later} <= place for place in ONE_PLACE):
                    continue
                draft = Draft(house.wallet)
                FAULTS[later](draft, house.wallet)
                FAULTS[earlier](draft, house.wallet)
                reply = await draft.send(house)
                assert reply.rslt_cd == earlier[:4], (earlier, later)
                assert response(reply)["RSLT_CD"] == earlier[:4]

    run(tmp_path, scenario)


def test_a_suspended_requestor_is_2003_after_2002_and_before_3001(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        suspended = house.wallet.known["suspended_requestor"]
        members = house.wallet.signed(REQUESTOR_ID=suspended["requestor_id"], CRYPTO_TYPE="99")
        for requestor_id, code in ((suspended["requestor_id"], "2003"), ("42000000066", "2002")):
            reply = await house.send(
                {**members, "REQUESTOR_ID": requestor_id}, authorization=suspended["authorization"]
            )
            assert reply.rslt_cd == code

    run(tmp_path, scenario)


@pytest.mark.parametrize("role", ["authoriser", "operator"])
def test_a_credential_of_another_role_is_2002_after_all_that_is_wrong_with_the_message(
    tmp_path: Path, role: str
) -> None:
    async def scenario(house: House) -> None:
        authorization = house.wallet.known[role]["authorization"]
        assert (await house.send(house.wallet.signed(), authorization=authorization)).rslt_cd == "2002"
        assert (await house.send({}, authorization=authorization)).rslt_cd == "1002"
        assert (await house.send(body=b"x", authorization=authorization)).rslt_cd == "1001"

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("state", "expiry", "atc", "code"),
    [
        (TokenState.DELETED, "2007", 65_535, "4003"),
        (TokenState.SUSPENDED, "2007", 65_535, "4002"),
        (TokenState.ACTIVE, "2007", 65_535, "4004"),
        (TokenState.ACTIVE, "9912", 65_535, "4006"),
        (TokenState.ACTIVE, "9912", 65_534, "0000"),
    ],
)
def test_a_token_with_several_faults_gives_the_first_in_the_contracts_order(
    tmp_path: Path, state: TokenState, expiry: str, atc: int, code: str
) -> None:
    async def scenario(house: House) -> None:
        vault = house.gateway.access.current.vault
        order = TokenOrder(house.wallet.known["requestor_id"], expiry, psn="01", discretionary="0")
        draft = draft_token(
            vault,
            order,
            TokenPan("4222222222222"),
            profile="bc-domestic",
            token_id=77,
            now_s=int(time.time()),
        )
        await house.gateway.store.add_tokens(ACTOR, [msgspec.structs.replace(draft, state=state, atc=atc)])
        assert await house.code(pan="4222222222222") == code
        if code == "0000":
            assert await house.code(pan="4222222222222") == "4006"

    run(tmp_path, scenario)


def test_a_token_is_good_until_the_last_second_of_its_month_in_korea(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        # The sandbox's token ends with December 2030; 1924959600 is 2031-01-01 00:00:00 in Korea.
        for now_s, time_sent, code in (
            (1_924_959_599, "20301231235959", "0000"),
            (1_924_959_600, "20310101000000", "4004"),
        ):
            reply = await house.send(house.wallet.signed(time=time_sent), now_s=now_s)
            assert reply.rslt_cd == code

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("shift_s", "code"), [(0, "0000"), (300, "0000"), (-300, "0000"), (301, "3006"), (-301, "3006")]
)
def test_the_request_time_may_be_300_seconds_off_either_way(tmp_path: Path, shift_s: int, code: str) -> None:
    async def scenario(house: House) -> None:
        reply = await house.send(house.wallet.signed(time="20261123090000"), now_s=1_795_392_000 + shift_s)
        assert reply.rslt_cd == code
        if code == "3006":
            assert "300 s" in response(reply)["RSLT_MSG"]

    run(tmp_path, scenario)


def test_a_store_that_is_closed_is_9001_with_retry_after(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        await house.gateway.store.close()
        reply = await house.send(house.wallet.signed())
        assert (reply.rslt_cd, reply.http_status, reply.retry_after_s) == ("9001", 503, 1)

    run(tmp_path, scenario)


def test_a_token_whose_profile_has_no_live_issuer_key_is_9002_and_uses_no_counter(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        store = house.gateway.store
        directory = await store.directory()
        keys = [key for key in directory.keys if key.owner == "bc-domestic"]
        retired = [msgspec.structs.replace(key, state=KeyState.RETIRED, retired_at_s=1) for key in keys]
        await house.change(store.put_keys(ACTOR, retired, "key.retire", 1))
        reply = await house.send(house.wallet.signed(trace_no="T-9002"))
        assert (reply.rslt_cd, reply.http_status, reply.retry_after_s) == ("9002", 503, 5)
        await house.change(store.put_keys(ACTOR, keys, "key.activate", 2))
        assert by_hand.atc_of((await house.ask(trace_no="T-9002"))["CPMQR_DATA"]) == 1

    run(tmp_path, scenario)


def test_an_unexpected_fault_is_9999_with_an_incident_that_the_log_knows(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        gateway = house.gateway
        reported: list[tuple[str, BaseException]] = []

        def entropy(count: int) -> bytes:
            if not reported and count == 4 and not failed:
                failed.append(count)
                raise ValueError(f"digits {house.wallet.pan()}")
            return bytes(count)

        failed: list[int] = []
        issuer = Issuer(
            gateway.issuer.rules,
            gateway.access,
            gateway.batcher,
            gateway.issuer._limits,
            gateway.profiles,
            entropy,
            lambda incident, error: reported.append((incident, error)),
        )
        call = Call(
            by_hand.body_of(house.wallet.signed()), house.wallet.authorization, JSON_TYPE, int(time.time())
        )
        reply = await issuer.answer(call)
        assert reply is not None
        assert (reply.rslt_cd, reply.http_status, reply.incident) == ("9999", 500, "00000000")
        assert [(incident, type(error)) for incident, error in reported] == [("00000000", ValueError)]
        assert response(reply)["RSLT_MSG"] == "시스템 오류: incident 00000000 (ValueError)"

    run(tmp_path, scenario)
