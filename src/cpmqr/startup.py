"""From settings to a gateway that can serve: key-encryption key, database, schema, and in the sandbox its seeds."""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path
from typing import Final

from cpmqr import sandbox
from cpmqr.errors import ConfigError
from cpmqr.keys.base import KeyEncryptionKey
from cpmqr.server import logs, wiring
from cpmqr.server.settings import Settings
from cpmqr.store import schema
from cpmqr.store.base import Store

# New objects between two looks of the garbage collector. A request's own, some hundred, go by their reference counts;
# at CPython's 700 it looked every few requests, and found nothing.
YOUNG_OBJECTS: Final = 50_000


def configure_logs(settings: Settings) -> None:
    """Set this process's logs up: JSON lines, or coloured ones where a person plays with the sandbox."""
    logs.configure(settings.logging.level, for_people=settings.sandbox and sys.stderr.isatty())


def spare_collector() -> None:
    """Have the garbage collector leave alone what start-up has made; for a process that does nothing but serve.

    That lives as long as the process. The collector goes on, seldomer (6 % of a request's time, docs/performance.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 100)


async def open_gateway(settings: Settings, *, prepared: bool = False) -> wiring.Gateway:
    """Make a gateway; its server then starts it (`server/run.py`).

    In the sandbox whatever is missing is made up first; a second start keeps what is there.

    Args:
        prepared: `prepare` has been called, by the process that started this one.

    Raises:
        ConfigError: a key file is missing or readable by others, the schema is not this release's, …
        StoreUnavailable: the database does not answer.
        KeyUnavailable: the keys in it do not open with this key-encryption key.
    """
    kek, store = _open(settings)
    try:
        gateway = await _make_gateway(settings, store, kek, prepared)
        # Its server would do it too, and make a traceback of a failure.
        await gateway.access.refresh()
    except BaseException:
        await store.close()
        raise
    return gateway


async def prepare(settings: Settings) -> None:
    """Do what has to be done once before several workers start: the sandbox's seeds; elsewhere only look.

    Raises:
        ConfigError, StoreUnavailable: as `open_gateway`, which would fail in each worker.
    """
    kek, store = _open(settings)
    try:
        if settings.sandbox:
            await _seed(settings, store, kek)
        else:
            await _check_schema(store)
    finally:
        await store.close()


def base_url(settings: Settings, port: int) -> str:
    """Give the URL at which a gateway with these settings is reached."""
    scheme = "https" if settings.listen.tls_cert_file else "http"
    host = settings.listen.host
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _open(settings: Settings) -> tuple[KeyEncryptionKey, Store]:
    data = Path(settings.storage.data)
    return sandbox.kek(data) if settings.sandbox else wiring.open_kek(settings), wiring.open_store(settings)


async def _make_gateway(
    settings: Settings, store: Store, kek: KeyEncryptionKey, prepared: bool
) -> wiring.Gateway:
    if not settings.sandbox:
        await _check_schema(store)
        return wiring.Gateway(settings, store, kek)
    file = Path(settings.storage.data) / sandbox.FILE_NAME
    seeds = sandbox.read(file) if prepared else await _seed(settings, store, kek)
    return wiring.Gateway(settings, store, kek, seeds)


async def _seed(settings: Settings, store: Store, kek: KeyEncryptionKey) -> sandbox.SandboxFile:
    await store.upgrade()
    here = base_url(settings, settings.listen.port)
    return await sandbox.seed(store, kek, settings.storage.data, here, int(time.time()))


async def _check_schema(store: Store) -> None:
    """Outside the sandbox a schema is changed by hand: an operator wants to choose the moment."""
    there, wanted = await store.schema_version(), schema.latest()
    if there < wanted:
        raise ConfigError(
            f"the database's schema is version {there}, this release needs {wanted}: run cpmqr db upgrade"
        )
