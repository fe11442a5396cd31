"""Gateways of several installations against each other, at once on one PostgreSQL, each in its turn.

    python -m benchmarks.versus .venv/bin/python build/compiled/bin/python
        [--profile bc-domestic] [--yardsticks] [--seconds 3] [--rounds 5] [--connections 64] [--json FILE]

Each argument is the Python of an environment with cpmqr in it: the plain and the compiled build, two versions, two
interpreters. All gateways stay on one core, database and load on another; only one is at work at a time. Medians. With
`--yardsticks` each round also runs null and pgbench, as `benchmarks.postgres_issue` does, for the ratios to them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import database, load, machine
from benchmarks.issue import ANSWER_BYTES
from benchmarks.postgres_issue import (
    FOUR_STATEMENTS,
    ONE_STATEMENT,
    REQUESTS_A_SECOND_MAX,
    WARM_UP_S,
    make_tables,
    pgbench,
)
from benchmarks.requests import prepare, wallet_requests, write_settings

TOKENS = 2_000


@dataclass(frozen=True)
class Plan:
    """How long, how often, with how much of everything."""

    profile: str
    seconds: float
    rounds: int
    connections: int
    yardsticks: bool


class Bench:
    """Gateways and yardsticks on one core, one database on the other, where this program drives them from."""

    def __init__(self, plan: Plan, folder: Path, stack: contextlib.ExitStack) -> None:
        self.plan = plan
        self.cores = sorted(os.sched_getaffinity(0))
        self._folder = folder
        self._stack = stack
        self._postgres = stack.enter_context(database.server())
        self._file, self._pans = prepare(folder, TOKENS, plan.profile, self._postgres.url)
        self._config = write_settings(folder, plan.profile, issues_logged=True)
        self._null_port = machine.free_port()

    def start(self, pythons: Sequence[str]) -> list[tuple[int, int]]:
        """Start a gateway of each, and null if it is asked for, and warm them up; ports and pids."""
        gateways = []
        for python in pythons:
            port = machine.free_port()
            arguments = ["serve", "--data", str(self._folder), "--config", str(self._config)]
            arguments += ["--port", str(port), "--database", self._postgres.url]
            gateways.append((port, self._run("cpmqr", arguments, port, python)))
        if self.plan.yardsticks:
            make_tables(self._postgres, TOKENS)
            arguments = [str(self._null_port), str(ANSWER_BYTES)]
            self._run("benchmarks.null_app", arguments, self._null_port, sys.executable)
        os.sched_setaffinity(0, self.cores[-1:])
        for port, _ in gateways:
            self._drive(port, WARM_UP_S)
        self._postgres.pin(self.cores[-1])  # now that every gateway has its connections
        return gateways

    def yardsticks(self) -> dict[str, float]:
        """What null and pgbench do a second."""
        found = {"null": self._drive(self._null_port, self.plan.seconds).per_second}
        os.sched_setaffinity(0, self.cores[:1])
        for name, script in (("pgbench_four", FOUR_STATEMENTS), ("pgbench_one", ONE_STATEMENT)):
            found[name] = pgbench(
                self._postgres,
                script,
                tokens=TOKENS,
                clients=self.plan.connections,
                seconds=self.plan.seconds,
            )
        os.sched_setaffinity(0, self.cores[-1:])
        return found

    def turn(self, port: int, pid: int) -> dict[str, float]:
        """What a gateway does in its turn."""
        before = database.spent(pid, self._postgres)
        run = self._drive(port, self.plan.seconds)
        after = database.spent(pid, self._postgres)
        assert set(run.statuses) == {200}, run.statuses
        gateway_s, database_s = (now - then for then, now in zip(before, after, strict=True))
        return {
            "per_second": run.per_second,
            "gateway_cpu_us": 1e6 * gateway_s / len(run.latencies),
            "database_cpu_us": 1e6 * database_s / len(run.latencies),
            "p50_ms": run.percentile(0.5),
            "p99_ms": run.percentile(0.99),
            "p999_ms": run.percentile(0.999),
        }

    def _run(self, module: str, arguments: Sequence[str], port: int, python: str) -> int:
        running = machine.process(module, arguments, port, self._folder / "log", self.cores[0], python=python)
        return self._stack.enter_context(running)

    def _drive(self, port: int, seconds: float) -> load.Run:
        requests = wallet_requests(self._file, self._pans, int(REQUESTS_A_SECOND_MAX * seconds))
        return load.drive(
            port,
            requests,
            connections=self.plan.connections,
            seconds=seconds,
            again=port == self._null_port,
        )


def measure(pythons: Sequence[str], plan: Plan) -> dict[str, Any]:
    """Measure each installation's gateway, in the order of the arguments, and the yardsticks; medians."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cpmqr-bench-")))
        bench = Bench(plan, folder, stack)
        gateways = bench.start(pythons)
        yardsticks: list[dict[str, float]] = []
        turns: list[list[dict[str, float]]] = [[] for _ in gateways]
        for _ in range(plan.rounds):
            of = bench.yardsticks() if plan.yardsticks else {}
            yardsticks.append(of)
            for (port, pid), seen in zip(gateways, turns, strict=True):
                turn = bench.turn(port, pid)
                seen.append(turn | {f"of_{name}": turn["per_second"] / each for name, each in of.items()})
        os.sched_setaffinity(0, bench.cores)
    return {
        "profile": plan.profile,
        "load_average": [round(each, 1) for each in os.getloadavg()],
        "yardsticks_per_second": _medians(yardsticks),
        "gateways": [
            {"python": python, **_medians(seen)} for python, seen in zip(pythons, turns, strict=True)
        ],
    }


def _medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(each[name] for each in rounds), 3) for name in rounds[0]}


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("pythons", nargs="+", metavar="PYTHON")
    options.add_argument("--profile", default="bc-domestic")
    options.add_argument("--yardsticks", action="store_true", help="null and pgbench too, for the ratios")
    options.add_argument("--seconds", type=float, default=3)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--connections", type=int, default=64)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    plan = Plan(given.profile, given.seconds, given.rounds, given.connections, given.yardsticks)
    results = measure(given.pythons, plan)
    text = json.dumps({"machine": machine.description(), "versus": results}, indent=1)
    print(text)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
