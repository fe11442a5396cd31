"""Removing what is old, in small steps, so that nothing waits long behind it."""

from __future__ import annotations

from typing import Final

from cpmqr.store.outbox import first_event_id
from cpmqr.store.transaction import Transaction

STEP_ROWS_MAX: Final = 5_000  # rows of one kind in one transaction: some tens of milliseconds


def step_rows(limit: int) -> int:
    """Hold a step to 1..STEP_ROWS_MAX rows."""
    return max(1, min(limit, STEP_ROWS_MAX))


async def purge_sqlite(tx: Transaction, before_s: int, limit: int) -> int:
    """Remove one step's worth from SQLite; how many rows went.

    Issues are walked by rowid, the order in which they came: no index over time is paid for on each issue.
    """
    rows = await tx.fetch(
        "SELECT number, requestor_id, trace_no FROM (SELECT rowid AS number, requestor_id, trace_no, issued_at_s"
        " FROM issue ORDER BY rowid LIMIT $2) AS eldest"
        " WHERE issued_at_s < $1",
        before_s,
        step_rows(limit),
    )
    await tx.execute_many(
        "DELETE FROM trace WHERE requestor_id = $1 AND trace_no = $2", [(row[1], row[2]) for row in rows]
    )
    await tx.execute_many("DELETE FROM issue WHERE rowid = $1", [(row[0],) for row in rows])
    return len(rows) + await purge_answers(tx, before_s, limit)


async def purge_answers(tx: Transaction, before_s: int, limit: int) -> int:
    """Remove one step's worth of verifications and of delivered events; how many rows went."""
    verifications = await tx.execute(
        "DELETE FROM verification WHERE (authoriser_id, authorization_id) IN"
        " (SELECT authoriser_id, authorization_id FROM verification"
        " WHERE answered_at_s < $1 ORDER BY answered_at_s LIMIT $2)",
        before_s,
        step_rows(limit),
    )
    events = await tx.execute(
        "DELETE FROM event WHERE event_id IN (SELECT event_id FROM event"
        " WHERE state = 'delivered' AND event_id < $1 ORDER BY event_id LIMIT $2)",
        first_event_id(before_s),
        step_rows(limit),
    )
    return verifications + events
