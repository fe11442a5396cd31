"""`cpmqr audit`: read the audit, and check that no line was changed or taken out."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Final

import typer

from cpmqr.cli import output
from cpmqr.cli.database import (
    ConfigOption,
    DatabaseOption,
    DataOption,
    JsonOption,
    LimitOption,
    Where,
    opened,
)
from cpmqr.cli.records import audit_record, show, show_page
from cpmqr.errors import ConfigError
from cpmqr.store.base import AuditStore
from cpmqr.store.chain import BEFORE_THE_FIRST, Break, find_break

_COLUMNS: Final = ("seq", "at", "actor", "source", "action", "subject", "detail")
_PAGE: Final = 1_000
_NOTED: Final = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        help="Who did what to which token, key or requestor, when, from where.", no_args_is_help=True
    )
    group.command("list")(list_lines)
    group.command("verify")(verify)
    app.add_typer(group, name="audit")


def list_lines(
    after: Annotated[int, typer.Option(min=0, help="Lines above this number.")] = 0,
    limit: LimitOption = 100,
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """List lines in their order."""

    async def run() -> None:
        async with opened(Where(config, data, database)) as deployment:
            lines = await deployment.store.audit_page(after=after, limit=limit)
        next_after = lines[-1].seq if len(lines) == limit else None
        show_page("lines", list(map(audit_record, lines)), _COLUMNS, as_json, next_after)

    asyncio.run(run())


def verify(
    noted: Annotated[
        str | None,
        typer.Option(help="SEQ:CHAIN, as an earlier run printed it: that line must still be there."),
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check the whole chain; exit 1 where it breaks. Note the head that it prints somewhere else."""
    expected = _read_noted(noted) if noted else None

    async def run() -> tuple[Break | None, int, bytes]:
        async with opened(Where(config, data, database)) as deployment:
            return await _verify(deployment.store, expected)

    found, seq, chain = asyncio.run(run())
    if found is None:
        show({"valid": True, "lines": seq, "head": f"{seq}:{chain.hex()}"}, as_json)
        return
    show({"valid": False, "line": found.seq, "what": found.what}, as_json)
    raise typer.Exit(output.EXIT_NEGATIVE)


async def _verify(store: AuditStore, expected: tuple[int, bytes] | None) -> tuple[Break | None, int, bytes]:
    """Follow the chain to the head that the database names, and past the line that was noted."""
    head_seq, head_chain = await store.audit_head()
    seq, chain = 0, BEFORE_THE_FIRST
    noted_chain: bytes | None = None
    while lines := await store.audit_page(after=seq, limit=_PAGE):
        found = find_break(lines, after_seq=seq, after_chain=chain)
        if found is not None:
            return found, seq, chain
        if expected is not None and seq < expected[0] <= lines[-1].seq:
            noted_chain = lines[expected[0] - seq - 1].chain
        seq, chain = lines[-1].seq, lines[-1].chain
    if seq < head_seq or (seq == head_seq and chain != head_chain):
        return Break(seq + 1, "lines at the end are missing"), seq, chain
    if expected is not None and noted_chain != expected[1]:
        return Break(expected[0], "it is not the line that was noted: the audit was rewritten"), seq, chain
    return None, seq, chain


def _read_noted(text: str) -> tuple[int, bytes]:
    match = _NOTED.fullmatch(text)
    if match is None:
        raise ConfigError("--noted: SEQ:CHAIN, as `cpmqr audit verify` prints its head")
    return int(match[1]), bytes.fromhex(match[2])
