"""What lies in the database: search all of it for what must never be there in clear."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest
from tests.store.conftest import Backend
from tests.store.world import ACTOR, NOW_S, intent, issue_one, token, with_tokens
from tests.unit.keys import made

from cpmqr.keys.vault import Vault
from cpmqr.model import TokenState
from cpmqr.store.base import ClaimIntent, Store

pytestmark = pytest.mark.anyio

PAN = "5350206900000066"


async def whole_life(store: Store, vault: Vault) -> None:
    """A token with a real seal is issued on, claimed, suspended and sealed anew."""
    sealed, version = vault.seal(PAN, 1)
    await with_tokens(store, token(1, pan_index=vault.index(PAN), pan_sealed=sealed, vault_key_ver=version))
    await issue_one(store, intent("T1", pan_index=vault.index(PAN), digest=vault.digest(PAN.encode())))
    await store.claim([ClaimIntent("authoriser", "A1", b"d" * 16, NOW_S, 1, 1, "", b"{}")])
    await store.set_token_state(ACTOR, 1, TokenState.SUSPENDED, [TokenState.ACTIVE], NOW_S)
    await store.reseal_tokens([(1, version, vault.seal(PAN, 1)[0], version)])


async def everything(backend: Backend) -> bytes:
    """Give the database as an intruder would read it: the files, or every row of every table."""
    if backend.kind == "sqlite":
        return b"".join(file.read_bytes() for file in Path(backend.location).parent.iterdir())
    connection = await asyncpg.connect(backend.location)
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    rows = [await connection.fetch(f"SELECT each::text FROM {name} AS each") for (name,) in tables]
    await connection.close()
    return "\n".join(row[0] for table in rows for row in table).encode()


async def test_no_pan_and_no_key_lies_in_the_database_in_clear(backend: Backend, store: Store) -> None:
    await whole_life(store, Vault(made.own_keyring()))
    content = await everything(backend)
    assert b"535020******0066" in content, "the search works"
    keys = [made.key_bytes(f"{purpose}   1") for purpose, _ in made.OWN]
    for secret in (PAN.encode(), bytes.fromhex(PAN), *keys):
        assert secret not in content
        assert secret.hex().encode() not in content
