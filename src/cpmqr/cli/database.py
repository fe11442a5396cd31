"""What the operator's commands share: where the database and its keys are, and who asks."""

from __future__ import annotations

import getpass
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cpmqr.emv.profile import BUILT_IN, Profile
from cpmqr.errors import ConfigError
from cpmqr.keys.base import KeyEncryptionKey
from cpmqr.keys.keyring import Keyring
from cpmqr.keys.vault import Vault
from cpmqr.server import settings, wiring
from cpmqr.service.key_admin import KeyAdmin
from cpmqr.service.requestors import Requestors
from cpmqr.store import schema
from cpmqr.store.base import Actor, Store

ConfigOption = Annotated[str | None, typer.Option("--config", help="A TOML file; see docs/configuration.md.")]
DataOption = Annotated[str | None, typer.Option("--data", help="Folder of the embedded database [./var].")]
DatabaseOption = Annotated[
    str | None, typer.Option("--database", help="postgresql://… in place of the embedded SQLite.")
]
KekFileOption = Annotated[
    str | None, typer.Option("--kek-file", help="The key-encryption key [kek.key in the data folder].")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON, on stdout.")]
AfterOption = Annotated[str, typer.Option("--after", help="Continue after this entry of the page before.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=1000, help="Entries on a page.")]


class Deployment:
    """An open database, and what goes with it; keys are opened when they are asked for."""

    def __init__(self, chosen: settings.Settings, store: Store) -> None:
        self.settings = chosen
        self.store = store
        self.actor = Actor(_user(), "cli")

    @cached_property
    def kek(self) -> KeyEncryptionKey:
        """The key-encryption key.

        Raises:
            ConfigError: missing, malformed or readable by others.
        """
        return wiring.open_kek(self.settings)

    @cached_property
    def profiles(self) -> dict[str, Profile]:
        """The built-in profiles and the configured ones, by name."""
        wanted = (*BUILT_IN, *self.settings.issuing.profile_files)
        return {profile.name: profile for profile in map(Profile.load, wanted)}

    @cached_property
    def key_admin(self) -> KeyAdmin:
        """The key officer's tools over this database."""
        wiring.load_suites()
        return KeyAdmin(
            self.store,
            self.kek,
            crypto_types=self.settings.crypto_types,
            master_key_algorithms={
                name: profile.master_key_algorithm
                for name, profile in self.profiles.items()
                if profile.master_key_algorithm
            },
        )

    @cached_property
    def requestors(self) -> Requestors:
        """Requestors, authorisers and operators of this database."""
        wiring.load_suites()
        return Requestors(self.store, self.settings.crypto_types)

    async def vault(self) -> Vault:
        """Open the gateway's own keys.

        Raises:
            KeyUnavailable: one is missing or does not open.
        """
        return Vault(Keyring.open((await self.store.directory()).keys, self.kek))


class Where(msgspec.Struct, frozen=True):
    """The options that say where: each None where it was not given."""

    config: str | None = None
    data: str | None = None
    database: str | None = None
    kek_file: str | None = None


@asynccontextmanager
async def opened(where: Where, *, any_schema: bool = False, make: bool = False) -> AsyncIterator[Deployment]:
    """Open a deployment's database, and close it.

    Args:
        any_schema: take a database that is empty, or of another release.
        make: make an embedded database, and its folder, where there is none.

    Raises:
        ConfigError: no database there, or its schema is not this release's.
        StoreUnavailable: it does not answer.
    """
    chosen = settings.load(
        where.config,
        storage__data=where.data,
        storage__database=where.database,
        storage__kek_file=where.kek_file,
    )
    if make:
        Path(chosen.storage.data).mkdir(mode=0o700, parents=True, exist_ok=True)
    else:
        _refuse_missing(chosen)
    store = wiring.open_store(chosen)
    try:
        if not any_schema:
            await _refuse_other_schema(store)
        yield Deployment(chosen, store)
    finally:
        await store.close()


def _refuse_missing(chosen: settings.Settings) -> None:
    """A typing error in --data must not leave an empty database behind."""
    file = Path(chosen.storage.data) / wiring.DATABASE_FILE
    if not chosen.storage.database and not file.exists():
        raise ConfigError(
            f"there is no database {file}: `cpmqr db upgrade --data {chosen.storage.data}` makes an empty one, "
            "`cpmqr serve --sandbox` one with test tokens"
        )


async def _refuse_other_schema(store: Store) -> None:
    there, wanted = await store.schema_version(), schema.latest()
    if there < wanted:
        raise ConfigError(
            f"the schema is version {there}, this release needs {wanted}: run `cpmqr db upgrade`"
        )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return f"uid {os.getuid()}"
