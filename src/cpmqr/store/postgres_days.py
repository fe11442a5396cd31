"""Days as partitions of `issue`: made ahead, walked and dropped when they are old.

A partition is made as a table of its own and then attached, which stops nobody; only the drop needs the parent for a
moment, and gives up quickly where it can't have it. What has no partition of its own is in `issue_default`.
"""

from __future__ import annotations

import datetime
from typing import Any, Final

import asyncpg

from cpmqr.store.retention import step_rows
from cpmqr.store.transaction import Transaction

DAY_S: Final = 86_400
DAYS_AHEAD: Final = 7  # a maintenance that fails over a long weekend does no harm
_ATTACH_LOCK_TIMEOUT: Final = "2s"
_DROP_LOCK_TIMEOUT: Final = "200ms"  # issues wait behind a waiting drop: rather try again with the next purge
_EPOCH: Final = datetime.date(1970, 1, 1).toordinal()
_PREFIX: Final = "issue_on_"

PARTITIONS: Final = """
    SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = pg_inherits.inhrelid
    WHERE pg_inherits.inhparent = 'issue'::regclass ORDER BY child.relname
"""
# One maintenance at a time in the whole cluster; the number is ours, and means nothing.
_TRY_LOCK: Final = "SELECT pg_try_advisory_xact_lock(4271890031)"


def partition_name(day: int) -> str:
    """Name the partition of a day (days since 1970, UTC): issue_on_20260131."""
    return _PREFIX + datetime.date.fromordinal(_EPOCH + day).strftime("%Y%m%d")


def partition_day(name: str) -> int | None:
    """Give the day of a partition by its name; None for `issue_default`."""
    if not name.startswith(_PREFIX):
        return None
    return datetime.datetime.strptime(name[len(_PREFIX) :], "%Y%m%d").date().toordinal() - _EPOCH  # noqa: DTZ007


async def make_partition(connection: asyncpg.Connection, day: int) -> bool:
    """Make a day's partition; False where it can't be had now: issues go to the default partition then."""
    name = partition_name(day)
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{_ATTACH_LOCK_TIMEOUT}'")
            await connection.execute(f"CREATE TABLE {name} (LIKE issue INCLUDING ALL)")
            await connection.execute(
                f"ALTER TABLE issue ATTACH PARTITION {name}"
                f" FOR VALUES FROM ({day * DAY_S}) TO ({(day + 1) * DAY_S})"
            )
    except (
        asyncpg.DuplicateTableError,  # another gateway was quicker
        asyncpg.DuplicateObjectError,  # likewise, and its row type was there before its table
        asyncpg.LockNotAvailableError,
        asyncpg.CheckViolationError,  # the day has begun, and its issues are in the default partition
        asyncpg.UniqueViolationError,  # two at once, in the system's own tables
    ):
        return False
    return True


async def purge_issues(tx: Transaction, before_s: int, limit: int) -> tuple[int, str]:
    """Remove a step's worth of old trace numbers, and old issues of the default partition.

    A past day's partition does not change any more, so it is walked once by its key, and its trace numbers are
    removed by theirs. No index over time is paid for on each issue.

    Returns:
        How many issues went, and the name of a partition that is now done with, or "".
    """
    ((alone,),) = await tx.fetch(_TRY_LOCK)
    if not alone:
        return 0, ""
    removed = await _purge_default(tx, before_s, limit)
    day = await _eldest_day(tx, before_s)
    if day is None:
        return removed, ""
    rows = await _next_rows(tx, day, limit)
    await _remove_traces(tx, [(row[2], row[3], row[0], row[1]) for row in rows])
    if len(rows) < step_rows(limit):
        return removed + len(rows), partition_name(day)
    await tx.execute(
        "INSERT INTO purge_position (day, token_id, atc) VALUES ($1, $2, $3)"
        " ON CONFLICT (day) DO UPDATE SET token_id = excluded.token_id, atc = excluded.atc",
        day,
        rows[-1][0],
        rows[-1][1],
    )
    return removed + len(rows), ""


async def drop_partition(connection: asyncpg.Connection, name: str) -> bool:
    """Drop a partition whose trace numbers are gone; False where the lock can't be had at once."""
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{_DROP_LOCK_TIMEOUT}'")
            await connection.execute(f"DROP TABLE IF EXISTS {name}")
            await connection.execute("DELETE FROM purge_position WHERE day = $1", partition_day(name))
    except asyncpg.LockNotAvailableError:
        return False
    return True


async def _eldest_day(tx: Transaction, before_s: int) -> int | None:
    for (name,) in await tx.fetch(PARTITIONS):
        day = partition_day(name)
        if day is not None and (day + 1) * DAY_S <= before_s:
            return day
    return None


async def _next_rows(tx: Transaction, day: int, limit: int) -> Any:
    position = await tx.fetch("SELECT token_id, atc FROM purge_position WHERE day = $1", day)
    token_id, atc = position[0] if position else (-1, 0)
    return await tx.fetch(
        f"SELECT token_id, atc, requestor_id, trace_no FROM {partition_name(day)}"  # noqa: S608
        " WHERE (token_id, atc) > ($1, $2) ORDER BY token_id, atc LIMIT $3",
        token_id,
        atc,
        step_rows(limit),
    )


async def _purge_default(tx: Transaction, before_s: int, limit: int) -> int:
    rows = await tx.fetch(
        "DELETE FROM issue_default WHERE (token_id, atc, issued_at_s) IN"
        " (SELECT token_id, atc, issued_at_s FROM issue_default WHERE issued_at_s < $1 LIMIT $2)"
        " RETURNING requestor_id, trace_no, token_id, atc",
        before_s,
        step_rows(limit),
    )
    await _remove_traces(tx, [tuple(row) for row in rows])
    return len(rows)


async def _remove_traces(tx: Transaction, traces: list[tuple[Any, ...]]) -> None:
    await tx.execute_many(
        "DELETE FROM trace WHERE requestor_id = $1 AND trace_no = $2 AND token_id = $3 AND atc = $4", traces
    )
