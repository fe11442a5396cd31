"""One cluster for all failover tests: each leaves it whole."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from tests.failover import cluster as clusters
from tests.failover.cluster import Cluster
from tests.fault.deployment import Deployment

TOKENS = 20


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    absent = clusters.missing()
    assert not absent, f"not installed: {', '.join(absent)}; `make test-failover` installs what it needs"
    with (
        tempfile.TemporaryDirectory(prefix="cpmqr-failover-", ignore_cleanup_errors=True) as folder,
        clusters.running(Path(folder)) as running,
    ):
        yield running


@pytest.fixture
def deployment(cluster: Cluster, tmp_path: Path) -> Deployment:
    """A deployment in a database of its own, whose URL names both nodes."""
    cluster.wait_whole()
    name = f"cpmqr_{tmp_path.name.rpartition('_')[2]}_{id(tmp_path)}"

    async def create() -> None:
        connection = await asyncpg.connect(cluster.url("postgres"))
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()

    asyncio.run(create())
    return asyncio.run(Deployment.make(cluster.url(name), tmp_path / "deployment", tokens=TOKENS))
