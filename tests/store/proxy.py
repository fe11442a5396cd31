"""A way to the server that can be cut or go silent, as networks do."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.parse
from collections.abc import AsyncIterator


class Proxy:
    """Forwards bytes between one port of ours and the server, until told otherwise."""

    def __init__(self, server: str) -> None:
        parts = urllib.parse.urlsplit(server)
        settings = {name: values[0] for name, values in urllib.parse.parse_qs(parts.query).items()}
        self._host = settings.pop("host", parts.hostname or "127.0.0.1")
        self._server_port = int(settings.pop("port", parts.port or 5432))
        self._credential = parts.username or "postgres"
        if parts.password:
            self._credential += f":{parts.password}"
        self._rest = f"{parts.path}?{urllib.parse.urlencode(settings)}"
        self._writers: set[asyncio.StreamWriter] = set()
        self.answers = True
        self.port = 0

    @property
    def url(self) -> str:
        """The server's URL, by way of this proxy."""
        return f"postgresql://{self._credential}@127.0.0.1:{self.port}{self._rest}"

    def cut(self) -> None:
        """End all connections at once."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._host.startswith("/"):
            upstream = await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._server_port}")
        else:
            upstream = await asyncio.open_connection(self._host, self._server_port)
        self._writers |= {writer, upstream[1]}
        await asyncio.gather(
            self._forward(reader, upstream[1], towards_us=False),
            self._forward(upstream[0], writer, towards_us=True),
        )

    async def _forward(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, towards_us: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await source.read(65_536):
                if towards_us and not self.answers:
                    continue
                sink.write(chunk)
                await sink.drain()
        sink.close()


@contextlib.asynccontextmanager
async def proxied(server: str) -> AsyncIterator[Proxy]:
    """Run a proxy on a free port."""
    proxy = Proxy(server)
    listening = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = listening.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        proxy.cut()
        listening.close()
        await asyncio.sleep(0.05)  # let the forwarding tasks see the end
