"""Connections to PostgreSQL, few and kept: a lease costs no round trip, and what is broken is thrown away.

asyncpg's own pool resets a connection at each release, one more round trip for each batch. Ours leaves sessions as
they are, since every statement of this room leaves them clean.

A statement that has been sent is never cancelled. PostgreSQL answers a cancel that comes while a commit waits for
its synchronous standby with success, and a retry would then be told of an issue that a failover loses. So what takes
too long has its connection cut instead: the server's own transaction goes on waiting, and holds its locks.
"""

from __future__ import annotations

import asyncio
import contextlib
import urllib.parse
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Final, TypeVar

import asyncpg

from cpmqr.errors import ConfigError, CpmqrError, OutcomeUnknown, StoreUnavailable
from cpmqr.store.postgres_hosts import connect_to_primary

Result = TypeVar("Result")

CONNECT_TIMEOUT_S: Final = 5.0
STATEMENT_TIMEOUT_S: Final = 5.0  # ours take milliseconds; longer means locks or a disk in trouble
ANSWER_TIMEOUT_S: Final = (
    STATEMENT_TIMEOUT_S + 3.0
)  # the server's own timeout comes first, and is the better answer

# A setting that the URL names (`?statement_timeout=…`) wins.
_SETTINGS: Final = {
    "application_name": "cpmqr",
    "default_transaction_isolation": "read committed",
    "statement_timeout": f"{STATEMENT_TIMEOUT_S * 1000:.0f}",
    "idle_in_transaction_session_timeout": "10000",
    "timezone": "UTC",
    # Each statement is planned once for a connection, and must stay right while tables grow from nothing to
    # millions of rows: every one of them goes by keys, so the plans that do not are ruled out.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
# The connection is gone, or the server says so: what was under way may or may not have been committed.
_LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.StatementCompletionUnknownError,
    OSError,
)


class Pool:
    """At most `size` connections of one event loop; made as they are needed.

    Args:
        dsn: a libpq URL; several hosts may be named, and the one that takes writes is found.
        answer_timeout_s: after so long a lease's connection is cut.
    """

    def __init__(self, dsn: str, size: int, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self._dsn = dsn
        self._answer_timeout_s = answer_timeout_s
        self.size = size
        self.in_use = 0
        self._idle: deque[asyncpg.Connection] = deque()
        self._free = asyncio.Semaphore(size)
        self._closed = False

    @contextlib.asynccontextmanager
    async def lease(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend a connection; it is cut when it is not given back in time, and dropped if it comes back broken.

        Raises:
            StoreUnavailable: none can be made.
        """
        async with self._free:
            connection = await self._take()
            self.in_use += 1
            timer = asyncio.get_running_loop().call_later(self._answer_timeout_s, self._cut, connection)
            try:
                yield connection
            except BaseException:
                if not connection.is_closed() and connection.is_in_transaction():
                    connection.terminate()
                raise
            finally:
                timer.cancel()
                self.in_use -= 1
                if self._closed:
                    connection.terminate()
                elif not connection.is_closed():
                    self._idle.append(connection)

    def _cut(self, connection: asyncpg.Connection) -> None:
        """Give a connection up that does not answer, and all others: they are most likely to the same server."""
        connection.terminate()
        self.drop_idle()

    def drop_idle(self) -> None:
        """Cut all connections that nobody uses: their server has become a standby, or is going away."""
        while self._idle:
            self._idle.pop().terminate()

    async def close(self) -> None:
        """Close what is idle now; what is lent out is closed when it comes back."""
        self._closed = True
        while self._idle:
            with contextlib.suppress(*_LOST, asyncio.TimeoutError):
                await self._idle.pop().close(timeout=CONNECT_TIMEOUT_S)

    async def _take(self) -> asyncpg.Connection:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        while self._idle:
            connection = self._idle.pop()  # the one used last: its caches are warm
            if not connection.is_closed():
                return connection
        return await connect(self._dsn)


async def connect(dsn: str) -> asyncpg.Connection:
    """Open a connection to the server that takes writes, set up for our statements.

    Raises:
        StoreUnavailable: no such server answers.
        ConfigError: the URL can't be understood.
    """
    try:
        named = urllib.parse.parse_qs(urllib.parse.urlsplit(dsn).query)
        connection = await connect_to_primary(
            dsn,
            timeout=CONNECT_TIMEOUT_S,
            server_settings={name: value for name, value in _SETTINGS.items() if name not in named},
            target_session_attrs=None if "target_session_attrs" in named else "read-write",
        )
        await _insist_on_durability(connection)
    except (asyncpg.ClientConfigurationError, ValueError) as error:
        raise ConfigError(f"the database URL is wrong ({type(error).__name__}): see `cpmqr doctor`") from None
    except asyncpg.PostgresError as error:
        raise StoreUnavailable(f"PostgreSQL refuses the connection: {describe(error)}") from None
    except (TimeoutError, OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise StoreUnavailable(f"PostgreSQL can't be reached ({type(error).__name__})") from None
    return connection


async def _insist_on_durability(connection: asyncpg.Connection) -> None:
    # An answered issue must survive a crash, whatever is set for the rest of this database. Stronger settings stay.
    try:
        if await connection.fetchval("SHOW synchronous_commit", timeout=CONNECT_TIMEOUT_S) == "off":
            await connection.execute("SET synchronous_commit = on", timeout=CONNECT_TIMEOUT_S)
    except BaseException:
        connection.terminate()
        raise


async def shielded(work: Coroutine[Any, Any, Result]) -> Result:
    """Carry work out to its end, even if whoever waits for it is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(_look_at)
    return await asyncio.shield(task)


def translate(error: Exception, *, sent: bool) -> CpmqrError:
    """Say in our terms what a database error means.

    Args:
        sent: a commit, or a statement that commits itself, had been sent.
    """
    if isinstance(error, CpmqrError):
        return error
    if isinstance(error, _LOST) and not isinstance(error, asyncpg.QueryCanceledError):
        if sent:
            return OutcomeUnknown(f"the connection was lost ({type(error).__name__})")
        return StoreUnavailable(f"the connection was lost ({type(error).__name__})")
    if isinstance(error, asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError):
        return StoreUnavailable("the schema is not up to date: run `cpmqr db upgrade`")
    if isinstance(error, asyncpg.PostgresError):
        return StoreUnavailable(f"PostgreSQL refused: {describe(error)}")
    return StoreUnavailable(f"the database step failed ({type(error).__name__})")


def describe(error: asyncpg.PostgresError) -> str:
    """Name an error without its texts, which may repeat values."""
    where = error.constraint_name or error.table_name
    return f"{type(error).__name__}, SQLSTATE {error.sqlstate}" + (f", {where}" if where else "")


def _look_at(task: asyncio.Task[Any]) -> None:
    # If nobody waits any more, its error has been nobody's; reading it keeps the loop from complaining.
    if not task.cancelled():
        task.exception()
