"""Processes on cores of their own, and what the machine is."""

from __future__ import annotations

import contextlib
import gc
import os
import platform
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

_PRECEDENCE: Final = 1  # of 99: before all that is not real-time


def pin(core: int) -> None:
    """Keep this process on one core, where the system lets it."""
    if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > core:
        os.sched_setaffinity(0, {core})


@contextlib.contextmanager
def instrument() -> Iterator[None]:
    """Be an instrument while the block runs: a client that pauses makes its server look slow.

    The garbage collector is kept still. And where the system lets us (root, on Linux), this process runs at once when
    an answer comes (SCHED_FIFO), as wallets elsewhere would: beside a database it would wait for the end of each of its
    statements, and the gateway for it.
    """
    gc.collect()
    gc.disable()
    before = _come_first()
    try:
        yield
    finally:
        gc.enable()
        if before is not None:
            os.sched_setscheduler(0, *before)


def _come_first() -> tuple[int, os.sched_param] | None:
    """Take real-time scheduling; how this process was scheduled before, or None where the system does not let us."""
    try:
        before = os.sched_getscheduler(0), os.sched_getparam(0)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRECEDENCE))
    except (AttributeError, PermissionError):  # another system, another user
        return None
    return before


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def process(
    module: str,
    arguments: Sequence[str],
    port: int,
    log: Path,
    core: int | None = 0,
    python: str = sys.executable,
) -> Iterator[int]:
    """Run `python -m module` until the block ends; gives its pid once its port answers.

    Args:
        core: where it stays; None leaves it where this process is. python: with another installation than ours.
    """
    with log.open("ab") as stderr:
        child = subprocess.Popen(
            [python, "-m", module, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            preexec_fn=None if core is None else lambda: pin(core),
        )
    try:
        _wait_for(port, child)
        yield child.pid
    finally:
        child.terminate()
        child.wait(timeout=30)


def _wait_for(port: int, child: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if child.poll() is not None:
            raise SystemExit(f"the server ended with status {child.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit("the server did not start")


def description() -> dict[str, str]:
    """Say what was measured on."""
    model = ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {
        "python": platform.python_version(),
        "cores": str(os.cpu_count()),
        "processor": model or platform.machine(),
        "sqlite": sqlite3.sqlite_version,
    }


def metrics(port: int) -> dict[str, float]:
    """Read a gateway's own metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, value in pairs}
