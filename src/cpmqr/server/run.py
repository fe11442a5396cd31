"""Run a gateway under uvicorn until SIGTERM or SIGINT, then drain."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Awaitable, Callable, Generator
from types import FrameType

import uvicorn

from cpmqr.server.protocol import bounded
from cpmqr.server.settings import Settings
from cpmqr.server.wiring import Gateway


class Server(uvicorn.Server):
    """uvicorn's server, which ends with status 0 after a drain: it would raise the signal again."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[int], Awaitable[None]] | None) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started and self._on_started is not None:
            await self._on_started(self.servers[0].sockets[0].getsockname()[1])

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # a test's gateway in a thread: signals are not its matter
            return

        def leave(number: int, frame: FrameType | None) -> None:
            self.handle_exit(number, frame)

        previous = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def server(gateway: Gateway, on_started: Callable[[int], Awaitable[None]] | None = None) -> Server:
    """Make the server of a gateway; `await .serve()` runs it until a signal or `.should_exit`.

    `on_started` is told the port once requests are taken.
    """
    return Server(configuration(gateway.settings, gateway), on_started)


def configuration(settings: Settings, gateway: Gateway) -> uvicorn.Config:
    """Set uvicorn up: the fastest parts that it has, and none of what costs without serving us."""
    listen = settings.listen
    return uvicorn.Config(
        gateway.app,
        host=listen.host,
        port=listen.port,
        loop="uvloop",
        http=bounded(
            header_bytes_max=listen.header_bytes_max,
            request_timeout_s=listen.request_timeout_s,
            connections_max=listen.connections_max,
            direct=gateway.direct,
        ),
        ws="none",
        lifespan="on",
        log_config=None,  # our own JSON lines
        access_log=False,
        proxy_headers=False,  # costs, and would let any client name its own address
        server_header=False,
        timeout_keep_alive=listen.keep_alive_s,
        timeout_graceful_shutdown=listen.drain_s,
        ssl_certfile=listen.tls_cert_file or None,
        ssl_keyfile=listen.tls_key_file or None,
    )
