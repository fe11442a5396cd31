"""Several hosts in one URL: which one is taken when others are absent, silent, or refuse."""

from __future__ import annotations

import asyncio
import contextlib
import time
import urllib.parse
from collections.abc import AsyncIterator

import asyncpg
import pytest
from tests.store.proxy import proxied

from cpmqr.errors import ConfigError, StoreUnavailable
from cpmqr.store.postgres_hosts import HOSTS_MAX, connect_to_primary, hosts_of
from cpmqr.store.postgres_pool import connect

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("dsn", "hosts"),
    [
        ("postgresql://one/db", [("one", None)]),
        ("postgresql://u:p@one:5433,two/db", [("one", 5433), ("two", None)]),
        ("postgresql://u:a%40b@[::1]:5433,[fe80::2]/db", [("::1", 5433), ("fe80::2", None)]),
        ("postgresql:///db?host=one,two:5434", [("one", None), ("two", 5434)]),
        ("postgresql:///db?host=one,two&port=1,2", [("one", 1), ("two", 2)]),
        ("postgresql:///db?host=one,two&port=5", [("one", 5), ("two", 5)]),
        ("postgresql://u@/db?host=/var/run/a,/var/run/b", [("/var/run/a", None), ("/var/run/b", None)]),
        ("postgresql:///db", []),
    ],
)
def test_the_hosts_of_a_url_are_read_as_libpq_reads_them(
    dsn: str, hosts: list[tuple[str, int | None]]
) -> None:
    assert hosts_of(dsn) == hosts


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://one:port/db",
        "postgresql:///db?host=one,two,three&port=1,2",
        f"postgresql://{','.join(['one'] * (HOSTS_MAX + 1))}/db",
    ],
)
async def test_a_list_that_makes_no_sense_is_a_wrong_setting(dsn: str) -> None:
    with pytest.raises(ConfigError):
        await connect(dsn)


@contextlib.asynccontextmanager
async def silent() -> AsyncIterator[int]:
    """A server that takes connections and never says a word; its port."""
    gone = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        gone.set()
        server.close()


def with_hosts(url: str, *hosts: str) -> str:
    """The URL of a server, with hosts in front of it that are not it."""
    parts = urllib.parse.urlsplit(url)
    named = dict(urllib.parse.parse_qsl(parts.query))
    hosts = (*hosts, *[f"{name}:{port or 5432}" for name, port in hosts_of(url)])
    ports = [host.rpartition(":")[2] for host in hosts]
    named |= {"host": ",".join(host.rpartition(":")[0] for host in hosts), "port": ",".join(ports)}
    user = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{user}@", query=urllib.parse.urlencode(named)).geturl()


async def test_a_silent_host_and_an_absent_one_do_not_keep_us_from_the_primary(postgres_url: str) -> None:
    async with silent() as port:
        url = with_hosts(postgres_url, f"127.0.0.1:{port}", "127.0.0.1:1")
        began = time.monotonic()
        connection = await connect(url)
        took_s = time.monotonic() - began
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
    assert took_s < 2


async def test_of_two_writable_hosts_on_one_timeline_the_first_named_is_taken(postgres_url: str) -> None:
    async with proxied(postgres_url) as proxy:
        connection = await connect_to_primary(
            with_hosts(postgres_url, f"127.0.0.1:{proxy.port}"), target_session_attrs="read-write", timeout=5
        )
        assert await connection.fetchval("SELECT 1") == 1
        proxy.cut()  # so it went through the proxy
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await connection.fetchval("SELECT 1")


async def test_a_host_that_knows_us_and_refuses_says_more_than_one_that_is_not_there(
    postgres_url: str,
) -> None:
    parts = urllib.parse.urlsplit(with_hosts(postgres_url, "127.0.0.1:1"))
    with pytest.raises(StoreUnavailable, match="InvalidCatalogNameError"):
        await connect(parts._replace(path="/no_such_database").geturl())


async def test_where_no_host_answers_it_is_said_in_our_words() -> None:
    with pytest.raises(StoreUnavailable, match="can't be reached"):
        await connect("postgresql://u@127.0.0.1:1,127.0.0.1:2/db")


async def test_connections_that_lost_the_race_are_closed(postgres_url: str) -> None:
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cpmqr-race'"
    named = f"{postgres_url}&application_name=cpmqr-race"
    first = hosts_of(postgres_url)[0]
    connection = await connect_to_primary(with_hosts(named, f"{first[0]}:{first[1] or 5432}"), timeout=5)
    other = await asyncpg.connect(postgres_url)
    for _ in range(100):
        if await other.fetchval(count) == 1:
            break
        await asyncio.sleep(0.02)
    assert await other.fetchval(count) == 1
    await connection.close()
    await other.close()
