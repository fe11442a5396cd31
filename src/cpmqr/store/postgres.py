"""The store on PostgreSQL: any number of gateways on any number of machines over one database.

PostgreSQL 15 or newer. Several hosts may be named in the URL
(`postgresql://one,two/cpmqr?target_session_attrs=read-write`); after a failover the next statement finds the one
that takes writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import asyncpg

from cpmqr.errors import OutcomeUnknown, StoreUnavailable
from cpmqr.store import retention, schema
from cpmqr.store.base import Connections, Issued, IssueIntent, IssueOutcome
from cpmqr.store.postgres_days import (
    DAY_S,
    DAYS_AHEAD,
    PARTITIONS,
    drop_partition,
    make_partition,
    partition_name,
    purge_issues,
)
from cpmqr.store.postgres_issue import (
    ISSUE,
    READ_FIRST,
    FirstGone,
    arguments,
    firsts_wanted,
    outcomes,
    without_contests,
)
from cpmqr.store.postgres_pool import ANSWER_TIMEOUT_S, Pool, shielded, translate
from cpmqr.store.transaction import Row, Transaction, Value
from cpmqr.store.transactional import Step, TransactionalStore
from cpmqr.store.verification import ClaimedMeanwhile

P = ParamSpec("P")
Result = TypeVar("Result")
Work = Callable[Concatenate[asyncpg.Connection, P], Coroutine[Any, Any, Result]]

CONNECTIONS: Final = (
    4  # for each worker: more make no batch quicker, and each costs the server some megabytes
)
_ATTEMPTS_MAX: Final = 5  # a race is lost once or twice; more often means something else
_STEP_TIMEOUT_S: Final = 6 * 3600.0  # an index over a large table takes its time
# One schema change at a time in the whole cluster; the number is ours, and means nothing.
_UPGRADE_LOCK: Final = "SELECT pg_advisory_xact_lock(4271890030)"

# Nothing was stored, and the next attempt sees what it collided with (or finds the server that takes writes).
_AGAIN: Final = (
    asyncpg.UniqueViolationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.ReadOnlySQLTransactionError,
    FirstGone,
    ClaimedMeanwhile,
)


class PostgresStore(TransactionalStore):
    """`Store` over PostgreSQL; it belongs to one event loop. The schema is left as it is: call `upgrade()`.

    Connections are made when they are needed: `await store.ping()` tells whether that works.

    Args:
        dsn: a libpq URL, with one host or several.
        connections: how many there may be at once.
        answer_timeout_s: after so long without an answer a connection is cut, and the outcome is unknown.
    """

    def __init__(
        self, dsn: str, *, connections: int = CONNECTIONS, answer_timeout_s: float = ANSWER_TIMEOUT_S
    ) -> None:
        self._dsn = dsn
        self._pool = Pool(dsn, connections, answer_timeout_s)

    @property
    def connections(self) -> Connections:
        return Connections(self._pool.in_use, self._pool.size)

    async def issue(
        self, intents: Sequence[IssueIntent], issuer_keys: Mapping[str, str]
    ) -> list[IssueOutcome]:
        """Carry out all intents in one durable statement; see `IssueStore.issue`."""
        if not intents:
            return []
        return await shielded(self._issue_all(intents, issuer_keys))

    async def _issue_all(
        self, intents: Sequence[IssueIntent], issuer_keys: Mapping[str, str]
    ) -> list[IssueOutcome]:
        done: list[IssueOutcome] = []
        for part in without_contests(intents):
            try:
                done += await self._repeatedly(self._issue_part, part, issuer_keys)
            except StoreUnavailable as error:
                if done:  # an earlier part is stored: then nobody may be told that nothing was
                    raise OutcomeUnknown(f"a part of the batch was stored: {error}") from error
                raise
        return done

    async def _issue_part(
        self,
        connection: asyncpg.Connection,
        intents: Sequence[IssueIntent],
        issuer_keys: Mapping[str, str],
    ) -> list[IssueOutcome]:
        try:
            rows = await connection.fetch(ISSUE, *arguments(intents, issuer_keys))
            wanted = firsts_wanted(intents, rows)
            firsts = await connection.fetch(READ_FIRST, *zip(*wanted, strict=True)) if wanted else []
        except _AGAIN:
            raise
        except Exception as error:
            raise translate(error, sent=True) from None
        issued = [Issued(*(*row, True)) for row in firsts]
        return outcomes(intents, rows, {(each.token_id, each.atc): each for each in issued})

    async def _read(self, step: Step[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        async def carry_out(connection: asyncpg.Connection) -> Result:
            try:
                return await step(_Transaction(connection), *args, **kwargs)
            except Exception as error:
                raise translate(error, sent=False) from None

        return await shielded(self._repeatedly(carry_out))

    async def _write(self, step: Step[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        async def carry_out(connection: asyncpg.Connection) -> Result:
            transaction = connection.transaction()
            sent = False
            try:
                await transaction.start()
                result = await step(_Transaction(connection), *args, **kwargs)
                sent = True
                await transaction.commit()
            except _AGAIN:
                await _roll_back(connection)
                raise
            except Exception as error:
                await _roll_back(connection)
                raise translate(error, sent=sent) from None
            return result

        return await shielded(self._repeatedly(carry_out))

    async def _repeatedly(self, work: Work[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        """Carry out work on a leased connection; again, where it lost a race and stored nothing."""
        for attempt in range(1, _ATTEMPTS_MAX + 1):
            try:
                async with self._pool.lease() as connection:
                    return await work(connection, *args, **kwargs)
            except asyncpg.ReadOnlySQLTransactionError:
                self._pool.drop_idle()  # a failover: this server is a standby now, for all of our connections
            except _AGAIN as error:
                if attempt == _ATTEMPTS_MAX:
                    raise translate(error, sent=False) from None
        raise StoreUnavailable("PostgreSQL takes no writes: a failover is under way")

    async def schema_version(self) -> int:
        return await self._read(_schema_version)

    async def upgrade(self) -> list[str]:
        """Bring the schema up to date, and make room for the coming days; the names of the steps taken."""
        patient = PostgresStore(self._dsn, connections=1, answer_timeout_s=_STEP_TIMEOUT_S)
        try:
            steps = schema.steps(schema.Dialect.POSTGRES)
            taken = [step.name for step in steps if await patient._write(_take_step, step)]
        finally:
            await patient.close()
        await self.prepare_days(int(time.time()))
        return taken

    async def prepare_days(self, now_s: int) -> list[str]:
        """Make the partitions that are missing from today to a week ahead; their names."""
        today = now_s // DAY_S
        known = {name for (name,) in await self._read(_fetch, PARTITIONS)}
        return [
            partition_name(day)
            for day in range(today, today + DAYS_AHEAD + 1)
            if partition_name(day) not in known and await self._with_connection(make_partition, day)
        ]

    async def purge(self, before_s: int, limit: int) -> int:
        """Remove one step's worth of what is old; see `Store.purge`."""
        removed, finished = await self._write(purge_issues, before_s, limit)
        if finished:
            await self._with_connection(drop_partition, finished)
        return removed + await self._write(retention.purge_answers, before_s, limit)

    async def ping(self) -> None:
        await self._read(_fetch, "SELECT 1")

    async def close(self) -> None:
        """Close the connections. Later calls raise StoreUnavailable."""
        await self._pool.close()

    async def _with_connection(self, work: Work[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        async def carry_out(connection: asyncpg.Connection) -> Result:
            try:
                return await work(connection, *args, **kwargs)
            except Exception as error:
                raise translate(error, sent=True) from None

        return await shielded(self._repeatedly(carry_out))


class _Transaction:
    """`Transaction` over a connection on which one was begun."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *values: Value) -> Sequence[Row]:
        rows: Sequence[Row] = await self._connection.fetch(sql, *values)
        return rows

    async def execute(self, sql: str, *values: Value) -> int:
        status: str = await self._connection.execute(sql, *values)
        count = status.rpartition(" ")[2]  # "INSERT 0 1", "UPDATE 3"; "CREATE TABLE" counts nothing
        return int(count) if count.isdigit() else 0

    async def execute_many(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        await self._connection.executemany(sql, rows)


async def _fetch(tx: Transaction, sql: str) -> Sequence[Row]:
    return await tx.fetch(sql)


async def _schema_version(tx: Transaction) -> int:
    ((known,),) = await tx.fetch("SELECT to_regclass('schema_step') IS NOT NULL")
    if not known:
        return 0
    ((version,),) = await tx.fetch(schema.READ_VERSION)
    return int(version)


async def _take_step(tx: Transaction, step: schema.Step) -> bool:
    """Take a step if it has not been taken; whoever comes second waits, and finds it taken."""
    await tx.execute("SET LOCAL statement_timeout = 0")
    await tx.fetch(_UPGRADE_LOCK)
    await tx.execute(schema.steps_table(schema.Dialect.POSTGRES))
    if await _schema_version(tx) >= step.version:
        return False
    for statement in step.statements:
        await tx.execute(statement)
    await tx.execute(schema.RECORD_STEP, step.version, step.name, int(time.time()))
    return True


async def _roll_back(connection: asyncpg.Connection) -> None:
    """End a failed transaction; a connection on which that fails is cut by its lease."""
    try:
        if not connection.is_closed() and connection.is_in_transaction():
            await connection.execute("ROLLBACK")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        connection.terminate()
