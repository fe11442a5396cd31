"""Several stores over one database at once: nothing is given twice, nobody waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import msgspec
import pytest
from tests.store.conftest import Backend
from tests.store.world import ACTOR, KEYS, NOW_S, codes, intent, issue_one, token, with_tokens

from cpmqr.model import TokenState
from cpmqr.store.base import ClaimIntent, Issued, NotIssued, Store

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def several(backend: Backend, count: int = 2) -> AsyncIterator[list[Store]]:
    """Open stores as gateways of their own would, over one schema with tokens 1 to 8."""
    stores = [backend.open() for _ in range(count)]
    await stores[0].upgrade()
    await with_tokens(stores[0], *(token(number) for number in range(1, 9)))
    try:
        yield stores
    finally:
        for store in stores:
            await store.close()


async def test_two_gateways_give_no_counter_twice_and_leave_no_gap(backend: Backend) -> None:
    async with several(backend) as stores:
        chance = random.Random(1)
        numbers = [number for number in range(1, 9) for _ in range(50)]
        chance.shuffle(numbers)
        intents = [intent(f"T{position}", number) for position, number in enumerate(numbers)]
        batches = [intents[start : start + 16] for start in range(0, len(intents), 16)]
        outcomes = await asyncio.gather(
            *(stores[position % 2].issue(batch, KEYS) for position, batch in enumerate(batches))
        )
        given = sorted(
            (each.token_id, each.atc) for batch in outcomes for each in batch if isinstance(each, Issued)
        )
        assert given == [(number, atc) for number in range(1, 9) for atc in range(1, 51)]


async def test_one_request_at_two_gateways_becomes_one_issue(backend: Backend) -> None:
    async with several(backend) as stores:
        for round_ in range(10):
            batch = [intent(f"R{round_}-{position}", 1 + position % 8) for position in range(16)]
            shuffled = random.Random(round_).sample(batch, len(batch))
            one, other = await asyncio.gather(stores[0].issue(batch, KEYS), stores[1].issue(shuffled, KEYS))
            by_trace = {each.trace_no: outcome for each, outcome in zip(shuffled, other, strict=True)}
            for each, outcome in zip(batch, one, strict=True):
                twin = by_trace[each.trace_no]
                assert isinstance(outcome, Issued)
                assert isinstance(twin, Issued)
                assert {outcome.repeated, twin.repeated} == {True, False}
                assert msgspec.structs.replace(outcome, repeated=twin.repeated) == twin


async def test_two_contents_under_one_number_at_two_gateways_leave_one_winner(backend: Backend) -> None:
    async with several(backend) as stores:
        for round_ in range(10):
            mine = intent(f"R{round_}", 1 + round_ % 8)
            theirs = intent(f"R{round_}", 1 + (round_ + 1) % 8)
            outcomes = await asyncio.gather(issue_one(stores[0], mine), issue_one(stores[1], theirs))
            assert sum(isinstance(each, Issued) for each in outcomes) == 1
            assert NotIssued.DUPLICATE_TRACE in outcomes


async def test_many_retries_at_once_give_one_issue(backend: Backend) -> None:
    async with several(backend) as stores:
        outcomes = await asyncio.gather(*(issue_one(stores[n % 2], intent("T1")) for n in range(48)))
        assert sorted(codes(list(outcomes))) == ["1"] + ["=1"] * 47


def claim_of(authorization_id: str, **changes: object) -> ClaimIntent:
    plain = ClaimIntent("authoriser", authorization_id, b"d" * 16, NOW_S, 1, 1, "", authorization_id.encode())
    return msgspec.structs.replace(plain, **changes)


async def test_of_fifty_claims_on_one_issue_one_is_granted(backend: Backend) -> None:
    async with several(backend) as stores:
        await issue_one(stores[0], intent("T1"))
        claims = await asyncio.gather(*(stores[n % 2].claim([claim_of(f"A{n}")]) for n in range(50)))
        assert sorted(claim.code for (claim,) in claims) == ["0000"] + ["5005"] * 49


async def test_one_authorization_at_two_gateways_is_answered_once(backend: Backend) -> None:
    async with several(backend) as stores:
        for round_ in range(10):
            await issue_one(stores[0], intent(f"T{round_}"))
            both = [claim_of(f"A{round_}", atc=round_ + 1), claim_of(f"B{round_}", atc=round_ + 1)]
            answers = await asyncio.gather(stores[0].claim(both), stores[1].claim(both[::-1]))
            assert [each.code for each in answers[0]] == [each.code for each in answers[1]][::-1]
            assert sorted(each.code for each in answers[0]) == ["0000", "5005"]
            assert sorted(each.repeated for answer in answers for each in answer) == [
                False,
                False,
                True,
                True,
            ]


async def test_issuing_goes_on_beside_changes_of_its_tokens(backend: Backend) -> None:
    async with several(backend) as stores:

        async def flip(number: int) -> None:
            for _ in range(5):
                for state in (TokenState.SUSPENDED, TokenState.ACTIVE):
                    await stores[1].set_token_state(ACTOR, number, state, list(TokenState), NOW_S)

        batches = [[intent(f"{n}-{number}", number) for number in range(1, 9)] for n in range(40)]
        results = await asyncio.gather(
            *(stores[0].issue(batch, KEYS) for batch in batches), *(flip(number) for number in range(1, 9))
        )
        outcomes = [outcome for batch in results if batch for outcome in batch]
        assert {NotIssued.SUSPENDED} >= {each for each in outcomes if isinstance(each, NotIssued)}
        for number in range(1, 9):
            given = sorted(
                each.atc for each in outcomes if isinstance(each, Issued) and each.token_id == number
            )
            assert given == list(range(1, len(given) + 1))
