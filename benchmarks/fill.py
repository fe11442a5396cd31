"""Fills a schema with tokens and past issues, as many as wanted, fast: COPY, and generate_series inside PostgreSQL.

Every token is real for the gateway: PAN number `n` of our range is made by `pan`, and its blind index by the vault
that the sandbox of this schema has. Only the sealed PAN is noise, which no request opens. Token ids, trace numbers
and the tokens of past issues lie all over their tables, as random ones do. Indexes are made after the rows; once it
is done the tables are as `cpmqr db upgrade` and years of service would have left them.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.requests import prepare
from cpmqr import sandbox
from cpmqr.keys.keyring import Keyring
from cpmqr.keys.vault import Vault
from cpmqr.server import wiring
from cpmqr.server.settings import Settings, Storage
from cpmqr.store.postgres_days import DAY_S, make_partition, partition_name

BIN_PREFIX = "535021"  # beside the sandbox's own tokens
CHUNK = 50_000  # rows of one COPY

_PRIMARY_KEYS = {
    "token": "PRIMARY KEY (token_id)",
    "counter": "PRIMARY KEY (token_id)",
    "trace": "PRIMARY KEY (requestor_id, trace_no)",
}
# What number n is, everywhere the same: token ids and trace numbers by MD5, so that they lie as random ones do.
_FUNCTIONS = (
    "CREATE FUNCTION filled_token_id(number BIGINT) RETURNS BIGINT LANGUAGE SQL IMMUTABLE RETURN"
    " (('x' || substr(md5('token' || number), 1, 16))::bit(64)::bigint & 9223372036854775807)",
    "CREATE FUNCTION filled_trace_no(number BIGINT) RETURNS TEXT LANGUAGE SQL IMMUTABLE RETURN"
    " substr(md5('trace' || number), 1, 20)",
)
_TOKENS = (
    "INSERT INTO token SELECT filled_token_id(number), pan_index, $1, 'active', '3012', '02', '601',"
    " '0000000000099', 'bc-domestic', substr(sha256(pan_index) || sha256(pan_index), 1, 44), '1',"
    " '535021******0000', 'acct-' || number, 0 FROM filled"
)
_COUNTERS = "INSERT INTO counter SELECT filled_token_id(number), $1 FROM filled"
# Issue k is of token (k * step) mod tokens; `step` shares no factor with `tokens`, so each token gets one a round,
# and its counter is the round.
_ISSUES = (
    "INSERT INTO {partition} (token_id, atc, requestor_id, trace_no, profile, dki, unpredictable_number,"
    " issued_at_s, expires_at_s, state, app_dv)"
    " SELECT filled_token_id(1 + (k * {step}) % {tokens}), (k / {tokens})::int + 1, '{requestor_id}',"
    " filled_trace_no(k), 'bc-domestic', '05', substr(decode(md5(k::text), 'hex'), 1, 4), {first_s} + k % {day_s},"
    " {first_s} + k % {day_s} + 180, 'issued', '' FROM generate_series({first}::bigint, {last}::bigint) AS k"
)
_TRACES = (
    "INSERT INTO trace (requestor_id, trace_no, digest, token_id, atc, issued_at_s)"
    " SELECT '{requestor_id}', filled_trace_no(k), decode(md5('digest' || k), 'hex'),"
    " filled_token_id(1 + (k * {step}) % {tokens}), (k / {tokens})::int + 1,"
    " {today_s} - (1 + (k - 1) / {a_day}) * {day_s} + k % {day_s}"
    " FROM generate_series({first}::bigint, {last}::bigint) AS k"
)


def pan(number: int) -> str:
    """Give PAN `number` of our range, with its check digit: 16 digits."""
    body = f"{BIN_PREFIX}{number:09d}"
    total = 0
    for position, digit in enumerate(body):
        value = ord(digit) - 48
        if position % 2 == 0:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return f"{body}{-total % 10}"


@dataclass(frozen=True)
class Filled:
    """A schema that has been filled.

    Attributes:
        data: the folder with `sandbox.json` and the key-encryption key.
    """

    url: str
    data: Path
    file: sandbox.SandboxFile
    vault: Vault
    tokens: int
    issues: int
    seconds: float


def fill(
    url: str, data: Path, *, tokens: int, issues: int, days: int = 8, eldest_issues_max: int = 300_000
) -> Filled:
    """Make schema, sandbox, tokens and issues.

    The issues are of the `days` days before today, equally many each; the eldest day, which a measurement purges
    while one waits, has at most `eldest_issues_max`.
    """
    started = time.perf_counter()
    file, _ = prepare(data, 0, database=url)
    eldest = min(eldest_issues_max, issues // days)
    vault = asyncio.run(_fill(url, data, file.requestor_id, tokens, issues, days, eldest))
    return Filled(url, data, file, vault, tokens, issues, time.perf_counter() - started)


async def _fill(
    url: str, data: Path, requestor_id: str, tokens: int, issues: int, days: int, eldest: int
) -> Vault:
    store = wiring.open_store(Settings(storage=Storage(data=str(data), database=url)))
    vault = Vault(Keyring.open((await store.directory()).keys, sandbox.kek(data)))
    await store.close()
    today = int(time.time()) // DAY_S
    a_day = -(-(issues - eldest) // (days - 1))
    values: dict[str, Any] = {
        "requestor_id": requestor_id,
        "tokens": tokens,
        "step": _step(tokens),
        "day_s": DAY_S,
        "today_s": today * DAY_S,
        "a_day": a_day,
    }
    connection = await _connect(url)
    for function in _FUNCTIONS:
        await connection.execute(function)
    await _make_tokens(connection, vault, requestor_id, tokens, -(-issues // tokens))
    if issues:
        partitions = [
            (today - 1 - day, day * a_day + 1, min((day + 1) * a_day, issues)) for day in range(days)
        ]
        await asyncio.gather(_make_traces(url, values, issues), _make_issues(url, values, partitions))
    for table in ("token", "counter", "trace", "issue"):
        await connection.execute(f"VACUUM (ANALYZE) {table}")
    await connection.close()
    return vault


async def _make_tokens(
    connection: asyncpg.Connection, vault: Vault, requestor_id: str, tokens: int, atc: int
) -> None:
    await connection.execute("CREATE UNLOGGED TABLE filled (number BIGINT, pan_index BYTEA)")
    for chunk in _chunks(tokens):
        rows = [(number, vault.index(pan(number))) for number in chunk]
        await connection.copy_records_to_table("filled", records=rows)
    async with connection.transaction():  # what a transaction made itself needs no log (wal_level = minimal)
        await connection.execute("ALTER TABLE token DROP CONSTRAINT token_pan_index_key")
        await connection.execute("DROP INDEX token_by_requestor")
        await _without_key(connection, "token", _TOKENS, requestor_id)
        await connection.execute("ALTER TABLE token ADD CONSTRAINT token_pan_index_key UNIQUE (pan_index)")
        await connection.execute("CREATE INDEX token_by_requestor ON token (requestor_id, token_id)")
        await _without_key(connection, "counter", _COUNTERS, atc)
    await connection.execute("DROP TABLE filled")


async def _without_key(connection: asyncpg.Connection, table: str, statement: str, *values: object) -> None:
    await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey")
    await connection.execute(statement, *values)
    await connection.execute(f"ALTER TABLE {table} ADD {_PRIMARY_KEYS[table]}")


async def _make_traces(url: str, values: dict[str, Any], issues: int) -> None:
    connection = await _connect(url)
    async with connection.transaction():
        await connection.execute("TRUNCATE trace")  # makes it this transaction's own
        await _without_key(connection, "trace", _TRACES.format(**values, first=1, last=issues))
    await connection.close()


async def _make_issues(url: str, values: dict[str, Any], partitions: list[tuple[int, int, int]]) -> None:
    connection = await _connect(url)
    for day, first, last in partitions:
        await make_partition(connection, day)
        name = partition_name(day)
        async with connection.transaction():
            await connection.execute(f"ALTER TABLE issue DETACH PARTITION {name}")
            await connection.execute(f"DROP TABLE {name}")
            await connection.execute(f"CREATE TABLE {name} (LIKE issue INCLUDING DEFAULTS)")
            await connection.execute(
                _ISSUES.format(**values, partition=name, first=first, last=last, first_s=day * DAY_S)
            )
            await connection.execute(f"ALTER TABLE {name} ADD PRIMARY KEY (token_id, atc, issued_at_s)")
            bounds = f"FROM ({day * DAY_S}) TO ({(day + 1) * DAY_S})"
            await connection.execute(f"ALTER TABLE issue ATTACH PARTITION {name} FOR VALUES {bounds}")
    await connection.close()


async def _connect(url: str) -> asyncpg.Connection:
    connection = await asyncpg.connect(url)
    await connection.execute("SET maintenance_work_mem = '1GB'; SET statement_timeout = 0; SET jit = off")
    return connection


def _chunks(count: int) -> Iterator[range]:
    for first in range(1, count + 1, CHUNK):
        yield range(first, min(first + CHUNK, count + 1))


def _step(tokens: int) -> int:
    """Find a step through all tokens that jumps far and misses none."""
    step = max(1, int(tokens * 0.618))
    while math.gcd(step, tokens) != 1:
        step += 1
    return step
