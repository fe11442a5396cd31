"""A store that does not keep up: what waits, what is refused, what nobody knows, and how soon all is well again.

The store is made slow by a transaction of the test's own that holds a token's counter, as a stuck one would.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest
from tests import by_hand
from tests.fault.deployment import Deployment, Gateway
from tests.fault.wallets import Asked, Connection, Wallets

from cpmqr.service.admission import FREELY_MAX

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("postgres")]

WAIT_MAX_S = 1.0
QUEUE_MAX = 6
SLACK_S = 0.4  # the sweep's pace, and a busy machine


@pytest.fixture
def small(make_deployment: Callable[..., Deployment]) -> Deployment:
    """One transaction at a time, few that wait, and not for long."""
    storage = f"lanes = 1\nqueue_max = {QUEUE_MAX}\nwait_max_s = {WAIT_MAX_S}"
    return make_deployment(tokens=2, storage=storage)


@asynccontextmanager
async def held(deployment: Deployment) -> AsyncIterator[None]:
    """Hold every counter until the block ends."""
    connection = await asyncpg.connect(deployment.url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT 1 FROM counter FOR UPDATE")
            yield
    finally:
        await connection.close()


class Wallet:
    """Asks once, and notes the code and how long it took."""

    def __init__(self, deployment: Deployment, gateway: Gateway, *, retry_of: Wallet | None = None) -> None:
        self.asked = (
            retry_of.asked
            if retry_of
            else Asked(deployment.pans[0], by_hand.new_trace_no(), by_hand.korean_now())
        )
        self._wallets = Wallets(deployment, [gateway.port], count=0)
        self._port = gateway.port
        self._authorization = deployment.wallet.authorization
        self.code = ""
        self.seconds = 0.0

    async def ask(self) -> str:
        connection = Connection()
        began = time.monotonic()
        body = self._wallets.body_of(self.asked)
        self.code, _ = await connection.ask(self._port, self._authorization, body)
        self.seconds = time.monotonic() - began
        connection.close()
        return self.code


async def stored(deployment: Deployment) -> set[str]:
    return {row["trace_no"] for row in await deployment.rows("SELECT trace_no FROM trace")}


async def fill(deployment: Deployment, gateway: Gateway) -> tuple[list[Wallet], list[asyncio.Task[str]]]:
    """One request on its way, and as many as may wait."""
    wallets = [Wallet(deployment, gateway) for _ in range(1 + QUEUE_MAX)]
    tasks = [asyncio.create_task(wallets[0].ask())]
    await asyncio.sleep(0.2)
    tasks += [asyncio.create_task(wallet.ask()) for wallet in wallets[1:]]
    await asyncio.sleep(0.2)
    return wallets, tasks


def test_what_is_under_way_gets_9003_what_waits_9001_and_one_too_many_9001_at_once(small: Deployment) -> None:
    async def scenario(gateway: Gateway) -> None:
        async with held(small):
            wallets, tasks = await fill(small, gateway)
            one_too_many = Wallet(small, gateway)
            assert await one_too_many.ask() == "9001"
            assert one_too_many.seconds < SLACK_S
            await asyncio.gather(*tasks)
            assert wallets[0].code == "9003"
            assert Counter(wallet.code for wallet in wallets[1:]) == {"9001": QUEUE_MAX}
            for wallet in wallets:
                assert WAIT_MAX_S - 0.2 <= wallet.seconds <= WAIT_MAX_S + SLACK_S
        # Who was told 9001 is not stored; who was told 9003 is, as it happens, and finds it by a retry.
        again = Wallet(small, gateway, retry_of=wallets[0])
        assert await again.ask() == "0000"
        assert await stored(small) == {wallets[0].asked.trace_no}
        for wallet in wallets[1:]:
            assert await Wallet(small, gateway, retry_of=wallet).ask() == "0000"

    with small.serving() as gateway:
        asyncio.run(scenario(gateway))


def test_a_client_that_has_gone_while_it_waited_is_not_issued(small: Deployment) -> None:
    async def scenario(gateway: Gateway) -> None:
        async with held(small):
            wallets, tasks = await fill(small, gateway)
            for task in tasks[1:4]:
                task.cancel()
            await asyncio.gather(*tasks[1:4], return_exceptions=True)
            await asyncio.sleep(0.2)
        await asyncio.gather(*tasks[4:], tasks[0])
        await Wallet(small, gateway).ask()
        there = await stored(small)
        assert not there & {wallet.asked.trace_no for wallet in wallets[1:4]}
        assert {wallet.asked.trace_no for wallet in (wallets[0], *wallets[4:])} <= there

    with small.serving() as gateway:
        asyncio.run(scenario(gateway))


def test_after_a_stop_of_the_store_all_is_well_within_a_second(small: Deployment) -> None:
    async def scenario(gateway: Gateway) -> None:
        wallets = Wallets(small, [gateway.port], count=24)
        async with held(small):
            wallets.start()
            await asyncio.sleep(2.5 * WAIT_MAX_S)
        freed_at = time.monotonic()
        await asyncio.sleep(1.0)
        assert len([1 for asked in wallets.answered if asked.answered_at - freed_at < 1.0]) > 24
        await wallets.stop()
        assert set(wallets.codes()) <= {"0000", "9001", "9003"}
        assert wallets.codes()["9001"] > 24

    with small.serving() as gateway:
        asyncio.run(scenario(gateway))
        assert gateway.metric("cpmqr_queue_waiting") == 0
        assert gateway.terminate() == 0


async def all_in(gateway: Gateway) -> None:
    """Return once a whole crowd is under way."""
    for _ in range(60):
        if await asyncio.to_thread(gateway.metric, "cpmqr_in_flight") >= FREELY_MAX:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the crowd is not in")


def test_more_at_once_than_can_be_answered_soon_are_turned_away_unread(
    make_deployment: Callable[..., Deployment],
) -> None:
    deployment = make_deployment(tokens=1, storage="wait_max_s = 8.0")

    async def scenario(gateway: Gateway) -> None:
        async with held(deployment):
            crowd = [Wallet(deployment, gateway) for _ in range(FREELY_MAX)]
            tasks = [asyncio.create_task(wallet.ask()) for wallet in crowd]
            await all_in(gateway)
            late = [Wallet(deployment, gateway) for _ in range(40)]
            for wallet in late:  # the first one begins the overload; those after it meet a door that is shut
                assert await wallet.ask() == "9001"
            assert sum(wallet.seconds for wallet in late) < 40 * SLACK_S
        await asyncio.gather(*tasks)
        told = Counter(wallet.code for wallet in crowd)
        assert told["9001"] > 0.3 * FREELY_MAX  # those that only waited
        assert set(told) == {"9001", "0000"}
        assert await stored(deployment) == {
            wallet.asked.trace_no for wallet in crowd if wallet.code == "0000"
        }
        await asyncio.sleep(1.1)
        assert await Wallet(deployment, gateway).ask() == "0000"

    with deployment.serving() as gateway:
        asyncio.run(scenario(gateway))
        assert gateway.metric('cpmqr_answers_total{code="9001"}') > 40
        assert gateway.told().count('"code":"9001"') < 10  # a line a second, not one for each
