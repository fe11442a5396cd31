"""Issues a second through the whole gateway on PostgreSQL, against pgbench on the same server and against null.

    python -m benchmarks.postgres_issue [--seconds 5] [--rounds 3] [--connections 64] [--json FILE]

All in one run, in turns. Placed as the architecture's prototype was: the program that drives the database (gateway or
pgbench) on one core, the database on the other, and beside it the wallets' load. A second pass lets the system place
everything. pgbench does less than the gateway: one UPDATE and one INSERT into a table with one index, known token
ids; once as BEGIN, UPDATE, INSERT, COMMIT, once as one statement.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import socket
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import database, load, machine
from benchmarks.issue import ANSWER_BYTES
from benchmarks.requests import prepare, wallet_requests, write_settings

REQUESTS_A_SECOND_MAX = 25_000  # how many to make ahead for each second of a run
WARM_UP_S = 2.0
IDLE_CONNECTIONS = 1_000

_TABLES = (
    "DROP TABLE IF EXISTS bench_token, bench_issue",
    "CREATE TABLE bench_token (token_id BIGINT PRIMARY KEY, atc INTEGER NOT NULL) WITH (fillfactor = 70)",
    "CREATE TABLE bench_issue (requestor_id TEXT, trace_no TEXT, digest BYTEA, token_id BIGINT, atc INTEGER,"
    " unpredictable_number BYTEA, issued_at_s BIGINT, expires_at_s BIGINT, PRIMARY KEY (requestor_id, trace_no))",
    "INSERT INTO bench_token SELECT number, 0 FROM generate_series(1, {tokens}) AS number",
    "VACUUM ANALYZE bench_token",
)
_COLUMNS = "requestor_id, trace_no, digest, token_id, atc, unpredictable_number, issued_at_s, expires_at_s"
_VALUES = (
    "'42000000066', 'B' || :run || '-' || :client_id || '-' || :number,"
    " '\\x00112233445566778899aabbccddeeff'::bytea, {token}, {atc}, '\\x01020304'::bytea, 1780000000, 1780000180"
)
_SETUP = "\\set token random(1, :tokens)\n\\set number :number + 1\n"
FOUR_STATEMENTS = f"""{_SETUP}BEGIN;
UPDATE bench_token SET atc = atc + 1 WHERE token_id = :token RETURNING atc \\gset
INSERT INTO bench_issue ({_COLUMNS}) VALUES ({_VALUES.format(token=":token", atc=":atc")});
COMMIT;
"""
ONE_STATEMENT = f"""{_SETUP}WITH counted AS (
    UPDATE bench_token SET atc = atc + 1 WHERE token_id = :token RETURNING token_id, atc
)
INSERT INTO bench_issue ({_COLUMNS}) SELECT {_VALUES.format(token="token_id", atc="atc")} FROM counted;
"""


@dataclass(frozen=True)
class Plan:
    """How long, how often, with how much of everything."""

    seconds: float
    rounds: int
    connections: int
    tokens: int
    profile: str
    issues_logged: bool


@dataclass(frozen=True)
class Round:
    """One turn: answers and transactions a second, and processor seconds of gateway and database."""

    null: float
    four: float
    one: float
    gateway: load.Run
    spent: tuple[float, float]


class Bench:
    """One database, one sandbox of tokens; passes over them."""

    def __init__(self, plan: Plan, postgres: database.Database, folder: Path) -> None:
        self.plan = plan
        self._postgres = postgres
        self._folder = folder
        self._cores = sorted(os.sched_getaffinity(0))
        self._file, self._pans = prepare(folder, plan.tokens, plan.profile, postgres.url)
        self._config = write_settings(folder, plan.profile, issues_logged=plan.issues_logged)
        make_tables(postgres, plan.tokens)

    def measure(self, *, workers: int, pinned: bool) -> dict[str, Any]:
        """Run null, both pgbench scripts and a gateway in turn; medians and ratios."""
        own, other = (self._cores[:1], self._cores[-1:]) if pinned else (self._cores, self._cores)
        self._postgres.pin(*other)
        os.sched_setaffinity(0, own)  # what is started from here inherits the place
        null_port, port = machine.free_port(), machine.free_port()
        null = machine.process(
            "benchmarks.null_app", [str(null_port), str(ANSWER_BYTES)], null_port, self._folder / "log", None
        )
        gateway = machine.process("cpmqr", self._serve(port, workers), port, self._folder / "log", None)
        rounds: list[Round] = []
        with null, gateway as pid:
            self._drive(port, self._requests(WARM_UP_S), WARM_UP_S, other)
            counted = machine.metrics(port)
            for _ in range(self.plan.rounds):
                requests = self._requests(self.plan.seconds)
                nothing = self._drive(null_port, requests, self.plan.seconds / 2, other, again=True)
                four = self._pgbench(FOUR_STATEMENTS, own)
                one = self._pgbench(ONE_STATEMENT, own)
                spent = database.spent(pid, self._postgres)
                run = self._drive(port, requests, self.plan.seconds, other)
                spent = _less(database.spent(pid, self._postgres), spent)
                rounds.append(Round(nothing.per_second, four, one, run, spent))
            counted = {name: value - counted.get(name, 0) for name, value in machine.metrics(port).items()}
            memory = self._memory(pid, port) if workers == 1 else {}
        assert all(set(each.gateway.statuses) == {200} for each in rounds)
        return {
            "workers": workers,
            "pinned": pinned,
            "load_average": [round(each, 1) for each in os.getloadavg()],
            **figures(rounds),
            "batch_mean": _mean(counted, "cpmqr_batch_size", 1),
            "commit_mean_ms": _mean(counted, "cpmqr_commit_seconds", 1000),
            "queue_wait_mean_ms": _mean(counted, "cpmqr_queue_wait_seconds", 1000),
            **memory,
        }

    def _serve(self, port: int, workers: int) -> list[str]:
        return [
            *("serve", "--data", str(self._folder), "--config", str(self._config), "--port", str(port)),
            *("--database", self._postgres.url, "--workers", str(workers)),
        ]

    def _requests(self, seconds: float) -> list[bytes]:
        return wallet_requests(self._file, self._pans, int(REQUESTS_A_SECOND_MAX * seconds))

    def _drive(
        self, port: int, requests: list[bytes], seconds: float, cores: list[int], *, again: bool = False
    ) -> load.Run:
        os.sched_setaffinity(0, cores)
        return load.drive(port, requests, connections=self.plan.connections, seconds=seconds, again=again)

    def _pgbench(self, script: str, cores: list[int]) -> float:
        os.sched_setaffinity(0, cores)
        plan = self.plan
        return pgbench(
            self._postgres, script, tokens=plan.tokens, clients=plan.connections, seconds=plan.seconds
        )

    def _memory(self, pid: int, port: int) -> dict[str, Any]:
        before = database.memory_bytes(pid)
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(IDLE_CONNECTIONS)]
        for connection in idle:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            connection.recv(4096)
        after = database.memory_bytes(pid)
        for connection in idle:
            connection.close()
        return {
            "gateway_megabytes": round(before / 1e6, 1),
            "kilobytes_a_wallet_connection": round((after - before) / IDLE_CONNECTIONS / 1e3, 1),
            "megabytes_a_database_connection": [
                round(database.memory_bytes(each) / 1e6, 1) for each in self._backends()
            ],
        }

    def _backends(self) -> list[int]:
        rows = self._postgres.query("SELECT pid FROM pg_stat_activity WHERE application_name = 'cpmqr'")
        return [pid for (pid,) in rows] if self._postgres.pid else []


def make_tables(postgres: database.Database, tokens: int) -> None:
    """Make what pgbench's scripts work on."""
    postgres.execute(*(each.format(tokens=tokens) for each in _TABLES))


