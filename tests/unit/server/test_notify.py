"""The outbox's delivery: pauses, and receivers that may not be told. What receivers do is told in tests/v1."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx
import pytest
from tests import in_process
from tests.in_process import House

from cpmqr.server.notify import Notifier, pause_after
from cpmqr.server.observe import Observer
from cpmqr.server.settings import Webhooks
from cpmqr.service.requestors import Requestors
from cpmqr.store.base import Actor, ClaimIntent, Event

HOUR_S = 3_600
DAY_S = 24 * HOUR_S
ACTOR = Actor("test", "cli")
# So that the gateway's own notifier does not get there first.
QUIET = {"webhooks__poll_s": float(HOUR_S)}


def test_pauses_double_to_an_hour_and_end_within_a_day() -> None:
    pauses = []
    while (pause_s := pause_after(len(pauses) + 1, Webhooks())) is not None:
        pauses.append(pause_s)
    assert pauses[:5] == [5, 10, 20, 40, 80]
    assert pauses == sorted(pauses)
    assert pauses[-1] == HOUR_S
    assert DAY_S - HOUR_S < sum(pauses) <= DAY_S
    assert pause_after(len(pauses) + 100, Webhooks()) is None


@pytest.mark.parametrize("retry_for_s", [1.0, 5.0, 14.9, 15.0, 100.0])
def test_no_attempt_is_made_after_the_time_for_retries(retry_for_s: float) -> None:
    settings = Webhooks(retry_for_s=retry_for_s)
    attempts, waited_s = 1, 0.0
    while (pause_s := pause_after(attempts, settings)) is not None:
        attempts, waited_s = attempts + 1, waited_s + pause_s
    assert waited_s <= retry_for_s


async def with_an_event(house: House, url: str) -> Event:
    """Have a QR used, so that there is something to tell to an address."""
    gateway = house.gateway
    requestors = Requestors(gateway.store)
    await house.change(requestors.change(ACTOR, house.wallet.known["requestor_id"], 0, webhook_url=url))
    await house.ask()
    token = await gateway.store.token_by_index(gateway.access.current.vault.index(house.wallet.pan()))
    assert token is not None
    now_s = int(time.time())
    intent = ClaimIntent(
        "authoriser", "A", b"d" * 16, now_s, token.token_id, token.atc, "", b"{}", b'{"told":1}'
    )
    await gateway.store.claim([intent])
    (event,) = await gateway.store.list_events()
    return event


async def deliver(house: House, settings: Webhooks, now_s: int | None = None) -> tuple[int, Event]:
    notifier = Notifier(
        house.gateway.store,
        house.gateway.access,
        settings,
        Observer(log_issues=False),
        now=time.time if now_s is None else lambda: now_s,
        uniform=lambda low, high: (low + high) / 2,
    )
    async with httpx.AsyncClient(trust_env=False) as client:
        taken = await notifier.deliver_due(client)
    (event,) = await house.gateway.store.list_events()
    return taken, event


def test_a_private_receiver_is_refused_where_the_configuration_does_not_allow_it(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        await with_an_event(house, "http://127.0.0.1:9/")
        taken, event = await deliver(house, Webhooks())
        assert (taken, event.state, event.attempts) == (1, "pending", 1)
        assert "private" in event.last_error
        assert "127.0.0.1" not in event.last_error

    in_process.run(tmp_path, scenario, **QUIET)


def test_a_failed_delivery_is_due_again_after_its_pause(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        event = await with_an_event(house, "http://127.0.0.1:9/")
        start_s = event.next_at_s
        _, event = await deliver(house, Webhooks(), start_s)
        assert event.next_at_s == start_s + 5
        assert (await deliver(house, Webhooks(), start_s + 4))[0] == 0
        taken, event = await deliver(house, Webhooks(), start_s + 5)
        assert (taken, event.attempts, event.next_at_s) == (1, 2, start_s + 15)

    in_process.run(tmp_path, scenario, **QUIET)


def test_a_requestor_whose_address_was_taken_away_is_told_nothing(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        await with_an_event(house, "http://127.0.0.1:9/")
        requestor_id = house.wallet.known["requestor_id"]
        await house.change(Requestors(house.gateway.store).change(ACTOR, requestor_id, 0, webhook_url=""))
        _, event = await deliver(house, Webhooks(private_receivers=True))
        assert "webhook_url" in event.last_error

    in_process.run(tmp_path, scenario, **QUIET)


def test_two_notifiers_do_not_take_one_event_at_the_same_time(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        await with_an_event(house, "http://127.0.0.1:9/")
        taken = await asyncio.gather(*[deliver(house, Webhooks()) for _ in range(4)])
        assert sum(count for count, _ in taken) == 1

    in_process.run(tmp_path, scenario, **QUIET)
