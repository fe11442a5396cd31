"""Tokens and their life."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cpmqr.model import Token, TokenState
from cpmqr.store.audit import Line, page_limit, token_subject, write_line, write_lines
from cpmqr.store.base import Actor
from cpmqr.store.transaction import Transaction

TOKEN_COLUMNS: Final = (
    "token_id",
    "requestor_id",
    "pan_index",
    "pan_sealed",
    "vault_key_ver",
    "pan_masked",
    "psn",
    "expiry",
    "service_code",
    "discretionary",
    "profile",
    "state",
    "atc",
    "funding_ref",
    "created_at_s",
)


def token_columns() -> str:
    """Name the columns of `TOKEN_COLUMNS` for a SELECT over token and counter."""
    return ", ".join(("counter." if column == "atc" else "token.") + column for column in TOKEN_COLUMNS)


_COUNTER: Final = 12  # where the counter stands: it has a table of its own
_STORED: Final = TOKEN_COLUMNS[:_COUNTER] + TOKEN_COLUMNS[_COUNTER + 1 :]
_TOKEN: Final = f"SELECT {token_columns()} FROM token JOIN counter ON counter.token_id = token.token_id"  # noqa: S608
_INSERT: Final = (
    f"INSERT INTO token ({', '.join(_STORED)})"  # noqa: S608  (our own column names)
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING"
)


def read_token(row: Sequence[Any]) -> Token:
    """Make a token of a row whose columns are `TOKEN_COLUMNS`."""
    values = list(row)
    values[11] = TokenState(values[11])
    return Token(*values)


async def add(tx: Transaction, actor: Actor, tokens: Sequence[Token]) -> list[bool]:
    """Store new tokens; False where the PAN index is taken. One audit line for each that was stored."""
    added = [False] * len(tokens)
    # In the order of the index, so that two imports of the same PANs wait for each other rather than deadlock.
    for position in sorted(range(len(tokens)), key=lambda position: tokens[position].pan_index):
        added[position] = bool(await tx.execute(_INSERT, *_values(tokens[position])))
    stored = [token for token, was_added in zip(tokens, added, strict=True) if was_added]
    await tx.execute_many(
        "INSERT INTO counter (token_id, atc) VALUES ($1, $2)",
        [(token.token_id, token.atc) for token in stored],
    )
    if stored:
        await write_lines(tx, actor, [_added_line(token) for token in stored], stored[0].created_at_s)
    elif tokens:
        # All are taken, and nothing was written. A lock is a write: with it the commit waits for a synchronous
        # standby, and thus until those that took them are on it (docs/decisions/failover.md). One is enough.
        await tx.fetch("SELECT 1 FROM token WHERE pan_index = $1 FOR UPDATE", tokens[0].pan_index)
    return added


async def by_id(tx: Transaction, token_id: int) -> Token | None:
    """Find a token by its id."""
    rows = await tx.fetch(f"{_TOKEN} WHERE token.token_id = $1", token_id)
    return read_token(rows[0]) if rows else None


async def by_index(tx: Transaction, pan_index: bytes) -> Token | None:
    """Find a token by its PAN's blind index."""
    rows = await tx.fetch(f"{_TOKEN} WHERE pan_index = $1", pan_index)
    return read_token(rows[0]) if rows else None


async def page(tx: Transaction, requestor_id: str, state: str, after: int, limit: int) -> list[Token]:
    """List tokens by id. Conditions are added as they are asked for, so that each form finds its index."""
    conditions = ["token.token_id > $1"]
    values: list[str | int] = [after, page_limit(limit)]
    for column, wanted in (("requestor_id", requestor_id), ("state", state)):
        if wanted:
            values.append(wanted)
            conditions.append(f"{column} = ${len(values)}")
    rows = await tx.fetch(
        f"{_TOKEN} WHERE {' AND '.join(conditions)} ORDER BY token.token_id LIMIT $2", *values
    )
    return [read_token(row) for row in rows]


async def set_state(
    tx: Transaction,
    actor: Actor,
    token_id: int,
    state: TokenState,
    allowed_from: Sequence[TokenState],
    now_s: int,
) -> Token | None:
    """Change a token's state if it is one of `allowed_from`; the token afterwards, None if absent."""
    rows = await tx.fetch(f"{_TOKEN} WHERE token.token_id = $1 FOR UPDATE OF token", token_id)
    if not rows:
        return None
    if rows[0][11] not in allowed_from:
        return read_token(rows[0])
    await tx.execute("UPDATE token SET state = $2 WHERE token_id = $1", token_id, state.value)
    detail = {"pan": rows[0][5], "from": rows[0][11], "to": state.value}
    await write_line(tx, actor, "token.state", token_subject(token_id), detail, now_s)
    return await by_id(tx, token_id)


async def reseal(tx: Transaction, changes: Sequence[tuple[int, str, bytes, str]]) -> int:
    """Replace sealed PANs that are still under the expected key version; how many were."""
    resealed = 0
    for token_id, expected_ver, pan_sealed, vault_key_ver in sorted(changes):
        resealed += await tx.execute(
            "UPDATE token SET pan_sealed = $3, vault_key_ver = $4 WHERE token_id = $1 AND vault_key_ver = $2",
            token_id,
            expected_ver,
            pan_sealed,
            vault_key_ver,
        )
    return resealed


def _values(token: Token) -> tuple[Any, ...]:
    return tuple(getattr(token, column) for column in _STORED)


def _added_line(token: Token) -> Line:
    detail = {
        "pan": token.pan_masked,
        "requestor_id": token.requestor_id,
        "profile": token.profile,
        "expiry": token.expiry,
    }
    return "token.add", token_subject(token.token_id), detail
