"""All everyday measurements, some five minutes in all, into one file; each also runs alone, for longer.

    python -m benchmarks [--only NAME …] [--out build/bench.json]        (or: make bench)

Figures depend on the machine and on what else runs on it; ratios within one run do so much less. The load average
before each measurement stands beside its figures.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import machine

# Name → module and options of its everyday run. None takes more than two minutes on two cores.
EVERYDAY: dict[str, list[str]] = {
    "steps": ["benchmarks.steps"],
    "toolkit": ["benchmarks.toolkit"],
    "issue": ["benchmarks.issue", "--seconds", "4", "--rounds", "2"],
    "store": ["benchmarks.store", "--seconds", "1", "--rounds", "1"],
    "postgres_issue": ["benchmarks.postgres_issue", "--seconds", "3", "--rounds", "2"],
    "size": [
        *("benchmarks.size", "--tokens", "50000", "--issues", "250000"),
        *("--seconds", "3", "--rounds", "2"),
    ],
    "offered": ["benchmarks.offered", "--seconds", "2.5"],
}
TIMEOUT_S = 300.0  # for one of them: a hang must not stop the rest
RATIOS = {
    "issue": ("ratio",),
    "postgres_issue": ("of_pgbench_four", "of_pgbench_one", "of_null"),
    "size": ("ratio_store_us_an_issue", "ratio_gateway"),
}


def run(name: str, folder: Path) -> dict[str, Any] | None:
    """Run one measurement as a process of its own; its figures, or None if it failed."""
    module, *options = EVERYDAY[name]
    file = folder / f"{name}.json"
    command = [sys.executable, "-m", module, *options, "--json", str(file)]
    before = round(os.getloadavg()[0], 1)
    started = time.perf_counter()
    try:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        print(f"{name}: not done in {TIMEOUT_S:.0f} s", file=sys.stderr)
        return None
    took = time.perf_counter() - started
    print(f"{name}: {took:.0f} s", file=sys.stderr, flush=True)
    if done.returncode or not file.exists():
        return None
    figures = json.loads(file.read_text(encoding="utf-8"))
    figures.pop("machine", None)
    return {"load_average_before": before, "took_s": round(took), "figures": figures.get(name, figures)}


def summary(results: dict[str, Any]) -> str:
    """Write the ratios that matter in a few lines."""
    lines = []
    for name, ratios in RATIOS.items():
        found = results.get(name)
        for figures in found if isinstance(found, list) else [found]:
            if figures is not None:
                shown = ", ".join(f"{ratio} {figures[ratio]}" for ratio in ratios)
                lines.append(f"{name}{_which(figures)}: {shown}")
    return "\n".join(lines)


def _which(figures: dict[str, Any]) -> str:
    if "workers" not in figures:
        return ""
    return f" ({figures['workers']} worker, {'on cores of their own' if figures['pinned'] else 'anywhere'})"


def main() -> None:
    """Run, and write the file."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--only", nargs="+", choices=tuple(EVERYDAY), default=list(EVERYDAY))
    options.add_argument("--out", type=Path, default=Path("build/bench.json"))
    given = options.parse_args()
    results: dict[str, Any] = {
        "machine": machine.description(),
        "at": time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime()),
    }
    runs: dict[str, dict[str, Any]] = {}
    failed = []
    with tempfile.TemporaryDirectory(prefix="cpmqr-bench-") as folder:
        for name in given.only:
            done = run(name, Path(folder))
            if done is None:
                failed.append(name)
                continue
            results[name] = done.pop("figures")
            runs[name] = done
    results["runs"] = runs
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(summary(results))
    print(given.out)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
