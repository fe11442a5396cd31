"""What docs/scaling.md reckons with: database time an issue by batch size, for today's statement and for the claim.

    python -m benchmarks.shards [--seconds 2] [--rounds 3] [--json FILE]

The claim is the statement that a distributed PostgreSQL would carry out first, on the trace number's shard; today's
statement follows it, unchanged, on the shard of the token. Database on one core, this program on the other. From the
figures a line is fitted: so much for a batch, so much for each issue in it.
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
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import database, machine
from benchmarks.fill import Filled, fill, pan
from cpmqr.store.base import IssueIntent
from cpmqr.store.postgres import PostgresStore
from cpmqr.store.postgres_pool import connect

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
LANES = 2
TOKENS = 50_000

CLAIM_TABLE = (
    "CREATE TABLE claim (requestor_id TEXT, trace_no TEXT, epoch INTEGER NOT NULL, digest BYTEA NOT NULL,"
    " token_id BIGINT NOT NULL, claimed_at_s BIGINT NOT NULL, PRIMARY KEY (requestor_id, trace_no))"
)
# A number that is held comes back as it is held: the update changes nothing, and makes the row ours to see.
CLAIM = (
    "INSERT INTO claim AS held (requestor_id, trace_no, epoch, digest, token_id, claimed_at_s)"
    " SELECT requestor_id, trace_no, 1, digest, token_id, claimed_at_s"
    " FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[], $5::bigint[])"
    " AS wanted (requestor_id, trace_no, digest, token_id, claimed_at_s) ORDER BY requestor_id, trace_no"
    " ON CONFLICT (requestor_id, trace_no) DO UPDATE SET epoch = held.epoch"
    " RETURNING requestor_id, trace_no, epoch, digest, token_id"
)

Batch = list[IssueIntent]


def measure(*, seconds: float, rounds: int) -> dict[str, Any]:
    """Measure both statements at every batch size, in turns; medians, and the fitted lines."""
    cores = sorted(os.sched_getaffinity(0))
    with database.server() as postgres, tempfile.TemporaryDirectory(prefix="cpmqr-bench-") as folder:
        data = Path(folder) / "data"
        data.mkdir(mode=0o700)
        size = fill(postgres.url, data, tokens=TOKENS, issues=0)
        postgres.execute(CLAIM_TABLE)
        postgres.pin(cores[-1])
        os.sched_setaffinity(0, cores[:1])
        seen: dict[tuple[str, int], list[tuple[float, float]]] = {}
        for _ in range(rounds):
            for batch_size in BATCH_SIZES:
                for name, run in (("issue", _issue), ("claim", _claim)):
                    figures = asyncio.run(run(postgres, size, batch_size, seconds))
                    seen.setdefault((name, batch_size), []).append(figures)
        os.sched_setaffinity(0, cores)
        result: dict[str, Any] = {"load_average": [round(each, 1) for each in os.getloadavg()]}
        for name in ("issue", "claim"):
            medians = {
                batch_size: [
                    statistics.median(values) for values in zip(*seen[name, batch_size], strict=True)
                ]
                for batch_size in BATCH_SIZES
            }
            result[name] = {
                "database_cpu_us": {key: round(value[0], 1) for key, value in medians.items()},
                "us": {key: round(value[1], 1) for key, value in medians.items()},
                "fitted": _fitted({key: value[0] for key, value in medians.items()}),
            }
        return result


async def _issue(
    postgres: database.Database, size: Filled, batch_size: int, seconds: float
) -> tuple[float, float]:
    store = PostgresStore(size.url)

    async def carry_out(batch: Batch) -> None:
        await store.issue(batch, {"bc-domestic": "05"})

    try:
        return await _rate(postgres, size, [carry_out] * LANES, batch_size, seconds)
    finally:
        await store.close()


async def _claim(
    postgres: database.Database, size: Filled, batch_size: int, seconds: float
) -> tuple[float, float]:
    connections = [await connect(size.url) for _ in range(LANES)]
    statements = [await connection.prepare(CLAIM) for connection in connections]

    def claimer(statement: Any) -> Callable[[Batch], Awaitable[None]]:
        async def carry_out(batch: Batch) -> None:
            await statement.fetch(
                [each.requestor_id for each in batch],
                [each.trace_no for each in batch],
                [each.digest for each in batch],
                [int.from_bytes(each.pan_index[:8], "big") >> 1 for each in batch],
                [each.issued_at_s for each in batch],
            )

        return carry_out

    try:
        return await _rate(
            postgres, size, [claimer(statement) for statement in statements], batch_size, seconds
        )
    finally:
        for connection in connections:
            await connection.close()


async def _rate(
    postgres: database.Database,
    size: Filled,
    lanes: Sequence[Callable[[Batch], Awaitable[None]]],
    batch_size: int,
    seconds: float,
) -> tuple[float, float]:
    """Microseconds an issue: of the database's processors, and by the clock."""
    batches = [_batch(size, batch_size) for _ in range(int(20_000 * seconds) // batch_size)]
    for carry_out in lanes:  # connect, ask for types, plan
        await carry_out(_batch(size, batch_size))
    spent, started, done = database.cpu_seconds(postgres.pid), time.perf_counter(), 0

    async def run(carry_out: Callable[[Batch], Awaitable[None]]) -> None:
        nonlocal done
        while batches and time.perf_counter() - started < seconds:
            await carry_out(batches.pop())
            done += batch_size

    await asyncio.gather(*(run(carry_out) for carry_out in lanes))
    took = time.perf_counter() - started
    return 1e6 * (database.cpu_seconds(postgres.pid) - spent) / done, 1e6 * took / done


def _batch(size: Filled, batch_size: int) -> Batch:
    now_s = int(time.time())
    return [
        IssueIntent(
            requestor_id=size.file.requestor_id,
            trace_no=random.randbytes(10).hex(),
            digest=random.randbytes(16),
            pan_index=size.vault.index(pan(random.randint(1, size.tokens))),
            unpredictable_number=random.randbytes(4),
            issued_at_s=now_s,
            expires_at_s=now_s + 180,
            month=time.strftime("%y%m"),
        )
        for _ in range(batch_size)
    ]


def _fitted(by_size: dict[int, float]) -> dict[str, float]:
    """Fit `an issue + a batch / size`, least squares over 1 / size."""
    points = [(1 / size, value) for size, value in by_size.items()]
    mean_x, mean_y = (statistics.mean(axis) for axis in zip(*points, strict=True))
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
    return {"us_a_batch": round(slope, 1), "us_an_issue": round(mean_y - slope * mean_x, 1)}


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seconds", type=float, default=2.0, help="for each figure of each round")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    result = measure(seconds=given.seconds, rounds=given.rounds)
    text = json.dumps({"machine": machine.description(), "shards": result}, indent=1)
    print(text)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
