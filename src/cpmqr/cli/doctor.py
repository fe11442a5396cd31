"""`cpmqr doctor`: would this deployment start, and would it serve."""

from __future__ import annotations

import asyncio
import ssl
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from cpmqr.cli import output
from cpmqr.crypto.suites import find_suite
from cpmqr.errors import ConfigError, CpmqrError
from cpmqr.keys.keyring import Keyring
from cpmqr.server import settings, wiring
from cpmqr.service.doctor import Check, check_directory
from cpmqr.store import schema

_MARK = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "error": "[red]error[/]"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    config: Annotated[str | None, typer.Option(help="The TOML file that serve would read.")] = None,
    data: Annotated[str | None, typer.Option(help="Folder of the embedded database [./var].")] = None,
    database: Annotated[
        str | None, typer.Option(help="postgresql://… in place of the embedded SQLite.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Findings as JSON.")] = False,
) -> None:
    """Check a deployment before it starts: settings, keys, database, requestors. Exit status 1 if it would not do.

    Nothing is changed, and nothing of a key is shown but its check value.
    """
    checks = asyncio.run(_checks(config, data, database))
    if as_json:
        output.print_json(msgspec.to_builtins(checks))
    else:
        _show(checks)
    if any(check.level == "error" for check in checks):
        raise typer.Exit(output.EXIT_NEGATIVE)


async def _checks(config: str | None, data: str | None, database: str | None) -> list[Check]:
    try:
        chosen = settings.load(config, storage__data=data, storage__database=database)
    except ConfigError as error:
        return [Check("error", "settings", str(error))]
    checks = [Check("ok", "settings", config or "defaults"), *_tls(chosen)]
    try:
        profiles = wiring.load_profiles(chosen)
        wiring.load_suites()
        suites = {code: find_suite(name) for code, name in chosen.crypto_types.items()}
        kek = wiring.open_kek(chosen)
    except CpmqrError as error:
        return [*checks, Check("error", type(error).__name__, str(error))]
    checks.append(Check("ok", "key-encryption key", f"check value {kek.kek_id}"))
    if not chosen.storage.database and not (Path(chosen.storage.data) / wiring.DATABASE_FILE).exists():
        return [*checks, Check("error", "database", "there is none yet", "cpmqr db upgrade")]
    try:
        store = wiring.open_store(chosen)
    except CpmqrError as error:
        return [*checks, Check("error", "database", str(error))]
    try:
        version = await store.schema_version()
        if version < schema.latest():
            advice = "cpmqr db upgrade"
            return [*checks, Check("error", "database", f"schema {version}, needs {schema.latest()}", advice)]
        checks.append(Check("ok", "database", f"schema {version}"))
        directory = await store.directory()
        keyring = Keyring.open(directory.keys, kek)
        return checks + check_directory(directory, keyring, suites, profiles, datetime.now(UTC))
    except CpmqrError as error:
        return [*checks, Check("error", "database", str(error))]
    finally:
        await store.close()


def _tls(chosen: settings.Settings) -> list[Check]:
    listen = chosen.listen
    if not listen.tls_cert_file:
        how = "a proxy in front ends TLS" if listen.behind_tls_proxy else "plain HTTP on loopback"
        return [Check("ok", "TLS", how)]
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            listen.tls_cert_file, listen.tls_key_file
        )
    except (OSError, ssl.SSLError) as error:
        return [Check("error", "TLS", f"certificate or key can't be loaded: {type(error).__name__}")]
    return [Check("ok", "TLS", listen.tls_cert_file)]


def _show(checks: list[Check]) -> None:
    console = Console(no_color=not output.colour_wanted(), width=None if sys.stdout.isatty() else 120)
    table = Table(box=None, show_header=False, pad_edge=False)
    for check in checks:
        advice = f"\n→ {check.advice}" if check.advice else ""
        table.add_row(_MARK[check.level], check.subject, f"{check.text}{advice}")
    console.print(table)
