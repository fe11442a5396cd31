"""`cpmqr db`: the schema's state and steps, and the removal of what is old."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Final

import typer

from cpmqr.cli import output
from cpmqr.cli.database import ConfigOption, DatabaseOption, DataOption, JsonOption, Where, opened
from cpmqr.cli.records import show
from cpmqr.store import schema

_DAY_S: Final = 86_400
_STEP_ROWS: Final = 500  # a lock of a few milliseconds at a time, so that a gateway goes on serving
_PAUSE_S: Final = 0.05


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="The database: schema and retention.", no_args_is_help=True)
    group.command("upgrade")(upgrade)
    group.command("status")(status)
    group.command("purge")(purge)
    app.add_typer(group, name="db")


def upgrade(
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the schema up to date; an empty or missing database is made. Safe to repeat, and while gateways serve."""

    async def run() -> None:
        async with opened(Where(config, data, database), any_schema=True, make=True) as deployment:
            steps = await deployment.store.upgrade()
            days = await deployment.store.prepare_days(int(time.time()))
            version = await deployment.store.schema_version()
        show({"schema_version": version, "steps": steps, "days": days}, as_json)

    asyncio.run(run())


def status(
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell the schema's version; exit 1 where it is not this release's."""

    async def run() -> tuple[int, int]:
        async with opened(Where(config, data, database), any_schema=True) as deployment:
            await deployment.store.ping()
            return await deployment.store.schema_version(), schema.latest()

    there, wanted = asyncio.run(run())
    show({"schema_version": there, "wanted": wanted, "up_to_date": there == wanted}, as_json)
    if there != wanted:
        raise typer.Exit(output.EXIT_NEGATIVE)


def purge(
    # A trace number is unique for at least 24 hours (contract §5), and a day's clock may be off.
    older_than_days: Annotated[int, typer.Option(min=2, max=3650, help="Remove what is older.")],
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove old issues, trace numbers, verifications and delivered events, in small steps beside the gateway."""

    async def run() -> int:
        before_s = int(time.time()) - older_than_days * _DAY_S
        removed = 0
        async with opened(Where(config, data, database)) as deployment:
            while went := await deployment.store.purge(before_s, _STEP_ROWS):
                removed += went
                await asyncio.sleep(_PAUSE_S)
        return removed

    show({"removed": asyncio.run(run())}, as_json)
