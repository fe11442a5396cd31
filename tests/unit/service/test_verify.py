"""Verification without HTTP: over a real gateway's parts, outside the sandbox, and when a part fails."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from tests import in_process
from tests.in_process import House

from cpmqr.emv import cpm
from cpmqr.errors import KeyUnavailable, OutcomeUnknown, Refusal, StoreUnavailable
from cpmqr.service.batch import Batcher
from cpmqr.service.verify import Asked, Verdict, Verifier
from cpmqr.store.base import Claimed, ClaimIntent
from cpmqr.wire import codes, v1

Claim = Callable[[Sequence[ClaimIntent]], Awaitable[list[Claimed]]]


def verifier(house: House, claim: Claim | None = None) -> Verifier:
    gateway = house.gateway
    batcher: Batcher[ClaimIntent, Claimed] = Batcher(
        claim or gateway.store.claim,
        queue_max=10,
        batch_max=10,
        lanes=1,
        wait_max_s=1.0,
        observe=lambda *_: None,
    )
    return Verifier(
        gateway.access,
        gateway.store,
        batcher,
        gateway.issuer.payload,
        sandbox=gateway.settings.sandbox,
    )


async def ask(house: House, payload: str, name: str = "A", claim: Claim | None = None) -> Verdict:
    asked = Asked(
        house.gateway.access.current.principals["authoriser"],
        v1.VerificationRequest(authorization_id=name, payload=payload),
        int(time.time()),
    )
    return await verifier(house, claim).verify(asked)


async def issue(house: House) -> str:
    return (await house.ask())["CPMQR_DATA"]


def forged(payload: str, tag: str) -> str:
    binary = bytearray(base64.b64decode(payload))
    binary[next(item for item in cpm.decode(payload).walk() if item.tag == tag).value_offset] ^= 1
    return bytes(binary).hex()


def test_outside_the_sandbox_a_refusal_names_nothing_that_helps_a_guesser(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        payload = await issue(house)
        wrong = await ask(house, forged(payload, "9F37"), "A")
        unknown = await ask(house, forged(payload, "9F36"), "B")
        assert (wrong.rslt_cd, unknown.rslt_cd) == (codes.CRYPTOGRAM_WRONG, codes.NO_QR)
        for verdict in (wrong, unknown):
            assert isinstance(verdict.body, v1.Declined)
            assert verdict.body.detail == codes.CODES[verdict.rslt_cd].meaning
            told = {name for name, value in msgspec.structs.asdict(verdict.body).items() if value}
            assert told == {"type", "title", "status", "rslt_cd", "rslt_msg", "detail", "result"}
            assert verdict.forged
        right = await ask(house, payload, "C")
        assert (right.rslt_cd, right.forged) == (codes.OK, False)

    in_process.run(tmp_path, scenario, sandbox=False)


def test_an_unknown_pan_and_an_unknown_counter_get_one_answer(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        payload = await issue(house)
        stranger = base64.b64decode(payload).hex().replace("5350206900000066", "5350206900000074")
        no_token = await ask(house, stranger, "A")
        no_counter = await ask(house, forged(payload, "9F36"), "B")
        assert no_token.body == no_counter.body

    in_process.run(tmp_path, scenario, sandbox=False)


def test_a_lost_issuer_key_answers_nothing_and_uses_nothing_up(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        payload = await issue(house)
        gateway = house.gateway
        snapshot = gateway.access.current
        empty = msgspec.structs.replace(
            snapshot, issuer=msgspec.structs.replace(snapshot.issuer, encryptors={})
        )
        gateway.access._snapshot = empty
        with pytest.raises(KeyUnavailable):
            await ask(house, payload)
        gateway.access._snapshot = snapshot
        assert (await ask(house, payload)).rslt_cd == codes.OK

    in_process.run(tmp_path, scenario)


@pytest.mark.parametrize("error", [StoreUnavailable("away"), OutcomeUnknown("lost")])
def test_a_store_that_fails_is_no_verdict(tmp_path: Path, error: Exception) -> None:
    async def scenario(house: House) -> None:
        async def claim(_: Sequence[ClaimIntent]) -> list[Claimed]:
            raise error

        payload = await issue(house)
        with pytest.raises(type(error)):
            await ask(house, payload, claim=claim)

    in_process.run(tmp_path, scenario)


def test_a_commit_whose_answer_was_lost_is_told_by_the_next_asking(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        async def claim_and_lose(intents: Sequence[ClaimIntent]) -> list[Claimed]:
            await house.gateway.store.claim(intents)
            raise OutcomeUnknown("the connection was lost after the commit")

        payload = await issue(house)
        with pytest.raises(OutcomeUnknown):
            await ask(house, payload, "A", claim_and_lose)
        again = await ask(house, payload, "A")
        other = await ask(house, payload, "B")
        assert (again.rslt_cd, again.repeated) == (codes.OK, True)
        assert other.rslt_cd == codes.QR_USED

    in_process.run(tmp_path, scenario)


def test_the_same_name_of_two_authorisers_are_two_names(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        first, second = await issue(house), await issue(house)
        principal = house.gateway.access.current.principals["authoriser"]
        other = msgspec.structs.replace(
            principal, requestor=msgspec.structs.replace(principal.requestor, requestor_id="another")
        )
        judge = verifier(house)
        for who, payload in ((principal, first), (other, second)):
            request = v1.VerificationRequest(authorization_id="A", payload=payload)
            assert (await judge.verify(Asked(who, request, int(time.time())))).rslt_cd == codes.OK

    in_process.run(tmp_path, scenario)


def test_one_batch_with_one_qr_twice_approves_once(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        payload = await issue(house)
        judge = verifier(house)
        principal = house.gateway.access.current.principals["authoriser"]
        asked = [
            Asked(principal, v1.VerificationRequest(authorization_id=name, payload=payload), int(time.time()))
            for name in ("A", "B", "A", "C")
        ]
        verdicts = await asyncio.gather(*[judge.verify(one) for one in asked])
        assert [verdict.rslt_cd for verdict in verdicts].count(codes.OK) == 2  # A, twice
        assert verdicts[0].body == verdicts[2].body

    in_process.run(tmp_path, scenario)


def test_another_qr_under_the_name_is_refused_with_5001(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        first, second = await issue(house), await issue(house)
        await ask(house, first)
        with pytest.raises(Refusal) as refused:
            await ask(house, second)
        assert refused.value.rslt_cd == codes.DUPLICATE_TRACE

    in_process.run(tmp_path, scenario)
