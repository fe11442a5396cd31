"""A deployment for tests: a real store in a folder, its keys, one wallet; each made anew and closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from tests.unit.keys import made

from cpmqr.emv.profile import BUILT_IN, Profile
from cpmqr.keys.keyring import Keyring
from cpmqr.keys.software import SoftwareKek
from cpmqr.keys.vault import Vault
from cpmqr.model import HashMode, Requestor, Role
from cpmqr.service.key_admin import KeyAdmin
from cpmqr.service.requestors import Requestors
from cpmqr.service.tokens import BinRange, TokenOrder, TokenRules, Tokens
from cpmqr.store.base import Actor, Store
from cpmqr.store.sqlite import SqliteStore

Result = TypeVar("Result")

NOW = made.NOON
WALLET = "42000000066"
ACTOR = Actor("test", "here")
RANGE = BinRange("535020")
MASTER_KEY_ALGORITHMS = {
    name: profile.master_key_algorithm
    for name, profile in ((name, Profile.load(name)) for name in BUILT_IN)
    if profile.master_key_algorithm
}


class Site:
    """Store, KEK, and the services over them."""

    def __init__(self, store: Store, kek: SoftwareKek) -> None:
        self.store = store
        self.kek = kek
        self.keys = KeyAdmin(store, kek, master_key_algorithms=MASTER_KEY_ALGORITHMS)
        self.requestors = Requestors(store)

    async def keyring(self) -> Keyring:
        return Keyring.open((await self.store.directory()).keys, self.kek)

    async def vault(self) -> Vault:
        return Vault(await self.keyring())

    async def tokens(self, *ranges: BinRange) -> Tokens:
        rules = TokenRules({WALLET}, tuple(BUILT_IN), ranges or (RANGE,))
        return Tokens(self.store, await self.vault(), rules)


def wallet(requestor_id: str = WALLET, role: Role = Role.REQUESTOR) -> Requestor:
    return Requestor(requestor_id, "A wallet", role, False, False, HashMode.HMAC_SHA256)


def order(**changes: object) -> TokenOrder:
    return TokenOrder(**{"requestor_id": WALLET, "expiry": "3012", **changes})  # type: ignore[arg-type]


async def furnished(store: Store) -> Site:
    """Give a site over a store, with its own keys and one wallet."""
    site = Site(store, made.kek())
    await site.keys.init(ACTOR, NOW)
    if not (await store.directory()).requestors:
        await site.requestors.create(ACTOR, wallet(), NOW)
    return site


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Site]:
    """Give a site with its own keys and one wallet, over a database file that may be there already."""
    store = SqliteStore.open(folder / "cpmqr.sqlite")
    try:
        await store.upgrade()
        yield await furnished(store)
    finally:
        await store.close()


def on_a_site(folder: Path, run: Callable[[Site], Awaitable[Result]]) -> Result:
    """Run a coroutine function on a site, and close it."""

    async def with_site() -> Result:
        async with opened(folder) as site:
            return await run(site)

    return asyncio.run(with_site())
