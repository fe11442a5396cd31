"""The schema: from nothing to the latest version, once, whoever asks; and a database that has none says so."""

from __future__ import annotations

import asyncio

import pytest
from tests.store.conftest import Backend
from tests.store.world import ACTOR, KEYS, NOW_S, codes, intent, requestor, token, with_tokens

from cpmqr.errors import StoreUnavailable
from cpmqr.store import schema

pytestmark = pytest.mark.anyio


async def test_an_empty_database_comes_up_to_date_and_stays_so(backend: Backend) -> None:
    store = backend.open()
    assert await store.schema_version() == 0
    assert await store.upgrade() == [step.name for step in schema.steps(schema.Dialect.SQLITE)]
    assert await store.schema_version() == schema.latest()
    assert await store.upgrade() == []
    await store.close()


async def test_two_upgrades_at_once_take_each_step_once(backend: Backend) -> None:
    stores = [backend.open() for _ in range(3)]
    taken = await asyncio.gather(*(store.upgrade() for store in stores))
    assert sorted(name for names in taken for name in names) == [
        step.name for step in schema.steps(schema.Dialect.SQLITE)
    ]
    for store in stores:
        await store.close()


async def test_what_is_stored_is_there_after_opening_again(backend: Backend) -> None:
    store = backend.open()
    await store.upgrade()
    await with_tokens(store, token(1))
    first = await store.issue([intent("T1")], KEYS)
    await store.close()
    store = backend.open()
    assert await store.upgrade() == []
    assert codes(await store.issue([intent("T1"), intent("T2")], KEYS)) == ["=1", "2"]
    assert codes(first) == ["1"]
    await store.close()


async def test_a_database_without_a_schema_says_what_to_do(backend: Backend) -> None:
    store = backend.open()
    for call in (
        store.directory_version(),
        store.issue([intent("T1")], KEYS),
        store.put_requestor(ACTOR, requestor(), NOW_S),
    ):
        with pytest.raises(StoreUnavailable, match="cpmqr db upgrade"):
            await call
    await store.close()


async def test_a_closed_store_refuses(backend: Backend) -> None:
    store = backend.open()
    await store.upgrade()
    await store.close()
    await store.close()
    for call in (store.ping(), store.issue([intent("T1")], KEYS)):
        with pytest.raises(StoreUnavailable, match="closed"):
            await call


def test_both_databases_get_the_same_steps_and_no_marker_is_left() -> None:
    sqlite, postgres = (schema.steps(dialect) for dialect in schema.Dialect)
    assert [(step.version, step.name) for step in sqlite] == [(step.version, step.name) for step in postgres]
    for step in (*sqlite, *postgres):
        for statement in step.statements:
            assert "{" not in statement
            assert "--" not in statement
