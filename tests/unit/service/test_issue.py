"""The main job: what a good request gives, which code each fault gives, and what a retry gives."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests import by_hand
from tests.in_process import JSON_TYPE, House, run

from cpmqr.keys.software import SoftwareKek
from cpmqr.model import HashMode, KeyPurpose, KeyState, Secret, TokenPan, TokenState
from cpmqr.service.issue import Call, Issuer, Reply
from cpmqr.service.key_admin import wrap_key
from cpmqr.service.key_names import KeyName
from cpmqr.service.sample import PAGE_SAMPLE_ENC_DATA
from cpmqr.service.tokens import TokenOrder, draft_token
from cpmqr.store.base import Actor

ACTOR = Actor("test", "test")


def response(reply: Reply) -> dict[str, str]:
    return by_hand.response_of(reply.body)


# What a good request gives


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


# The order of checks


class Draft:
    """A request that can be spoilt in several ways at once."""

    def __init__(self, wallet: by_hand.Wallet) -> None:
        self.content_type = JSON_TYPE
        self.authorization: str | None = wallet.authorization
        self.body: bytes | None = None
        self.reqid, self.version = "cpmqrdatareq", "1.0"
        self.others: dict[str, str | None] = {}
        self.crypto_type, self.sealed = "01", None
        self.pan, self.time, self.inner_trace_no = wallet.pan(), by_hand.korean_now(), ""
        self.trace_no = by_hand.new_trace_no()
        self.hash_crc: str | None = None

    async def send(self, house: House) -> Reply:
        members = house.wallet.members(
            trace_no=self.trace_no,
            plaintext=f"{self.pan}|{self.time}|{self.inner_trace_no or self.trace_no}|",
            crypto_type=self.crypto_type,
            key=None if self.crypto_type in house.wallet.known["crypto_types"] else bytes(32),
            sealed=self.sealed,
            **self.others,
        )
        members = house.wallet.sign(members)
        if self.hash_crc is not None:
            members["HASH_CRC"] = self.hash_crc
        body = by_hand.body_of(members, self.reqid, self.version) if self.body is None else self.body
        return await house.send(body=body, authorization=self.authorization, content_type=self.content_type)


USED_TRACE_NO = "T-used"


def _set(**values: Any) -> Callable[[Draft, by_hand.Wallet], None]:
    def spoil(draft: Draft, _: by_hand.Wallet) -> None:
        for name, value in values.items():
            setattr(draft, name, value)

    return spoil


def _member(name: str, value: str | None) -> Callable[[Draft, by_hand.Wallet], None]:
    return lambda draft, _: draft.others.update({name: value})


def _token(state: str) -> Callable[[Draft, by_hand.Wallet], None]:
    def spoil(draft: Draft, wallet: by_hand.Wallet) -> None:
        draft.pan = "4222222222222" if state == "unknown" else wallet.pan(state)

    return spoil


# In the contract's order (§6). Faults with one letter behind the code are of one place and can't be combined.
FAULTS: dict[str, Callable[[Draft, by_hand.Wallet], None]] = {
    "1007": _set(content_type="text/plain"),
    "2001": _set(authorization="unknown"),
    "1001": _set(body=b'{"PAYGW":'),
    "1004e": _set(reqid="other"),
    "1005e": _set(version="2.0"),
    "1002": _member("MSG_VER", None),
    "1003": _member("RSLT_TYPE", "XML"),
    "1004m": _member("MSG_CD", "Q999"),
    "1005m": _member("MSG_VER", "99"),
    "2002": _member("REQUESTOR_ID", "42000000067"),
    "3001": _set(crypto_type="99"),
    "3002": _member("CRYPTO_KEY_VER", "77"),
    "3004": _set(hash_crc="AAAA"),
    "3003": _set(sealed=bytes(60)),
    "3005": _set(inner_trace_no="another"),
    "5001": _set(trace_no=USED_TRACE_NO),
    "3006": _set(time="20200101000000"),
    "4001": _token("unknown"),
    "4003": _token("deleted"),
    "4002": _token("suspended"),
    "4004": _token("expired"),
    "4006": _token("exhausted"),
}
ONE_PLACE = [{"1002", "1005m"}, {"3003", "3005"}, {"4001", "4002", "4003", "4004", "4006"}]


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


# Retries


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


# HASH_CRC by the requestor's setting


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


# What answers say, in the sandbox and outside it


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


# When something is broken


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
        assert (reply.rslt_cd, reply.http_status, reply.incident) == ("9999", 500, "00000000")
        assert [(incident, type(error)) for incident, error in reported] == [("00000000", ValueError)]
        assert response(reply)["RSLT_MSG"] == "시스템 오류: incident 00000000 (ValueError)"

    run(tmp_path, scenario)
