"""The outbox: what webhooks are still to be told, written in the transaction of what happened."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from cpmqr.store.audit import page_limit
from cpmqr.store.base import Event
from cpmqr.store.transaction import Transaction

QR_USED: Final = "qr.used"
_ERROR_CHARACTERS_MAX: Final = 500  # a receiver's failure in words; what it sent beyond that is of no use
_COLUMNS: Final = "event_id, requestor_id, kind, body, created_at_s, next_at_s, attempts, state, last_error"
_EVENT: Final = f"SELECT {_COLUMNS} FROM event"  # noqa: S608  (our own column names)


def event_id_of(now_s: int, *parts: str) -> str:
    """Name an event: 10 hex digits of its time, so that names sort by it, and 22 of a hash of what it is about."""
    digest = hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
    return f"{first_event_id(now_s)}{digest[:22]}"


def first_event_id(at_s: int) -> str:
    """Give what sorts before every event of this second, and after those of the seconds before."""
    return f"{at_s:010x}"


async def put(tx: Transaction, events: Sequence[tuple[str, str, str, bytes, int]]) -> None:
    """Put events (id, requestor, kind, body, time) in the outbox, due at once."""
    await tx.execute_many(
        f"INSERT INTO event ({_COLUMNS})"  # noqa: S608
        " VALUES ($1, $2, $3, $4, $5, $5, 0, 'pending', '')",
        events,
    )


async def take_due(tx: Transaction, now_s: int, lease_s: int, limit: int) -> list[Event]:
    """Take events that are due, the longest due first, and put them off by the lease."""
    rows = await tx.fetch(
        f"{_EVENT} WHERE state = 'pending' AND next_at_s <= $1"
        " ORDER BY next_at_s LIMIT $2 FOR UPDATE SKIP LOCKED",
        now_s,
        page_limit(limit),
    )
    events = [Event(*row) for row in rows]
    await tx.execute_many(
        "UPDATE event SET next_at_s = $2 WHERE event_id = $1",
        [(event.event_id, now_s + lease_s) for event in events],
    )
    return events


async def settle(
    tx: Transaction, event_id: str, state: str, next_at_s: int, attempts: int, last_error: str
) -> None:
    """Note how a delivery went."""
    await tx.execute(
        "UPDATE event SET state = $2, next_at_s = $3, attempts = $4, last_error = $5 WHERE event_id = $1",
        event_id,
        state,
        next_at_s,
        attempts,
        last_error[:_ERROR_CHARACTERS_MAX],
    )


async def by_id(tx: Transaction, event_id: str) -> Event | None:
    """Find one event."""
    rows = await tx.fetch(f"{_EVENT} WHERE event_id = $1", event_id)
    return Event(*rows[0]) if rows else None


async def page(tx: Transaction, state: str, after: str, limit: int) -> list[Event]:
    """List events by id, which is the order of their time."""
    values: list[Any] = [after, page_limit(limit)]
    condition = "event_id > $1"
    if state:
        values.append(state)
        condition += " AND state = $3"
    rows = await tx.fetch(f"{_EVENT} WHERE {condition} ORDER BY event_id LIMIT $2", *values)
    return [Event(*row) for row in rows]
