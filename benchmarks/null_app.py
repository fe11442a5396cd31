"""The null endpoint: the gateway's own server and protocol, an application that reads the body and answers at once.

python -m benchmarks.null_app PORT BYTES
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn

from cpmqr.server.protocol import bounded
from cpmqr.server.settings import Listen


def application(size: int) -> Any:
    """Make an ASGI application whose answer has `size` bytes."""
    body = b"x" * size
    headers = [(b"content-type", b"application/json; charset=utf-8"), (b"content-length", b"%d" % size)]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def main(port: int, size: int) -> None:
    """Serve on 127.0.0.1 until ended."""
    limits = Listen()
    protocol = bounded(
        header_bytes_max=limits.header_bytes_max,
        request_timeout_s=limits.request_timeout_s,
        connections_max=limits.connections_max,
    )
    uvicorn.run(
        application(size),
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
