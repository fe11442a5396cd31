"""From settings to a gateway that can serve: key-encryption key, database, schema, and in the sandbox its seeds."""

from __future__ import annotations

import time
from pathlib import Path

from cpmqr import sandbox
from cpmqr.errors import ConfigError
from cpmqr.server import wiring
from cpmqr.server.settings import Settings
from cpmqr.store import schema
from cpmqr.store.base import Store


async def open_gateway(settings: Settings) -> wiring.Gateway:
    """Make a gateway; its server then starts it (`server/run.py`).

    In the sandbox whatever is missing is made up first; a second start keeps what is there.

    Raises:
        ConfigError: a key file is missing or readable by others, the schema is not this release's, …
        StoreUnavailable: the database does not answer.
    """
    data = Path(settings.storage.data)
    kek = sandbox.kek(data) if settings.sandbox else wiring.open_kek(settings)
    store = wiring.open_store(settings)
    if settings.sandbox:
        await store.upgrade()
        here = base_url(settings, settings.listen.port)
        seeds = await sandbox.seed(store, kek, data, here, int(time.time()))
        return wiring.Gateway(settings, store, kek, seeds)
    await _check_schema(store)
    return wiring.Gateway(settings, store, kek)


def base_url(settings: Settings, port: int) -> str:
    """Give the URL at which a gateway with these settings is reached."""
    scheme = "https" if settings.listen.tls_cert_file else "http"
    host = settings.listen.host
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


async def _check_schema(store: Store) -> None:
    """Outside the sandbox a schema is changed by hand: an operator wants to choose the moment."""
    there, wanted = await store.schema_version(), schema.latest()
    if there < wanted:
        raise ConfigError(
            f"the database's schema is version {there}, this release needs {wanted}: run cpmqr db upgrade"
        )
