"""A live gateway for a wallet's own tests, in well under a second.

In a `conftest.py`:

    pytest_plugins = ["cpmqr.testing"]

    def test_my_wallet(cpmqr_gateway):
        qr = cpmqr_gateway.wallet().request_qr(pan=cpmqr_gateway.pan())

`gateway()` runs it in a thread of this process, on a free port of 127.0.0.1, with a database and keys of its own that
go when the test ends. Needs `cpmqr[server]`; the fixture needs pytest.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import structlog
import uvloop

from cpmqr import sandbox, startup
from cpmqr.client import Wallet
from cpmqr.errors import CpmqrError
from cpmqr.server import logs, run, settings

START_S_MAX: Final = 10.0  # it takes a fraction of a second; a machine under load may need longer


class TestGateway:
    """A sandbox gateway that is running.

    Attributes:
        base_url: `http://127.0.0.1:PORT`.
        sandbox_file: path of its sandbox.json (contract §8): credentials, keys and tokens.
    """

    __test__ = False  # no test class, whatever its name says to pytest

    def __init__(self, base_url: str, sandbox_file: Path) -> None:
        self.base_url = base_url
        self.sandbox_file = sandbox_file

    def pan(self, state: str = "active") -> str:
        """Give the digital PAN of the first seeded token in a state: active, suspended, deleted, expired, exhausted."""
        tokens = sandbox.read(self.sandbox_file).tokens
        return next(token.pan for token in tokens if token.state == state)

    def wallet(self, **options: object) -> Wallet:
        """Make a wallet's client for it; options as those of `Wallet.from_sandbox`."""
        return Wallet.from_sandbox(self.sandbox_file, **options)  # type: ignore[arg-type]


@contextlib.contextmanager
def gateway(data: Path | None = None, **overrides: object) -> Iterator[TestGateway]:
    """Run a sandbox gateway in a thread until the block ends.

    Args:
        data: folder that outlives the block; a temporary one where it is None.
        overrides: settings as `section__name=value`, such as `issuing__qr_ttl_s=2`.

    Raises:
        CpmqrError: it could not start; the message says why.
    """
    with contextlib.ExitStack() as stack:
        if data is None:
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cpmqr-")))
        overrides = {"listen__port": 0, "sandbox": True, "storage__data": str(data), **overrides}
        running = _Thread(settings.load(None, **overrides))
        running.start()
        try:
            yield TestGateway(running.wait_started(), data / sandbox.FILE_NAME)
        finally:
            running.stop()


@pytest.fixture(scope="session")
def cpmqr_gateway() -> Iterator[TestGateway]:
    """One gateway for the whole test session."""
    with gateway() as running:
        yield running


class _Thread(threading.Thread):
    """An event loop with a gateway on it."""

    def __init__(self, chosen: settings.Settings) -> None:
        super().__init__(name="cpmqr-gateway", daemon=True)
        self._settings = chosen
        self._is_up = threading.Event()
        self._base_url = ""
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: run.Server | None = None

    def run(self) -> None:
        try:
            uvloop.run(self._serve())
        except BaseException as error:
            self._error = error
        finally:
            self._is_up.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        if not structlog.is_configured():
            # A test suite wants to hear of faults, not of each QR. To the process's own stream: pytest puts another in
            # its place for a test and closes it, but a gateway may outlive the test that asked for it first.
            stream = sys.__stderr__ or sys.stderr
            logs.configure("error", file=stream.buffer)
        gateway = await startup.open_gateway(self._settings)
        self._server = run.server(gateway, self._on_started)
        await self._server.serve()

    async def _on_started(self, port: int) -> None:
        self._base_url = startup.base_url(self._settings, port)
        sandbox.set_base_url(Path(self._settings.storage.data) / sandbox.FILE_NAME, self._base_url)
        self._is_up.set()

    def wait_started(self) -> str:
        if not self._is_up.wait(START_S_MAX):
            raise CpmqrError(f"the gateway did not start within {START_S_MAX:.0f} s")
        if self._error is not None:
            raise CpmqrError(f"the gateway did not start: {self._error}") from self._error
        return self._base_url

    def stop(self) -> None:
        if self._loop is not None and self._server is not None and self.is_alive():
            self._loop.call_soon_threadsafe(setattr, self._server, "should_exit", True)
        self.join(START_S_MAX)
