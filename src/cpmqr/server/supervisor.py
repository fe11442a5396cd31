"""Several worker processes on one port: start them, replace one that dies, drain them all.

Each worker listens on a socket of its own (SO_REUSEPORT), and the kernel deals connections out among them. One socket
for all would not do: under uvloop whichever worker is awake takes every connection that waits, measured 64 of 64. The
parent keeps the port, and serves nothing itself.

A worker inherits its socket; it is given its settings as one line of JSON on standard input (they hold the database's
password, so not on its command line), and says `ready` on standard output once it takes requests. Its standard input
stays open: when the parent is gone, however it went, the worker reads the end of it and drains.

uvicorn has a supervisor too, but with one socket, and it starts a worker that can't come up again and again for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

import msgspec
import structlog
from prometheus_client import multiprocess

from cpmqr.errors import ConfigError
from cpmqr.server import metrics
from cpmqr.server.settings import Listen, Settings

READY_LINE: Final = b"ready\n"

STEADY_S: Final = 10.0  # a worker that served for so long is replaced at once; else after a pause
PAUSE_FIRST_S: Final = 0.5  # doubles up to the next
PAUSE_MAX_S: Final = 30.0
CLOSE_S: Final = 15.0  # after the drain, for what is still on its way to the database


class Supervisor:
    """Keeps `settings.listen.workers` workers running until SIGTERM or SIGINT.

    Args:
        command: a worker's command line; the number of its socket's file descriptor is added to it.
        settings: with the port itself, not 0. kept: holds the port (`bound_socket`) until the service ends.
        on_started: called once, when the first worker takes requests; an error of its ends the service.
    """

    def __init__(
        self,
        command: Sequence[str],
        settings: Settings,
        kept: socket.socket,
        on_started: Callable[[], Awaitable[None]],
    ) -> None:
        self._command = command
        self._settings = settings
        self._kept = kept
        self._on_started = on_started
        self._log = structlog.get_logger()
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._ready: set[int] = set()
        self._stopping = asyncio.Event()
        self._status = 0
        self._error: Exception | None = None

    async def run(self) -> int:
        """Start the workers, and return when all have ended: 0 if each drained, else the first failure's status.

        The first worker is started alone: what keeps it from starting is said once, and the others are spared.

        Raises:
            Exception: as `on_started` raised it, once all have ended.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        with tempfile.TemporaryDirectory(prefix="cpmqr-metrics-") as metrics_folder:
            async with asyncio.TaskGroup() as keepers:
                first_up = loop.create_future()
                keepers.create_task(self._keep(metrics_folder, first_up))
                if await first_up:
                    await self._tell_started()
                    for _ in range(self._settings.listen.workers - 1):
                        keepers.create_task(self._keep(metrics_folder, loop.create_future()))
        if self._error is not None:
            raise self._error
        return self._status

    async def _tell_started(self) -> None:
        try:
            await self._on_started()
        except Exception as error:
            self._error = error
            self._stop(signal.SIGTERM)

    async def _keep(self, metrics_folder: str, up: asyncio.Future[bool]) -> None:
        """Keep one worker running; `up` is told whether its first start succeeded."""
        pause_s = PAUSE_FIRST_S
        while not self._stopping.is_set():
            async with self._worker(metrics_folder) as worker:
                was_ready = await _says_ready(worker)
                ready_at = time.monotonic()
                if was_ready:
                    self._ready.add(worker.pid)
                if not up.done():
                    up.set_result(was_ready)
                status = await worker.wait()
            if self._stopping.is_set():
                if was_ready:
                    self._status = self._status or abs(status)
                return
            self._log.error("worker ended", pid=worker.pid, status=status, was_ready=was_ready)
            if was_ready and time.monotonic() - ready_at > STEADY_S:
                pause_s = PAUSE_FIRST_S
                continue
            if not was_ready and not self._ready:
                # Nobody serves, and nobody can: whoever started us should know.
                self._status = status if status > 0 else 1
                self._stop(signal.SIGTERM)
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    @contextlib.asynccontextmanager
    async def _worker(self, metrics_folder: str) -> AsyncIterator[asyncio.subprocess.Process]:
        with bound_socket(self._settings.listen, shared=True) as own:
            worker = await asyncio.create_subprocess_exec(
                *self._command,
                str(own.fileno()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                pass_fds=(own.fileno(),),
                env={**os.environ, metrics.FOLDER_VARIABLE: metrics_folder},
                start_new_session=True,  # a terminal's Ctrl-C is the parent's to pass on
            )
        self._running[worker.pid] = worker
        try:
            with contextlib.suppress(ConnectionError):
                assert worker.stdin is not None
                worker.stdin.write(msgspec.json.encode(self._settings) + b"\n")
                await worker.stdin.drain()
            yield worker
        finally:
            self._running.pop(worker.pid)
            self._ready.discard(worker.pid)
            # Its counters stay in the sum; its gauges, such as how many wait, go with it.
            multiprocess.mark_process_dead(worker.pid, metrics_folder)  # type: ignore[no-untyped-call]

    def _stop(self, number: int) -> None:
        """Pass a signal on to all workers; the first one ends the service, a second Ctrl-C ends it at once."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._kept.close()
            loop = asyncio.get_running_loop()
            loop.call_later(self._settings.listen.drain_s + CLOSE_S, self._kill)
        for worker in list(self._running.values()):
            with contextlib.suppress(ProcessLookupError):
                worker.send_signal(number)

    def _kill(self) -> None:
        for pid, worker in self._running.items():
            self._log.error("worker did not drain", pid=pid)
            worker.kill()


async def _says_ready(worker: asyncio.subprocess.Process) -> bool:
    assert worker.stdout is not None
    return await worker.stdout.readline() == READY_LINE


def bound_socket(listen: Listen, *, shared: bool = False) -> socket.socket:
    """Take the address.

    Args:
        shared: other sockets of this user's may take it too, if they say the same.

    Raises:
        ConfigError: it is taken, or none of this machine's.
    """
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((listen.host, listen.port))
    except OSError as error:
        made.close()
        raise ConfigError(
            f"can't listen on {listen.host}:{listen.port}: {error.strerror}; try --port 8081, or 0 for a free one"
        ) from None
    return made
