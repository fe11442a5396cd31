"""What size costs: the issue path with few and with many tokens, in turns in one run; bytes a row; purge under load.

    python -m benchmarks.size [--tokens 200000] [--issues 1000000] [--seconds 6] [--rounds 3] [--folder DIR]
    python -m benchmarks.size --tokens 10000000 --issues 50000000      (up to 60 GB on disk, 30 minutes)

Two schemas on one server: 10 thousand tokens with as few issues, and the size wanted. Each issue is of a random token
of all, under a random trace number, so that every index is touched anywhere: no cache is flattered. Placed as in
`benchmarks.postgres_issue`: gateway on one core, database and load on the other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import database, load, machine
from benchmarks.fill import Filled, fill, pan
from benchmarks.requests import wallet_requests
from cpmqr.store.base import IssueIntent
from cpmqr.store.postgres import PostgresStore

SMALL_TOKENS = 10_000
SMALL_ISSUES = 50_000
DAYS = 8  # over which the past issues are spread
BATCH = 32
LANES = 2  # as the gateway has them by default
PURGE_WINDOW_S = 5.0  # before and after it
# A machine that is meant for such sizes has more than initdb's 128 MB, checkpoints that are minutes apart, and uses the
# files of its log again rather than making new ones.
SERVER = {
    "shared_buffers": "2GB",
    "max_wal_size": "32GB",
    "min_wal_size": "8GB",
    "checkpoint_timeout": "15min",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


@dataclass
class StoreRun:
    """The store alone, all rounds: issues, seconds, processor seconds of the database, bytes of its log."""

    issued: int = 0
    seconds: float = 0.0
    database_s: float = 0.0
    wal_bytes: int = 0

    def add(self, issued: int, seconds: float, database_s: float, wal_bytes: int) -> None:
        self.issued += issued
        self.seconds += seconds
        self.database_s += database_s
        self.wal_bytes += wal_bytes


@dataclass
class Passes:
    """What one size did, round by round."""

    size: Filled
    store: StoreRun = field(default_factory=StoreRun)
    gateway: list[load.Run] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """All rounds together: what a checkpoint costs falls on the first of them. Latencies are medians."""
        runs, store = self.gateway, self.store
        return {
            "tokens": self.size.tokens,
            "issues_before": self.size.issues,
            "fill_s": round(self.size.seconds, 1),
            "store_us_an_issue": round(1e6 * store.seconds / store.issued, 1),
            "database_cpu_us_an_issue": round(1e6 * store.database_s / store.issued, 1),
            "wal_bytes_an_issue": round(store.wal_bytes / store.issued),
            "gateway_per_second": round(
                sum(len(run.latencies) for run in runs) / sum(run.seconds for run in runs)
            ),
            "gateway_p50_ms": round(statistics.median(run.percentile(0.5) for run in runs), 2),
            "gateway_p99_ms": round(statistics.median(run.percentile(0.99) for run in runs), 2),
        }


def measure(
    *,
    tokens: int,
    issues: int,
    seconds: float,
    rounds: int,
    warm_up: float,
    folder: Path | None,
    settings: Mapping[str, str],
) -> dict[str, Any]:
    """Fill both sizes, then measure them in turns; then the bytes, then the purge."""
    cores = sorted(os.sched_getaffinity(0))
    with (
        database.server(settings, folder) as postgres,
        tempfile.TemporaryDirectory(prefix="cpmqr-bench-") as data,
    ):
        small = Passes(_filled(postgres, Path(data) / "small", SMALL_TOKENS, SMALL_ISSUES))
        large = Passes(_filled(postgres, Path(data) / "large", tokens, issues))
        _say(f"filled in {large.size.seconds:.0f} s")
        row_bytes = _bytes(postgres, "large")
        for each in (small, large):
            _one_pass(postgres, each, warm_up, cores, counts=False)
        postgres.execute("CHECKPOINT")  # the first touch of each page is logged whole from here on
        for _ in range(rounds):
            for each in (small, large):
                _one_pass(postgres, each, seconds, cores, counts=True)
        result: dict[str, Any] = {
            "settings": dict(settings),
            "huge_pages": postgres.query("SELECT current_setting('huge_pages_status', true)")[0][0],
            "load_average": [round(each, 1) for each in os.getloadavg()],
            "small": small.figures(),
            "large": large.figures(),
            "bytes": row_bytes,
        }
        for name in ("store_us_an_issue", "database_cpu_us_an_issue", "wal_bytes_an_issue"):
            result[f"ratio_{name}"] = round(result["large"][name] / result["small"][name], 2)
        result["ratio_gateway"] = round(
            result["small"]["gateway_per_second"] / result["large"]["gateway_per_second"], 2
        )
        result["ratio_gateway_by_round"] = [
            round(few.per_second / many.per_second, 2)
            for few, many in zip(small.gateway, large.gateway, strict=True)
        ]
        _say(json.dumps(result))
        result["purge"] = _purge(postgres, large.size, cores)
        return result


def _filled(postgres: database.Database, data: Path, tokens: int, issues: int) -> Filled:
    data.mkdir(mode=0o700)
    postgres.execute(f"CREATE SCHEMA {data.name}")
    return fill(postgres.in_schema(data.name), data, tokens=tokens, issues=issues, days=DAYS)


def _one_pass(
    postgres: database.Database, passes: Passes, seconds: float, cores: list[int], *, counts: bool
) -> None:
    postgres.pin(cores[-1])
    os.sched_setaffinity(0, cores[:1])
    spent, wal = database.cpu_seconds(postgres.pid), postgres.wal_bytes()
    issued, took = asyncio.run(_issue(passes.size, seconds))
    spent, wal = database.cpu_seconds(postgres.pid) - spent, postgres.wal_bytes() - wal
    port = machine.free_port()
    with machine.process("cpmqr", _serve(passes.size, port), port, passes.size.data / "log", None):
        os.sched_setaffinity(0, cores[-1:])
        load.drive(port, _requests(passes.size, 1.0), seconds=1.0)
        run = load.drive(port, _requests(passes.size, seconds), seconds=seconds)
    os.sched_setaffinity(0, cores)
    assert set(run.statuses) == {200}, run.statuses
    if counts:
        passes.store.add(issued, took, spent, wal)
        passes.gateway.append(run)
        _say(
            f"{passes.size.tokens} tokens: store {1e6 * took / issued:.0f} us, {run.per_second:.0f} a second"
        )


async def _issue(size: Filled, seconds: float) -> tuple[int, float]:
    """Issue through the store alone, as the gateway's batcher does; how many, in how many seconds."""
    store = PostgresStore(size.url)
    batches = [
        _intents(size, number * BATCH, int(time.time())) for number in range(int(seconds * 25_000 / BATCH))
    ]
    await store.issue(_intents(size, -BATCH, int(time.time())), {"bc-domestic": "05"})  # connects and plans
    issued = 0
    started = time.perf_counter()

    async def lane() -> None:
        nonlocal issued
        while batches and time.perf_counter() - started < seconds:
            outcomes = await store.issue(batches.pop(), {"bc-domestic": "05"})
            issued += len(outcomes)

    await asyncio.gather(*(lane() for _ in range(LANES)))
    took = time.perf_counter() - started
    await store.close()
    return issued, took


