"""What is answered, and how soon, when more and more is asked: from a tenth of the capacity to three times it.

    python -m benchmarks.offered [--only sqlite|postgres] [--seconds 4] [--connections 600] [--json FILE]

The load is open, as in `benchmarks.overload`: requests come at their own pace, and a latency counts from the moment at
which the request should have left. `python -m benchmarks.plot` draws the result. Gateway on one core; the load, and
PostgreSQL, on the other.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import database, load, machine
from benchmarks.overload import OpenLoad, drive
from benchmarks.requests import prepare, wallet_requests

TOKENS = 2_000
SHARES = (0.1, 0.25, 0.5, 0.7, 0.85, 1.0, 1.25, 1.5, 2.0, 3.0)  # of the capacity
CAPACITY_S = 3.0
REQUESTS_A_SECOND_MAX = 25_000


def measure(*, postgres: bool, seconds: float, connections: int) -> dict[str, Any]:
    """Find the capacity of a new gateway, then offer it each share of that."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cpmqr-bench-")))
        machine.pin(1)  # a server that is started from here stays here
        url = stack.enter_context(database.server()).url if postgres else ""
        file, pans = prepare(folder, TOKENS, database=url)
        port = machine.free_port()
        arguments = ["serve", "--data", str(folder), "--port", str(port)]
        arguments += ["--database", url] if url else []
        stack.enter_context(machine.process("cpmqr", arguments, port, folder / "log"))
        load.drive(port, wallet_requests(file, pans, REQUESTS_A_SECOND_MAX), seconds=1)
        full = load.drive(
            port, wallet_requests(file, pans, int(REQUESTS_A_SECOND_MAX * CAPACITY_S)), seconds=CAPACITY_S
        )
        points = []
        for share in SHARES:
            per_second = share * full.per_second
            requests = wallet_requests(file, pans, int(per_second * seconds))
            pace, point = drive(port, requests, per_second, connections)
            point["answered_with_a_qr_per_second"] = round(_rate(pace))
            points.append({"share": share, **point})
        return {
            "database": "PostgreSQL" if postgres else "SQLite",
            "capacity_per_second": round(full.per_second),
            "load_average": [round(each, 1) for each in os.getloadavg()],
            "points": points,
        }


def _rate(pace: OpenLoad) -> float:
    """QRs a second from the first to the last: neither connecting nor the wait for stragglers counts."""
    good = sorted(each.at for each in pace.done if each.status == 200)
    return (len(good) - 1) / (good[-1] - good[0]) if len(good) > 1 else 0.0


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--only", choices=("sqlite", "postgres"))
    options.add_argument("--seconds", type=float, default=4.0, help="for each point")
    options.add_argument("--connections", type=int, default=600)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    cores = os.sched_getaffinity(0)
    results = []
    for name in ("sqlite", "postgres"):
        if given.only in (None, name):
            results.append(
                measure(postgres=name == "postgres", seconds=given.seconds, connections=given.connections)
            )
            os.sched_setaffinity(0, cores)
    text = json.dumps({"machine": machine.description(), "offered": results}, indent=1)
    print(text)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
