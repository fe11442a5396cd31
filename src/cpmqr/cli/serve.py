"""`cpmqr serve`: run the gateway; in the sandbox, make up all that a newcomer needs and show a first QR."""

from __future__ import annotations

import asyncio
import functools
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer
import uvloop

from cpmqr import sandbox, startup
from cpmqr.cli import output
from cpmqr.errors import ConfigError
from cpmqr.server import run, settings, supervisor

if TYPE_CHECKING:
    from cpmqr.client import QrData


# -P: what lies in the working directory is not imported.
_WORKER: Final = (sys.executable, "-P", "-m", "cpmqr.cli.worker")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(
    sandbox_mode: Annotated[
        bool, typer.Option("--sandbox", help="Make up credentials, keys and tokens on the first start.")
    ] = False,
    config: Annotated[str | None, typer.Option(help="A TOML file; see docs/configuration.md.")] = None,
    data: Annotated[str | None, typer.Option(help="Folder of the embedded database [./var].")] = None,
    database: Annotated[
        str | None, typer.Option(help="postgresql://… in place of the embedded SQLite.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on [127.0.0.1].")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port [8080]; 0 takes a free one.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Processes; more than 1 need PostgreSQL.")
    ] = None,
    first_qr: Annotated[
        bool, typer.Option("--first-qr", help="Ask for one QR as a wallet, and draw it.")
    ] = False,
) -> None:
    """Run the gateway. SIGTERM or Ctrl-C ends it once all that is under way has been answered.

    - `cpmqr serve --sandbox` needs nothing but this line
    - `cpmqr serve --config /etc/cpmqr.toml` runs a deployment; try `cpmqr doctor` on it first
    """
    chosen = settings.load(
        config,
        sandbox=sandbox_mode or None,
        storage__data=data,
        storage__database=database,
        listen__host=host,
        listen__port=port,
        listen__workers=workers,
    )
    if first_qr and not chosen.sandbox:
        raise ConfigError("--first-qr goes with --sandbox: outside it there is no wallet to be")
    startup.configure_logs(chosen)
    # A taken port is told before anything is made, and in words.
    supervisor.bound_socket(chosen.listen).close()
    if chosen.listen.workers > 1:
        raise typer.Exit(uvloop.run(_serve_with_workers(chosen, first_qr)))
    uvloop.run(_serve(chosen, first_qr))


async def _serve(chosen: settings.Settings, first_qr: bool) -> None:
    gateway = await startup.open_gateway(chosen)
    startup.spare_collector()
    await run.server(gateway, functools.partial(_started, chosen, first_qr)).serve()


async def _serve_with_workers(chosen: settings.Settings, first_qr: bool) -> int:
    kept = supervisor.bound_socket(chosen.listen, shared=True)
    port: int = kept.getsockname()[1]
    chosen = msgspec.structs.replace(chosen, listen=msgspec.structs.replace(chosen.listen, port=port))
    await startup.prepare(chosen)
    started = functools.partial(_started, chosen, first_qr, port)
    return await supervisor.Supervisor(_WORKER, chosen, kept, started).run()


async def _started(chosen: settings.Settings, first_qr: bool, port: int) -> None:
    base_url = startup.base_url(chosen, port)
    if not chosen.sandbox:
        output.note(f"cpmqr serves {base_url}/paygw/cpmqrdatareq")
        return
    file = Path(chosen.storage.data) / sandbox.FILE_NAME
    sandbox.set_base_url(file, base_url)
    if first_qr:
        await asyncio.get_running_loop().run_in_executor(None, _show_first_qr, file)
    print(_welcome(base_url, file), flush=True)


def _show_first_qr(file: Path) -> None:
    """Be a wallet once, over HTTP like any other, and say what to try with the result."""
    from cpmqr.client import Wallet

    pan = sandbox.read(file).tokens[0].pan
    with Wallet.from_sandbox(file) as wallet:
        qr = wallet.request_qr(pan=pan)
        curl = wallet.prepare(pan=pan).curl(reveal=True)
    print(qr.terminal())
    print(f"""
A wallet asked this gateway over HTTP, and got this QR: a till can scan it for {_seconds_left(qr)} s.

Try next, in another terminal:

# explain this QR, byte by byte
{_command()} decode {qr.base64}

# ask for a new one, as a wallet does
{_command()} request --sandbox-file {file}

# the same by hand (the request time in it is good for five minutes; `request --curl` makes a new one)
{curl}
""")


def _seconds_left(qr: QrData) -> int:
    """How long a QR is good for from now, in whole seconds."""
    return max(0, round((qr.expires_at - datetime.now(UTC)).total_seconds()))


def _welcome(base_url: str, file: Path) -> str:
    return f"""cpmqr sandbox on {base_url}

  Console, in a browser   {base_url}/
  A QR in a terminal      {_command()} request --sandbox-file {file}
  Credentials and keys    {file}

Ctrl-C ends it; the next start keeps what is there."""


def _command() -> str:
    """Name this program as the shell can find it: from a checkout it is not on the PATH."""
    if shutil.which("cpmqr"):
        return "cpmqr"
    return "python -m cpmqr" if Path(sys.argv[0]).name == "__main__.py" else sys.argv[0]