def _intents(size: Filled, first: int, now_s: int) -> list[IssueIntent]:
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
        for _ in range(first, first + BATCH)
    ]


def _requests(size: Filled, seconds: float) -> list[bytes]:
    count = int(seconds * 20_000)
    pans = [pan(random.randint(1, size.tokens)) for _ in range(count)]
    return wallet_requests(size.file, pans, count, scattered=True)


def _serve(size: Filled, port: int) -> list[str]:
    return ["serve", "--data", str(size.data), "--database", size.url, "--port", str(port)]


def _bytes(postgres: database.Database, schema: str) -> dict[str, Any]:
    rows = postgres.query(
        "SELECT CASE WHEN relname LIKE 'issue%' THEN 'issue' ELSE relname END,"
        " SUM(pg_table_size(pg_class.oid))::bigint, SUM(pg_indexes_size(pg_class.oid))::bigint, SUM(reltuples)::bigint"
        " FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = $1 AND relkind = 'r'"
        " AND (relname IN ('token', 'counter', 'trace') OR relname LIKE 'issue_on_%') GROUP BY 1",
        schema,
    )
    each = {name: {"heap": heap, "indexes": indexes} for name, heap, indexes, _ in rows}
    count = {name: rows_there for name, *_, rows_there in rows}
    per_row = {
        name: {part: round(value / max(1, count[name]), 1) for part, value in parts.items()}
        for name, parts in each.items()
    }
    return {
        "a_row": per_row,
        "a_token": round(sum(sum(per_row[name].values()) for name in ("token", "counter")), 1),
        "an_issue": round(sum(sum(per_row[name].values()) for name in ("issue", "trace")), 1),
        "gigabytes": round(sum(sum(parts.values()) for parts in each.values()) / 1e9, 2),
    }


