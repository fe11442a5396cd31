"""The outbox: an event is taken by one worker at a time, until it is settled."""

from __future__ import annotations

import asyncio

import pytest
from tests.store.world import ACTOR, KEYS, NOW_S, intent, requestor, token, with_tokens

from cpmqr.store.base import ClaimIntent, Event, Store

pytestmark = pytest.mark.anyio


async def three_events(store: Store) -> list[Event]:
    await with_tokens(store, token(1))
    await store.put_requestor(ACTOR, requestor(webhook_url="https://wallet.example/hook"), NOW_S)
    await store.issue([intent(f"T{atc}") for atc in (1, 2, 3)], KEYS)
    await store.claim(
        [
            ClaimIntent(
                "authoriser", f"A{atc}", b"d" * 16, NOW_S + atc, 1, atc, "", b"{}", f"body {atc}".encode()
            )
            for atc in (1, 2, 3)
        ]
    )
    return await store.list_events()


async def test_events_are_listed_in_the_order_of_time(store: Store) -> None:
    events = await three_events(store)
    assert [event.body for event in events] == [b"body 1", b"body 2", b"body 3"]
    assert await store.list_events(limit=1, after=events[0].event_id) == events[1:2]
    assert await store.list_events(state="dead") == []
    assert await store.event(events[1].event_id) == events[1]
    assert await store.event("no such event") is None


async def test_a_taken_event_is_put_off_by_its_lease(store: Store) -> None:
    events = await three_events(store)
    taken = await store.due_events(NOW_S + 2, lease_s=30, limit=10)
    assert [event.event_id for event in taken] == [event.event_id for event in events[:2]]
    assert await store.due_events(NOW_S + 2, lease_s=30, limit=10) == []
    again = await store.due_events(NOW_S + 32, lease_s=30, limit=1)
    assert [event.event_id for event in again] == [events[2].event_id]
    assert len(await store.due_events(NOW_S + 32, lease_s=30, limit=10)) == 2


async def test_workers_at_once_never_take_the_same_event(store: Store) -> None:
    await three_events(store)
    taken = await asyncio.gather(*(store.due_events(NOW_S + 9, lease_s=30, limit=1) for _ in range(5)))
    names = [event.event_id for events in taken for event in events]
    assert len(names) == len(set(names)) == 3


async def test_a_settled_event_is_not_due_and_a_dead_one_can_be_replayed(store: Store) -> None:
    first, second, _ = await three_events(store)
    for event, state in ((first, "delivered"), (second, "dead")):
        await store.settle_event(
            event.event_id, state=state, next_at_s=NOW_S, attempts=7, last_error="x" * 9999
        )
    assert len(await store.due_events(NOW_S + 99, lease_s=30, limit=10)) == 1
    (dead,) = await store.list_events(state="dead")
    assert (dead.event_id, dead.attempts, dead.last_error) == (second.event_id, 7, "x" * 500)
    await store.settle_event(dead.event_id, state="pending", next_at_s=NOW_S, attempts=0, last_error="")
    (replayed,) = await store.due_events(NOW_S, lease_s=30, limit=10)
    assert (replayed.event_id, replayed.body) == (second.event_id, b"body 2")
