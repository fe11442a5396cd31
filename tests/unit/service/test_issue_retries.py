"""Retries, duplicates and counters: the same request again, another under its number, many at once."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
from tests import by_hand
from tests.in_process import House, run

from cpmqr.keys.software import SoftwareKek
from cpmqr.model import HashMode, KeyPurpose, KeyState, Secret, TokenState
from cpmqr.service.issue import Reply
from cpmqr.service.key_admin import wrap_key
from cpmqr.service.key_names import KeyName
from cpmqr.store.base import Actor

ACTOR = Actor("test", "test")


def response(reply: Reply) -> dict[str, str]:
    return by_hand.response_of(reply.body)


def test_the_same_request_again_gives_the_first_answer_whatever_happened_since(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        wallet, store = house.wallet, house.gateway.store
        wishes = {"trace_no": "T-again", "time": by_hand.korean_now(), "APP_DV": ""}
        first = await house.ask(**wishes)
        again = wallet.signed(**wishes)
        assert again["ENC_DATA"] != wallet.signed(**wishes)["ENC_DATA"]  # a nonce is fresh
        token = await store.token_by_index(house.gateway.access.current.vault.index(wallet.pan()))
        assert token is not None

        async def still_the_first(sent: dict[str, str], **how: Any) -> None:
            reply = await house.send(sent, **how)
            assert response(reply) == first
            assert (reply.repeated, reply.http_status) == (True, 200)

        await still_the_first(again)
        await still_the_first(by_hand.table_spelling(again))
        await still_the_first({**again, "MSG_ID": "Q200", "UNKNOWN": "x"})
        await still_the_first(again, now_s=int(time.time()) + 3_600)
        everything = list(TokenState)
        await store.set_token_state(ACTOR, token.token_id, TokenState.SUSPENDED, everything, 0)
        await still_the_first(again)
        await store.set_token_state(ACTOR, token.token_id, TokenState.DELETED, everything, 0)
        await still_the_first(again)
        assert await house.code() == "4003"
        after = await store.token(token.token_id)
        assert after is not None
        assert after.atc == 1

    run(tmp_path, scenario)


def test_another_request_under_a_used_number_is_5001_and_the_first_stands(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        wishes = {"trace_no": "T-first", "time": by_hand.korean_now(), "REG_ATON": "20261123090000"}
        first = await house.ask(**wishes)
        others: list[dict[str, Any]] = [
            {"time": by_hand.korean_now(-7)},
            {"pan": house.wallet.pan("suspended")},
            {"pan": "4222222222222"},
            {"crypto_type": "02"},
            {"REG_ATON": "20261123090001"},
            {"REG_ATON": None},
            {"APP_DV": ""},
            {"APP_DV": "x"},
            {"DNF_DV": "1"},
            {"RSLT_TYPE": "JSON"},
            {"time": "20200101000000"},
        ]
        for other in others:
            answer = await house.ask(**{**wishes, **other})
            assert answer["RSLT_CD"] == "5001", other
            assert "CPMQR_DATA" not in answer
        assert await house.ask(**wishes) == first
        assert by_hand.atc_of((await house.ask())["CPMQR_DATA"]) == 2

    run(tmp_path, scenario)


def test_a_refused_request_leaves_its_number_free(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        for state, code in (
            ("suspended", "4002"),
            ("exhausted", "4006"),
            ("deleted", "4003"),
            ("expired", "4004"),
        ):
            assert await house.code(trace_no="T-free", pan=house.wallet.pan(state)) == code
        assert await house.code(trace_no="T-free", time="20200101000000") == "3006"
        assert await house.code(trace_no="T-free", plaintext="x") == "3005"
        assert await house.code(trace_no="T-free") == "0000"

    run(tmp_path, scenario)


def test_one_requestors_trace_numbers_are_not_anothers_and_its_tokens_neither(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        gateway, wallet = house.gateway, house.wallet
        first = await house.ask(trace_no="T-shared")
        # The suspended requestor, resumed, with the first one's keys: only its id differs.
        suspended = wallet.known["suspended_requestor"]
        directory = await gateway.store.directory()
        record = next(who for who in directory.requestors if who.requestor_id == suspended["requestor_id"])
        await gateway.store.put_requestor(
            ACTOR, msgspec.structs.replace(record, suspended=False, hash_crc=HashMode.OFF, sandbox=True), 0
        )
        await add_keys(house, suspended["requestor_id"])
        other = by_hand.Wallet({**wallet.known, **suspended, "tokens": wallet.known["tokens"]})
        reply = await house.send(
            other.members(trace_no="T-shared", crypto_type="00"), authorization=suspended["authorization"]
        )
        assert reply.rslt_cd == "4001"
        assert "CPMQR_DATA" in first

    run(tmp_path, scenario)


async def add_keys(house: House, requestor_id: str) -> None:
    """Give a requestor a live HASH_CRC key of version 00, so that its CRYPTO_TYPE 00 has a live version too."""
    kek = SoftwareKek.from_file(Path(house.gateway.settings.storage.data) / "kek.key")
    name = KeyName(KeyPurpose.HASH_CRC, requestor_id, "", "00")
    key = wrap_key(kek, name, "hmac-sha256", Secret(bytes(32)), KeyState.ACTIVE, 0)
    await house.change(house.gateway.store.put_keys(ACTOR, [key], "key.test", 0))


def test_48_retries_at_once_give_one_issue(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        wishes = {"trace_no": "T-48", "time": by_hand.korean_now()}
        answers = await asyncio.gather(*[house.ask(**wishes) for _ in range(48)])
        assert {answer["RSLT_CD"] for answer in answers} == {"0000"}
        assert len({answer["CPMQR_DATA"] for answer in answers}) == 1
        assert len({answer["QR_DATA_MAPP_VAL"] for answer in answers}) == 1
        assert sorted(reply.repeated for reply in house.replies) == [False] + [True] * 47
        assert by_hand.atc_of((await house.ask())["CPMQR_DATA"]) == 2

    run(tmp_path, scenario)


def test_200_issues_at_once_have_200_counters_without_a_gap(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        answers = await asyncio.gather(*[house.ask() for _ in range(200)])
        assert sorted(by_hand.atc_of(answer["CPMQR_DATA"]) for answer in answers) == list(range(1, 201))

    run(tmp_path, scenario)
