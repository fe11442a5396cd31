"""What PostgreSQL alone can do to us: lost connections, locks, failovers, plans; and what we do about it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import asyncpg
import pytest
from tests.store.proxy import proxied
from tests.store.world import (
    ACTOR,
    KEYS,
    NOW_S,
    REQUESTOR_ID,
    codes,
    intent,
    issue_one,
    requestor,
    token,
    with_tokens,
)

from cpmqr.errors import ConfigError, OutcomeUnknown, StoreUnavailable
from cpmqr.store.postgres import PostgresStore
from cpmqr.store.postgres_days import DAY_S, make_partition, partition_name
from cpmqr.store.postgres_issue import ISSUE, READ_FIRST, arguments
from cpmqr.store.postgres_pool import connect

pytestmark = pytest.mark.anyio

LOCK_COUNTER = "SELECT 1 FROM counter WHERE token_id = $1 FOR UPDATE"


@contextlib.asynccontextmanager
async def opened(url: str, tokens: int = 2, **options: float) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url, **options)
    await store.upgrade()
    await with_tokens(store, *(token(number) for number in range(1, tokens + 1)))
    try:
        yield store
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def holding(url: str, lock: str, *values: object) -> AsyncIterator[asyncpg.Connection]:
    """Take a lock as a stuck transaction of somebody else would, and give it back by rolling back."""
    other = await asyncpg.connect(url)
    transaction = other.transaction()
    try:
        await transaction.start()
        await other.execute(lock, *values)
        yield other
    finally:
        await transaction.rollback()
        await other.close()


def counter_held(url: str) -> contextlib.AbstractAsyncContextManager[asyncpg.Connection]:
    """Hold token 1's counter."""
    return holding(url, LOCK_COUNTER, 1)


async def one_is_waiting(connection: asyncpg.Connection) -> int:
    """Give the process id of the statement that waits for a lock."""
    for _ in range(200):
        pid = await connection.fetchval(
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'cpmqr'"
        )
        if pid is not None:
            return int(pid)
        await asyncio.sleep(0.02)
    raise AssertionError("no statement of ours is waiting")


async def test_a_connection_lost_under_way_leaves_the_outcome_unknown_and_the_next_call_works(
    postgres_url: str,
) -> None:
    async with opened(postgres_url) as store:
        async with counter_held(postgres_url) as other:
            issuing = asyncio.ensure_future(issue_one(store, intent("T1")))
            await other.execute("SELECT pg_terminate_backend($1)", await one_is_waiting(other))
            with pytest.raises(OutcomeUnknown):
                await issuing
        assert codes([await issue_one(store, intent("T1"))]) == ["1"]


async def test_a_statement_that_waits_too_long_stores_nothing(postgres_url: str) -> None:
    async with opened(f"{postgres_url}&statement_timeout=200") as store:
        async with counter_held(postgres_url):
            with pytest.raises(StoreUnavailable, match="QueryCanceledError"):
                await issue_one(store, intent("T1"))
            assert codes([await issue_one(store, intent("T2", 2))]) == ["1"]
        assert codes([await issue_one(store, intent("T1"))]) == ["1"]


