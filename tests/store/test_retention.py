"""Old issues go with their trace numbers, in small steps; young ones stay."""

from __future__ import annotations

import pytest
from tests.store.world import ACTOR, KEYS, NOW_S, codes, intent, requestor, token, with_tokens

from cpmqr.store.base import ClaimIntent, Store

pytestmark = pytest.mark.anyio

DAY_S = 86_400


def at(day: int, position: int, number: int = 1):
    moment = NOW_S + day * DAY_S
    return intent(f"D{day}-{position}", number, issued_at_s=moment, expires_at_s=moment + 180)


async def purge_all(store: Store, before_s: int, limit: int) -> list[int]:
    steps = []
    while steps[-1:] != [0]:
        steps.append(await store.purge(before_s, limit))
        assert len(steps) < 100
    return steps


@pytest.mark.parametrize("prepared", [True, False], ids=["a partition a day", "the default partition"])
async def test_old_issues_go_and_young_ones_stay(store: Store, prepared: bool) -> None:
    await with_tokens(store, token(1), token(2))
    days = range(4)
    if prepared:
        await store.prepare_days(NOW_S)
    for day in days:
        await store.issue([at(day, position, 1 + position % 2) for position in range(10)], KEYS)
    midnight = (NOW_S // DAY_S + 2) * DAY_S
    steps = await purge_all(store, midnight, limit=3)
    assert sum(steps) == 20
    assert max(steps) <= 6
    assert await store.issue_of(1, 10) is None
    assert await store.issue_of(1, 11) is not None
    old = [at(day, 0) for day in (0, 1)]
    young = [at(day, 0) for day in (2, 3)]
    assert codes(await store.issue(young, KEYS)) == ["=11", "=16"]
    assert codes(await store.issue(old, KEYS)) == ["21", "22"], "the numbers of old days are free again"
    assert await purge_all(store, midnight, limit=1000) == [2, 0]


async def test_verifications_and_delivered_events_go_and_dead_ones_stay(store: Store) -> None:
    await with_tokens(store, token(1))
    await store.put_requestor(ACTOR, requestor(webhook_url="https://wallet.example/hook"), NOW_S)
    await store.issue([at(0, atc) for atc in (1, 2, 3)], KEYS)
    claims = [
        ClaimIntent("authoriser", f"A{atc}", b"d" * 16, NOW_S + atc * DAY_S, 1, atc, "", b"{}", b"{}")
        for atc in (1, 2, 3)
    ]
    await store.claim(claims)
    for event, state in zip(await store.list_events(), ("delivered", "dead", "delivered"), strict=True):
        await store.settle_event(event.event_id, state=state, next_at_s=0, attempts=1, last_error="")
    await purge_all(store, NOW_S + 3 * DAY_S, limit=1)
    assert [event.state for event in await store.list_events()] == ["dead", "delivered"]
    assert [each.repeated for each in await store.claim(claims)] == [False, False, True]


async def test_a_purge_of_nothing_does_nothing(store: Store) -> None:
    assert await store.purge(NOW_S, 1000) == 0


async def test_preparing_twice_makes_nothing_new(store: Store) -> None:
    await store.prepare_days(NOW_S)
    assert await store.prepare_days(NOW_S) == []
