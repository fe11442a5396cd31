"""The issue path against a null endpoint of the same server, in one run.

    python -m benchmarks.issue [--seconds 6] [--rounds 3] [--connections 64] [--tokens 2000] [--json FILE]

Server on one core, client on the other. The gateway is the real command outside its sandbox: durable SQLite,
HASH_CRC in HMAC mode, `bc-domestic` with its TDES cryptogram, a log line for each QR. Each request is new. The null
endpoint is the same uvicorn with the same protocol class, reads the same requests and answers with as many bytes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import load, machine
from benchmarks.requests import prepare, wallet_requests, write_settings

ANSWER_BYTES = 640  # about what a QR's answer has
REQUESTS_A_SECOND_MAX = 25_000  # how many to make ahead for each second of a run


def measure(
    *, seconds: float, rounds: int, connections: int, tokens: int, profile: str, issues_logged: bool
) -> dict[str, Any]:
    """Run null and gateway in turn, so many rounds; medians."""
    with tempfile.TemporaryDirectory(prefix="cpmqr-bench-") as folder:
        data = Path(folder)
        file, pans = prepare(data, tokens, profile)
        config = write_settings(data, profile, issues_logged=issues_logged)
        arguments = [
            "serve",
            "--data",
            folder,
            "--port",
            str(port := machine.free_port()),
            "--config",
            str(config),
        ]
        machine.pin(1)
        null_port = machine.free_port()
        null = machine.process(
            "benchmarks.null_app", [str(null_port), str(ANSWER_BYTES)], null_port, data / "null.log"
        )
        gateway = machine.process("cpmqr", arguments, port, data / "gateway.log")
        nulls, runs = [], []
        with null, gateway:
            load.drive(port, wallet_requests(file, pans, 20_000), connections=connections, seconds=2)
            for _ in range(rounds):
                work = wallet_requests(file, pans, int(REQUESTS_A_SECOND_MAX * seconds))
                nulls.append(
                    load.drive(null_port, work, connections=connections, seconds=seconds / 2, again=True)
                )
                runs.append(load.drive(port, work, connections=connections, seconds=seconds))
            counters = machine.metrics(port)
    assert all(set(run.statuses) == {200} for run in runs), [run.statuses for run in runs]
    per_second = statistics.median(run.per_second for run in runs)
    null_per_second = statistics.median(run.per_second for run in nulls)
    return {
        "profile": profile,
        "issues_logged": issues_logged,
        "connections": connections,
        "null_per_second": round(null_per_second),
        "per_second": round(per_second),
        "ratio": round(per_second / null_per_second, 3),
        "p50_ms": round(statistics.median(run.percentile(0.50) for run in runs), 2),
        "p99_ms": round(statistics.median(run.percentile(0.99) for run in runs), 2),
        "batch_mean": round(counters["cpmqr_batch_size_sum"] / counters["cpmqr_batch_size_count"], 1),
        "commit_mean_ms": round(
            1000 * counters["cpmqr_commit_seconds_sum"] / counters["cpmqr_commit_seconds_count"], 2
        ),
    }


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seconds", type=float, default=6)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--connections", type=int, default=64)
    options.add_argument("--tokens", type=int, default=2_000)
    options.add_argument("--profile", default="bc-domestic")
    options.add_argument("--no-issue-log", action="store_true", help="without a log line for each QR")
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    result = measure(
        seconds=given.seconds,
        rounds=given.rounds,
        connections=given.connections,
        tokens=given.tokens,
        profile=given.profile,
        issues_logged=not given.no_issue_log,
    )
    text = json.dumps({"machine": machine.description(), "issue": result}, indent=1)
    print(text)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
