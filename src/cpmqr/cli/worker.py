"""One of several workers: `python -m cpmqr.cli.worker DESCRIPTOR`, started by `server/supervisor.py` alone.

The descriptor is that of the socket to listen on; standard input brings the settings, and its end says
that the parent is gone.
"""

from __future__ import annotations

import asyncio
import socket
import sys

import msgspec
import uvloop

from cpmqr import startup
from cpmqr.cli import output
from cpmqr.errors import CpmqrError
from cpmqr.server import run
from cpmqr.server.settings import Settings
from cpmqr.server.supervisor import READY_LINE


def main() -> int:
    """Serve until SIGTERM, or until the parent is gone; return the exit status."""
    settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=Settings)
    startup.configure_logs(settings)
    try:
        uvloop.run(_serve(settings, socket.socket(fileno=int(sys.argv[1]))))
    except CpmqrError as error:
        output.report(error)
        return output.exit_status(error)
    return output.EXIT_DONE


async def _serve(settings: Settings, own: socket.socket) -> None:
    gateway = await startup.open_gateway(settings, prepared=True)
    startup.spare_collector()
    server = run.server(gateway, _say_ready)

    def drain() -> None:
        asyncio.get_running_loop().remove_reader(sys.stdin)
        server.should_exit = True

    asyncio.get_running_loop().add_reader(sys.stdin, drain)  # nothing more is ever sent: this is its end
    await server.serve([own])


async def _say_ready(_port: int) -> None:
    sys.stdout.buffer.write(READY_LINE)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
