"""A deployment outside the sandbox, on PostgreSQL: config, key-encryption key, tokens, and its gateways as processes.

Requestor, keys and credentials are those that the sandbox's seeding makes up; the gateways then run without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from benchmarks.requests import prepare
from tests import by_hand

START_S_MAX = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Deployment:
    """`url` may name several hosts; `pans` are those of `requestor`'s tokens, made for the test."""

    url: str
    folder: Path
    config: Path
    wallet: by_hand.Wallet
    pans: list[str]

    @classmethod
    async def make(cls, url: str, folder: Path, *, tokens: int, **settings: str) -> Deployment:
        """Make tables, keys and tokens; `settings` are lines of the config, such as storage="lanes = 1"."""
        file, pans = await asyncio.to_thread(prepare, folder, tokens, "bc-domestic", url)
        config = folder / "cpmqr.toml"
        storage = f"database = {json.dumps(url)}\nkek_file = {json.dumps(str(folder / 'kek.key'))}"
        sections = {"storage": storage, "logging": "issues = false"}
        for name, lines in settings.items():
            sections[name] = f"{sections.get(name, '')}\n{lines}"
        config.write_text("".join(f"[{name}]\n{lines}\n" for name, lines in sections.items()), "utf-8")
        del file
        return cls(url, folder, config, by_hand.Wallet.from_file(folder / "sandbox.json"), pans)

    @contextlib.contextmanager
    def serving(self, *options: str) -> Iterator[Gateway]:
        """Run a gateway until the block ends; whatever happens, it is gone afterwards."""
        gateway = Gateway(self, free_port(), *options)
        try:
            gateway.wait_ready()
            yield gateway
        finally:
            gateway.kill()

    async def rows(self, sql: str, *values: object) -> list[asyncpg.Record]:
        """Ask the database itself."""
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetch(sql, *values)
        finally:
            await connection.close()


class Gateway:
    """`cpmqr serve` as a process; with workers it is their parent."""

    def __init__(self, deployment: Deployment, port: int, *options: str) -> None:
        self.port = port
        self.deployment = deployment
        self.log = deployment.folder / f"gateway-{port}.log"
        self._options = options
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "cpmqr", "serve", "--config", str(self.deployment.config)]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*command, "--port", str(self.port), *self._options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={name: value for name, value in os.environ.items() if not name.startswith("CPMQR_")},
            )

    def restart(self) -> None:
        self._process = self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise AssertionError(f"serve ended with {self._process.returncode}: {self.told()[-2000:]}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.get("/readyz")[0] == 200:
                    return
            time.sleep(0.02)
        raise AssertionError(f"not ready in {START_S_MAX} s: {self.told()[-2000:]}")

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        """Read one sample by its name with labels."""
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        raise AssertionError(f"{name} is not among the metrics")

    def told(self) -> str:
        return self.log.read_text("utf-8")

    def children(self) -> list[int]:
        """The process ids of the workers."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def terminate(self, timeout: float = 40.0) -> int:
        """SIGTERM; give the exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout)

    def wait(self, timeout: float = 40.0) -> int:
        return self._process.wait(timeout)

    def kill(self) -> None:
        """SIGKILL, wherever it is."""
        self._process.kill()
        self._process.wait(10)
