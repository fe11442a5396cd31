"""Several hosts in one URL: find the server that takes writes, whatever state the others are in.

asyncpg asks one host after the other, all within one time limit: a machine that accepts connections and says nothing
would use it up, and the new primary behind it would never be asked. And it takes the first that is writable: after a
failover whose old primary lives on, cut off from its cluster, that may be the wrong one. So all are asked at once,
and of two that take writes the one on the newer timeline is the primary.
"""

from __future__ import annotations

import asyncio
import contextlib
import urllib.parse
from collections.abc import Sequence
from typing import Any, Final

import asyncpg

Host = tuple[str, int | None]
"""Name or address or socket folder, and port; None is the default one."""

HOSTS_MAX: Final = 16  # far more than a cluster has; each is asked at every new connection
GRACE_S: Final = 0.25  # how much longer the others are waited for once one takes writes
_TIMELINE: Final = "SELECT pg_walfile_name(pg_current_wal_lsn())"


def hosts_of(dsn: str) -> list[Host]:
    """Give the hosts that a URL names, in its order; [] where it names none.

    Raises:
        ValueError: a port is no number, there are not as many ports as hosts, or there are too many of them.
    """
    url = urllib.parse.urlsplit(dsn)
    named = urllib.parse.parse_qs(url.query)
    listed = url.netloc.rpartition("@")[2] or ",".join(named.get("host", [])[-1:])
    hosts = [_host(spec) for spec in listed.split(",") if spec]
    ports = [int(port) for port in ",".join(named.get("port", [])[-1:]).split(",") if port]
    if ports:
        if len(ports) not in (1, len(hosts)):
            raise ValueError("as many ports as hosts are wanted, or one for all")
        hosts = [(name, ports[position % len(ports)]) for position, (name, _) in enumerate(hosts)]
    if len(hosts) > HOSTS_MAX:
        raise ValueError(f"at most {HOSTS_MAX} hosts may be named")
    return hosts


def _host(spec: str) -> Host:
    if spec.startswith("/"):
        return spec, None
    if spec.startswith("["):  # IPv6, whose own colons are no port's
        name, _, rest = spec[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        name, _, port = spec.partition(":")
    return urllib.parse.unquote(name), int(port) if port else None


async def connect_to_primary(dsn: str, **options: Any) -> asyncpg.Connection:
    """Connect to the server that takes writes; `options` are those of `asyncpg.connect`.

    Raises:
        Exception: as `asyncpg.connect` raises it; with several hosts, what says most of theirs.
    """
    hosts = hosts_of(dsn)
    if len(hosts) < 2:
        return await asyncpg.connect(dsn, **options)
    tries = [
        asyncio.ensure_future(asyncpg.connect(dsn, host=name, port=port, **options)) for name, port in hosts
    ]
    try:
        writable = await _writable(tries)
        chosen = writable[0] if len(writable) == 1 else await _newest(writable)
    except BaseException:
        _forget(tries)
        raise
    _forget(tries, but=chosen)
    return chosen


async def _writable(tries: Sequence[asyncio.Future[asyncpg.Connection]]) -> list[asyncpg.Connection]:
    """Wait for one, and a moment longer for others; give what there is, in the order of the URL."""
    waiting: set[asyncio.Future[asyncpg.Connection]] = set(tries)
    while waiting and not any(_succeeded(one) for one in tries):
        _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if waiting:
        await asyncio.wait(waiting, timeout=GRACE_S)
    found = [one.result() for one in tries if _succeeded(one)]
    if found:
        return found
    errors = [error for one in tries if (error := one.exception()) is not None]
    # "Wrong password" or "no such database" says more than a standby's or an absent host's refusal.
    raise next((error for error in errors if isinstance(error, asyncpg.PostgresError)), errors[0])


async def _newest(connections: Sequence[asyncpg.Connection]) -> asyncpg.Connection:
    timelines = await asyncio.gather(*map(_timeline, connections))
    return connections[timelines.index(max(timelines))]


async def _timeline(connection: asyncpg.Connection) -> int:
    """Give a server's timeline, which grows with each promotion; -1 where it does not say."""
    try:
        name: str = await connection.fetchval(_TIMELINE, timeout=GRACE_S)
        return int(name[:8], 16)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, ValueError):
        return -1


def _succeeded(one: asyncio.Future[asyncpg.Connection]) -> bool:
    return one.done() and not one.cancelled() and one.exception() is None


def _forget(
    tries: Sequence[asyncio.Future[asyncpg.Connection]], but: asyncpg.Connection | None = None
) -> None:
    """Drop every connection but one, also those that are still being made."""

    def drop(one: asyncio.Future[asyncpg.Connection]) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            if one.exception() is None and one.result() is not but:
                one.result().terminate()

    for one in tries:
        one.cancel()
        one.add_done_callback(drop)
