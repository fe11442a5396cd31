"""The audit's lines in the database, written inside the transaction of the change that they tell of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from cpmqr.store.base import Actor, AuditEntry
from cpmqr.store.chain import canonical_json, next_chain
from cpmqr.store.transaction import Transaction, Value

PAGE_MAX: Final = (
    1000  # rows in one answer of any list: bounds memory and the time that a reader holds a snapshot
)

Line = tuple[str, str, Mapping[str, Any]]
"""Action, subject, detail."""


async def write_lines(tx: Transaction, actor: Actor, lines: Iterable[Line], now_s: int) -> None:
    """Append lines to the chain. The last statements of a transaction: its head is one row that all writers share."""
    ((seq, chain),) = await tx.fetch("SELECT seq, chain FROM audit_head WHERE only_row = 1 FOR UPDATE")
    rows: list[tuple[Value, ...]] = []
    for action, subject, detail in lines:
        seq += 1
        text = canonical_json(detail)
        chain = next_chain(
            chain,
            seq=seq,
            at_s=now_s,
            actor=actor.name,
            source=actor.source,
            action=action,
            subject=subject,
            detail=json.loads(text),  # as it will be read back: a tuple has become a list
        )
        rows.append((seq, now_s, actor.name, actor.source, action, subject, text, chain))
    if not rows:
        return
    await tx.execute_many(
        "INSERT INTO audit (seq, at_s, actor, source, action, subject, detail, chain)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        rows,
    )
    await tx.execute("UPDATE audit_head SET seq = $1, chain = $2 WHERE only_row = 1", seq, chain)


async def write_line(
    tx: Transaction, actor: Actor, action: str, subject: str, detail: Mapping[str, Any], now_s: int
) -> None:
    """Append one line."""
    await write_lines(tx, actor, [(action, subject, detail)], now_s)


async def page(tx: Transaction, after: int, limit: int) -> list[AuditEntry]:
    """Give lines with `seq` above `after`, in order."""
    rows = await tx.fetch(
        "SELECT seq, at_s, actor, source, action, subject, detail, chain FROM audit"
        " WHERE seq > $1 ORDER BY seq LIMIT $2",
        after,
        page_limit(limit),
    )
    return [_entry(row) for row in rows]


async def head(tx: Transaction) -> tuple[int, bytes]:
    """Give seq and chain of the last line."""
    ((seq, chain),) = await tx.fetch("SELECT seq, chain FROM audit_head WHERE only_row = 1")
    return seq, chain


def token_subject(token_id: int) -> str:
    """Name a token as commands and answers do: 16 hex digits."""
    return f"{token_id:016x}"


def page_limit(limit: int) -> int:
    """Hold a page's size to 1..PAGE_MAX."""
    return max(1, min(limit, PAGE_MAX))


def _entry(row: Sequence[Any]) -> AuditEntry:
    seq, at_s, actor, source, action, subject, detail, chain = row
    return AuditEntry(seq, at_s, actor, source, action, subject, json.loads(detail), chain)