def pgbench(postgres: database.Database, script: str, *, tokens: int, clients: int, seconds: float) -> float:
    """Run one of the scripts; transactions a second."""
    variables = {"tokens": tokens, "number": 0, "run": secrets.token_hex(4)}
    return database.pgbench(postgres.url, script, clients=clients, seconds=seconds, variables=variables)


def figures(rounds: Sequence[Round]) -> dict[str, Any]:
    """Medians over the rounds, and the ratios within each."""
    median = statistics.median
    issues = sum(len(each.gateway.latencies) for each in rounds)
    return {
        "per_second": round(median(each.gateway.per_second for each in rounds)),
        "null_per_second": round(median(each.null for each in rounds)),
        "pgbench_four_per_second": round(median(each.four for each in rounds)),
        "pgbench_one_per_second": round(median(each.one for each in rounds)),
        "of_pgbench_four": round(median(each.gateway.per_second / each.four for each in rounds), 2),
        "of_pgbench_one": round(median(each.gateway.per_second / each.one for each in rounds), 2),
        "of_null": round(median(each.gateway.per_second / each.null for each in rounds), 3),
        "p50_ms": round(median(each.gateway.percentile(0.5) for each in rounds), 2),
        "p99_ms": round(median(each.gateway.percentile(0.99) for each in rounds), 2),
        "p999_ms": round(median(each.gateway.percentile(0.999) for each in rounds), 2),
        "gateway_cpu_us": round(1e6 * sum(each.spent[0] for each in rounds) / issues, 1),
        "database_cpu_us": round(1e6 * sum(each.spent[1] for each in rounds) / issues, 1),
    }


def _less(now: tuple[float, float], then: tuple[float, float]) -> tuple[float, float]:
    return now[0] - then[0], now[1] - then[1]


def _mean(counted: dict[str, float], name: str, scale: float) -> float:
    return round(scale * counted[f"{name}_sum"] / counted[f"{name}_count"], 2)


def measure(plan: Plan, passes: Sequence[tuple[int, bool]]) -> list[dict[str, Any]]:
    """Run passes, each a number of workers and whether everything is pinned, on one database."""
    with database.server() as postgres, tempfile.TemporaryDirectory(prefix="cpmqr-bench-") as folder:
        bench = Bench(plan, postgres, Path(folder))
        cores = os.sched_getaffinity(0)
        results = []
        for workers, pinned in passes:
            results.append(bench.measure(workers=workers, pinned=pinned))
            os.sched_setaffinity(0, cores)
        return results


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seconds", type=float, default=5)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--connections", type=int, default=64)
    options.add_argument("--tokens", type=int, default=2_000)
    options.add_argument("--profile", default="bc-domestic")
    options.add_argument("--no-issue-log", action="store_true", help="without a log line for each QR")
    options.add_argument(
        "--pinned-only", action="store_true", help="one worker, everything on its core, no more"
    )
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    plan = Plan(
        given.seconds, given.rounds, given.connections, given.tokens, given.profile, not given.no_issue_log
    )
    passes = [(1, True)] if given.pinned_only else [(1, True), (1, False), (2, False)]
    results = measure(plan, passes)
    text = json.dumps({"machine": machine.description(), "postgres_issue": results}, indent=1)
    print(text)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