def _purge(postgres: database.Database, size: Filled, cores: list[int]) -> dict[str, Any]:
    """Purge the eldest day by the operator's command while the gateway is under load; p99 before, meanwhile, after."""
    postgres.pin(cores[-1])
    port = machine.free_port()
    os.sched_setaffinity(0, cores[:1])
    command = [sys.executable, "-m", "cpmqr", "db", "purge", "--older-than-days", str(DAYS - 1), "--json"]
    with machine.process("cpmqr", _serve(size, port), port, size.data / "log", None):
        os.sched_setaffinity(0, cores[-1:])
        before = load.drive(port, _requests(size, PURGE_WINDOW_S), seconds=PURGE_WINDOW_S)
        started = time.perf_counter()
        purge = subprocess.Popen(
            [*command, "--data", str(size.data), "--database", size.url], stdout=subprocess.PIPE, text=True
        )
        meanwhile: list[load.Run] = []
        while purge.poll() is None:
            meanwhile.append(load.drive(port, _requests(size, PURGE_WINDOW_S), seconds=PURGE_WINDOW_S))
        took = time.perf_counter() - started
        after = load.drive(port, _requests(size, PURGE_WINDOW_S), seconds=PURGE_WINDOW_S)
    os.sched_setaffinity(0, cores)
    removed = json.loads(purge.communicate()[0])["removed"]
    latencies = sorted(latency for run in meanwhile for latency in run.latencies)
    during = load.Run(sum(run.seconds for run in meanwhile), latencies, {})
    return {
        "removed": removed,
        "rows_a_second": round(removed / took),
        "partition_dropped": len(_days(postgres)) == DAYS - 1,
        "per_second": [round(run.per_second) for run in (before, during, after)],
        "p99_ms": [round(run.percentile(0.99), 2) for run in (before, during, after)],
        "worst_ms": [round(run.percentile(1.0), 2) for run in (before, during, after)],
    }


def _days(postgres: database.Database) -> list[str]:
    today = time.strftime("issue_on_%Y%m%d", time.gmtime())
    rows = postgres.query(
        "SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
        " WHERE nspname = 'large' AND relname LIKE 'issue_on_%' AND relkind = 'r' AND relname < $1",
        today,
    )
    return [name for (name,) in rows]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--tokens", type=int, default=200_000)
    options.add_argument("--issues", type=int, default=1_000_000)
    options.add_argument("--seconds", type=float, default=6)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument(
        "--warm-up",
        type=float,
        default=3.0,
        help="seconds, before the checkpoint: a large database has to be in memory",
    )
    options.add_argument("--shared-buffers", default=SERVER["shared_buffers"])
    options.add_argument("--folder", type=Path, help="where the database's files go")
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    result = measure(
        tokens=given.tokens,
        issues=given.issues,
        seconds=given.seconds,
        rounds=given.rounds,
        warm_up=given.warm_up,
        folder=given.folder,
        settings=SERVER | {"shared_buffers": given.shared_buffers},
    )
    text = json.dumps({"machine": machine.description(), "size": result}, indent=1)
    print(text)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
