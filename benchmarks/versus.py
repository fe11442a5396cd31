"""Gateways of several installations against each other, at once on one PostgreSQL, each in its turn.

    python -m benchmarks.versus .venv/bin/python build/compiled/bin/python
        [--profile bc-domestic] [--seconds 3] [--rounds 5] [--connections 64] [--json FILE]

Each argument is the Python of an environment with cpmqr in it: the plain and the compiled build, two versions, two
interpreters. All gateways stay on one core, database and load on another; only one is at work at a time. Medians.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import database, load, machine
from benchmarks.postgres_issue import REQUESTS_A_SECOND_MAX, WARM_UP_S
from benchmarks.requests import prepare, wallet_requests, write_settings

TOKENS = 2_000


def measure(
    pythons: Sequence[str], *, profile: str, seconds: float, rounds: int, connections: int
) -> list[dict[str, Any]]:
    """Measure each installation's gateway; the figures in the order of the arguments."""
    cores = sorted(os.sched_getaffinity(0))
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(database.server())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cpmqr-bench-")))
        file, pans = prepare(folder, TOKENS, profile, postgres.url)
        config = write_settings(folder, profile, issues_logged=True)
        gateways = []
        for python in pythons:
            port = machine.free_port()
            arguments = ["serve", "--data", str(folder), "--config", str(config), "--port", str(port)]
            arguments += ["--database", postgres.url]
            running = machine.process("cpmqr", arguments, port, folder / "log", cores[0], python=python)
            gateways.append((port, stack.enter_context(running)))
        os.sched_setaffinity(0, cores[-1:])
        for port, _ in gateways:
            warm = wallet_requests(file, pans, int(REQUESTS_A_SECOND_MAX * WARM_UP_S))
            load.drive(port, warm, connections=connections, seconds=WARM_UP_S)
        postgres.pin(cores[-1])  # now that every gateway has its connections
        turns: list[list[tuple[float, ...]]] = [[] for _ in gateways]
        for _ in range(rounds):
            for (port, pid), seen in zip(gateways, turns, strict=True):
                requests = wallet_requests(file, pans, int(REQUESTS_A_SECOND_MAX * seconds))
                before = database.cpu_seconds(pid), database.cpu_seconds(postgres.pid)
                run = load.drive(port, requests, connections=connections, seconds=seconds)
                after = database.cpu_seconds(pid), database.cpu_seconds(postgres.pid)
                assert set(run.statuses) == {200}, run.statuses
                spent = [
                    1e6 * (now - then) / len(run.latencies) for then, now in zip(before, after, strict=True)
                ]
                seen.append((run.per_second, *spent, run.percentile(0.5), run.percentile(0.99)))
        os.sched_setaffinity(0, cores)
    names = ("per_second", "gateway_cpu_us", "database_cpu_us", "p50_ms", "p99_ms")
    return [
        {
            "python": python,
            **{
                name: round(statistics.median(values), 1)
                for name, values in zip(names, zip(*seen, strict=True), strict=True)
            },
        }
        for python, seen in zip(pythons, turns, strict=True)
    ]


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("pythons", nargs="+", metavar="PYTHON")
    options.add_argument("--profile", default="bc-domestic")
    options.add_argument("--seconds", type=float, default=3)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--connections", type=int, default=64)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    results = measure(
        given.pythons,
        profile=given.profile,
        seconds=given.seconds,
        rounds=given.rounds,
        connections=given.connections,
    )
    text = json.dumps({"machine": machine.description(), "versus": results}, indent=1)
    print(text)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