async def test_a_caller_that_gives_up_does_not_stop_the_issue(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        async with counter_held(postgres_url) as other:
            issuing = asyncio.ensure_future(issue_one(store, intent("T1")))
            await one_is_waiting(other)
            issuing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await issuing
        assert codes([await issue_one(store, intent("T1"))]) == ["=1"]


async def test_a_silent_server_leaves_the_outcome_unknown_and_a_retry_finds_the_issue(
    postgres_url: str,
) -> None:
    async with proxied(postgres_url) as proxy, opened(proxy.url, answer_timeout_s=0.3) as store:
        await issue_one(store, intent("T0", 2))  # from now on the statement is known, and is sent at once
        proxy.answers = False
        with pytest.raises(OutcomeUnknown):
            await issue_one(store, intent("T1"))
        proxy.answers = True
        proxy.cut()
        assert codes([await issue_one(store, intent("T1"))]) == ["=1"]


async def test_a_cut_network_is_told_apart_from_a_lost_commit(postgres_url: str) -> None:
    async with proxied(postgres_url) as proxy, opened(proxy.url) as store:
        async with counter_held(postgres_url) as other:
            changing = asyncio.ensure_future(store.reseal_tokens([(1, "1", b"new", "2")]))
            await changing  # another row: not held
            issuing = asyncio.ensure_future(issue_one(store, intent("T1")))
            await one_is_waiting(other)
            proxy.cut()
            with pytest.raises(OutcomeUnknown):
                await issuing
        assert codes([await issue_one(store, intent("T1"))])[0] in {"1", "=1"}


async def test_a_change_cut_off_before_its_commit_stored_nothing(postgres_url: str) -> None:
    async with proxied(postgres_url) as proxy, opened(proxy.url) as store:
        async with holding(postgres_url, "SELECT 1 FROM audit_head FOR UPDATE") as other:
            changing = asyncio.ensure_future(store.put_requestor(ACTOR, requestor(name="never"), NOW_S))
            await one_is_waiting(other)
            proxy.cut()
            with pytest.raises(StoreUnavailable):
                await changing
        assert (await store.directory()).requestors == (requestor(),)


async def test_of_several_hosts_the_one_that_answers_is_found(postgres_url: str) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, and not listening
        async with proxied(postgres_url) as proxy:
            dead = f"127.0.0.1:{nobody.getsockname()[1]}"
            async with opened(proxy.url.replace("127.0.0.1", f"{dead},127.0.0.1", 1)) as store:
                assert codes([await issue_one(store, intent("T1"))]) == ["1"]


async def test_an_unreachable_server_is_unavailable_and_its_url_is_not_repeated(postgres_url: str) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        store = PostgresStore(f"postgresql://me:s3cret@127.0.0.1:{nobody.getsockname()[1]}/db")
        with pytest.raises(StoreUnavailable) as caught:
            await issue_one(store, intent("T1"))
        assert "s3cret" not in str(caught.value)
        await store.close()


@pytest.mark.parametrize(
    "url", ["postgresql://h:port/x", "mysql://h/x", "postgresql://h/x?target_session_attrs=odd"]
)
async def test_a_url_that_makes_no_sense_is_a_matter_of_configuration(url: str) -> None:
    with pytest.raises(ConfigError):
        await PostgresStore(url).ping()


async def test_a_server_that_takes_no_writes_is_unavailable(postgres_url: str) -> None:
    async with opened(postgres_url):
        pass
    standby = PostgresStore(f"{postgres_url}&target_session_attrs=any&default_transaction_read_only=on")
    with pytest.raises(StoreUnavailable, match="failover"):
        await issue_one(standby, intent("T1"))
    with pytest.raises(StoreUnavailable, match="failover"):
        await standby.put_requestor(ACTOR, requestor(), NOW_S)
    assert len(await standby.list_tokens()) == 2
    await standby.close()


async def test_a_commit_waits_for_the_disk_even_where_the_database_would_not(postgres_url: str) -> None:
    for given, used in (("off", "on"), ("remote_apply", "remote_apply"), ("on", "on")):
        connection = await connect(f"{postgres_url}&synchronous_commit={given}")
        assert await connection.fetchval("SHOW synchronous_commit") == used
        await connection.close()


async def test_a_value_that_does_not_fit_is_refused_without_being_repeated(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        for call in (
            store.token(2**80),
            issue_one(store, intent("T\x001")),
            issue_one(store, intent("T\ud8001")),
            store.audit(ACTOR, "test", "\x00", {}, NOW_S),
        ):
            with pytest.raises(StoreUnavailable) as caught:
                await call
            assert "T" + "\x00" not in str(caught.value)
            assert str(2**80) not in str(caught.value)
        assert codes([await issue_one(store, intent("T1"))]) == ["1"]


BATCH_ORDER = (7, 2, 8, 5, 1, 4, 6, 3)  # any, but that of the keys


async def is_free(url: str, lock: str, *values: object) -> bool:
    """Tell whether a statement that takes a lock gets it, and take it back."""
    probe = await asyncpg.connect(url)
    try:
        async with probe.transaction():
            await probe.execute("SET LOCAL lock_timeout = '50ms'")
            await probe.execute(lock, *values)
            raise asyncio.CancelledError  # roll back
    except asyncpg.LockNotAvailableError:
        return False
    except asyncio.CancelledError:
        return True
    finally:
        await probe.close()


async def test_counters_are_locked_in_the_order_of_their_index_so_that_gateways_never_deadlock(
    postgres_url: str,
) -> None:
    async with opened(postgres_url, tokens=8) as store:
        async with holding(postgres_url, LOCK_COUNTER, 5) as other:
            batch = [intent(f"T{number}", number) for number in BATCH_ORDER]
            issuing = asyncio.ensure_future(store.issue(batch, KEYS))
            await one_is_waiting(other)
            free = [number for number in range(1, 9) if await is_free(postgres_url, LOCK_COUNTER, number)]
        assert codes(await issuing) == ["1"] * 8
        assert free == [6, 7, 8]


async def test_trace_numbers_are_claimed_in_their_order_so_that_gateways_never_deadlock(
    postgres_url: str,
) -> None:
    claim = f"INSERT INTO trace VALUES ('{REQUESTOR_ID}', $1, '', 0, 0, 0)"
    async with opened(postgres_url, tokens=8) as store:
        async with holding(postgres_url, claim, "T5") as other:
            batch = [intent(f"T{trace}", number) for number, trace in enumerate(BATCH_ORDER, start=1)]
            issuing = asyncio.ensure_future(store.issue(batch, KEYS))
            await one_is_waiting(other)
            free = [number for number in range(1, 9) if await is_free(postgres_url, claim, f"T{number}")]
        assert codes(await issuing) == ["1"] * 8
        assert free == [6, 7, 8]


async def test_the_request_path_reads_one_key_at_a_time_whatever_the_statistics(postgres_url: str) -> None:
    async with opened(postgres_url):
        pass
    connection = await connect(postgres_url)
    plan = await connection.fetch("EXPLAIN " + ISSUE, *arguments([intent("T1"), intent("T2", 2)], KEYS))
    plan += await connection.fetch("EXPLAIN " + READ_FIRST, [1], [1], [NOW_S])
    text = "\n".join(row[0] for row in plan)
    await connection.close()
    for forbidden in ("Seq Scan", "Hash Join", "Merge Join", "Bitmap"):
        assert forbidden not in text, text


async def test_a_day_that_another_gateway_is_just_making_is_left_to_it(postgres_url: str) -> None:
    """Of two at once the slower one may meet the other's row type before it sees its table (SQLSTATE 42710)."""
    async with opened(postgres_url) as store:
        day = NOW_S // DAY_S + 1_000
        connection = await asyncpg.connect(postgres_url)
        try:
            await connection.execute(f"CREATE DOMAIN {partition_name(day)} AS integer")
            made = [await make_partition(connection, each) for each in (day, day + 1, day + 1)]
        finally:
            await connection.close()
        assert made == [False, True, False]
        assert codes([await issue_one(store, intent("T1"))]) == ["1"]
