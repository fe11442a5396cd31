"""The command's frame: which commands there are, and what becomes of an error.

A command's module is imported when the command is asked for: `cpmqr decode` pays for no server, and a command whose
extra is not installed says so and leaves the others alone. Each module offers `register(app)`, which adds its
command, or a group of them under one noun, to a typer app.

Exit status (contract §9): 0 done, 1 a negative answer, 2 wrong usage, 3 the other side can't be reached. A fault of
ours, which none of these names, is 70 (EX_SOFTWARE).
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from cpmqr.cli import output
from cpmqr.errors import CpmqrError

# In the order of the help text. A command's module has its name, in `cpmqr.cli`.
COMMANDS: Final = (
    "serve",
    "request",
    "decode",
    "encode",
    "qr",
    "till",
    "verify",
    "explain",
    "profile",
    "requestor",
    "token",
    "key",
    "audit",
    "db",
    "doctor",
)

EXTRA_OF_PACKAGE: Final = {
    "httptools": "server",
    "prometheus_client": "server",
    "starlette": "server",
    "structlog": "server",
    "uvicorn": "server",
    "uvloop": "server",
    "asyncpg": "postgres",
    "PIL": "image",
    "zxingcpp": "image",
    "opentelemetry": "otel",
}

EXIT_FAULT_OF_OURS: Final = 70


class _Commands(TyperGroup):
    """A group whose members are imported on demand."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        for name in COMMANDS:
            self.get_command(ctx, name)
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        if cmd_name not in self.commands and cmd_name in COMMANDS:
            self.commands[cmd_name] = _load(cmd_name)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
        if args and args[0] not in COMMANDS:
            self.list_commands(ctx)  # so that "did you mean" knows them all
        return super().resolve_command(ctx, args)


def _load(name: str) -> Any:
    """Import a command's module, and give what it registers; a stand-in where its extra is not installed."""
    app = typer.Typer(rich_markup_mode="markdown")
    try:
        importlib.import_module(f"cpmqr.cli.{name}").register(app)
    except ModuleNotFoundError as error:
        missing = _missing_extra(error)
        if missing is None:
            raise
        takes_anything = {"ignore_unknown_options": True, "allow_extra_args": True}
        app.command(name, help=missing, context_settings=takes_anything)(_stand_in(missing))
    return typer.main.get_group(app).commands[name]


def _stand_in(missing: str) -> Any:
    def command() -> None:
        output.fail(missing)
        raise typer.Exit(2)

    return command


def _missing_extra(error: ModuleNotFoundError) -> str | None:
    package = (error.name or "").partition(".")[0]
    extra = EXTRA_OF_PACKAGE.get(package)
    return f"this needs an extra that is not installed: pip install 'cpmqr[{extra}]'" if extra else None


app = typer.Typer(
    name="cpmqr",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        from cpmqr import model

        build = "" if str(model.__file__).endswith(".py") else ", compiled"
        typer.echo(f"cpmqr {version('cpmqr')}{build}")
        raise typer.Exit


@app.callback()
def frame(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The token gateway behind "show the QR on your phone to pay": gateway, wallet client and EMV toolkit.

    Try it:

    - `cpmqr serve --sandbox` starts a gateway with test tokens on 127.0.0.1:8080
    - `cpmqr request` asks it for a QR, as a wallet does, and draws it here
    - `cpmqr decode hQVDUFYw…` explains any consumer-presented QR, byte by byte
    """


def main(arguments: list[str]) -> int:
    """Run one command; return its exit status. Errors of ours become a message on stderr, never a traceback."""
    output.prepare_streams()
    try:
        app(arguments, prog_name="cpmqr")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    except CpmqrError as error:
        output.report(error)
        return output.exit_status(error)
    except ModuleNotFoundError as error:
        missing = _missing_extra(error)
        if missing is None:
            return _fault_of_ours(error)
        output.fail(missing)
        return output.EXIT_USAGE
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        output.fail(f"{error.strerror or type(error).__name__}{where}")
        return output.EXIT_USAGE
    except KeyboardInterrupt:
        return 130  # as a shell says it of a program that SIGINT ended
    except Exception as error:
        if os.environ.get("CPMQR_TRACEBACK"):  # for who works on cpmqr itself
            raise
        return _fault_of_ours(error)
    return output.EXIT_DONE


def _fault_of_ours(error: Exception) -> int:
    """Name the place and the kind, and no value: an exception's text may hold what it tripped over."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    where = f" at {last.tb_frame.f_code.co_qualname} line {last.tb_lineno}" if last else ""
    output.fail(
        f"a fault of cpmqr's own: {type(error).__name__}{where}",
        "please report this line with the command that you gave (without keys and credentials)",
    )
    return EXIT_FAULT_OF_OURS


def run() -> None:
    """Be the `cpmqr` command."""
    sys.exit(main(sys.argv[1:]))
