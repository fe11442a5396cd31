"""The parent of several workers: what it does with workers that start, die, or can't start."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from cpmqr.errors import ConfigError
from cpmqr.server import supervisor
from cpmqr.server.settings import Listen, Settings, Storage
from cpmqr.server.supervisor import Supervisor, bound_socket

# A real process in a few lines: notes its start, says ready, and ends when it is told to or its parent is gone.
WORKER = """
import json, os, pathlib, signal, sys
settings = json.loads(sys.stdin.readline())
notes = pathlib.Path(settings["storage"]["data"])
number = len(list(notes.glob("start-*")))
(notes / f"start-{os.getpid()}").touch()
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
BEFORE
print("ready", flush=True)
AFTER
sys.stdin.read()
"""


def supervised(
    notes: Path, *, before: str = "", after: str = "", workers: int = 2, end: str = "", seconds: float = 1.0
) -> tuple[int, int, bool]:
    """Run a supervisor over small workers, and end it after some seconds; status, workers started, told as started."""
    with bound_socket(Listen(port=0), shared=True) as kept:
        listen = Listen(port=kept.getsockname()[1], workers=workers, drain_s=1)
        settings = Settings(listen=listen, storage=Storage(data=str(notes)))
        started = []

        async def on_started() -> None:
            started.append(True)
            if end:
                raise ConfigError(end)

        async def run() -> int:
            asyncio.get_running_loop().call_later(seconds, os.kill, os.getpid(), signal.SIGTERM)
            command = (sys.executable, "-c", WORKER.replace("BEFORE", before).replace("AFTER", after))
            return await Supervisor(command, settings, kept, on_started).run()

        status = asyncio.run(asyncio.wait_for(run(), 20))
    return status, len(list(notes.glob("start-*"))), bool(started)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "PAUSE_FIRST_S", 0.05)
    monkeypatch.setattr(supervisor, "CLOSE_S", 1.0)


def test_all_workers_start_and_a_signal_ends_them_with_status_0(tmp_path: Path) -> None:
    assert supervised(tmp_path, workers=3, seconds=2.0) == (0, 3, True)


def test_a_worker_that_cannot_start_ends_the_service_with_its_status_and_is_not_tried_again(
    tmp_path: Path,
) -> None:
    began = time.monotonic()
    assert supervised(tmp_path, before="sys.exit(7)", seconds=15) == (7, 1, False)
    assert time.monotonic() - began < 10
    os.kill(os.getpid(), 0)  # and nothing of it is left to send the signal to


def test_a_worker_that_dies_young_is_replaced_after_a_pause_that_grows(tmp_path: Path) -> None:
    status, starts, _ = supervised(tmp_path, after="os._exit(9) if number else None", seconds=2.0)
    assert status == 0
    assert 3 <= starts < 12  # 0.05 s, then 0.1, 0.2, 0.4, 0.8 …, and the time that each takes to start


def test_a_replacement_that_cannot_start_leaves_the_others_serving(tmp_path: Path) -> None:
    status, starts, told = supervised(tmp_path, before="sys.exit(5) if number else None", seconds=1.5)
    assert (status, told) == (0, True)
    assert starts > 2


def test_a_worker_that_fails_to_drain_is_killed_and_the_status_says_so(tmp_path: Path) -> None:
    began = time.monotonic()
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN); import time; time.sleep(60)"
    status, _, _ = supervised(tmp_path, workers=1, after=deaf, seconds=0.5)
    assert status == signal.SIGKILL
    assert time.monotonic() - began < 10


def test_an_error_once_started_ends_the_workers_and_comes_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no wallet"):
        supervised(tmp_path, end="no wallet", seconds=15)


def test_a_port_can_be_shared_by_who_says_so_and_by_nobody_else() -> None:
    with bound_socket(Listen(port=0), shared=True) as kept:
        listen = Listen(port=kept.getsockname()[1])
        with bound_socket(listen, shared=True) as own:
            assert own.getsockname() == kept.getsockname()
            own.listen()
            with pytest.raises(ConfigError, match="Address already in use"):
                bound_socket(listen)


def test_an_address_of_another_machine_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match=r"can't listen on 192\.0\.2\.1:0"):
        bound_socket(Listen(host="192.0.2.1", port=0))


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_address_of_ipv6_is_taken_as_one() -> None:
    with bound_socket(Listen(host="::1", port=0)) as made:
        assert made.family is socket.AF_INET6
