"""What the fault tests on PostgreSQL share: a server, and a deployment on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.fault.deployment import Deployment
from tests.store.conftest import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]


@pytest.fixture
def deployment(postgres_url: str, tmp_path: Path) -> Deployment:
    """A deployment with one token, and two workers' worth of connections."""
    return asyncio.run(Deployment.make(postgres_url, tmp_path / "deployment", tokens=1))


@pytest.fixture
def make_deployment(postgres_url: str, tmp_path: Path) -> Callable[..., Deployment]:
    """Make one with as many tokens and such settings as a test wants."""

    def make(*, tokens: int = 1, **settings: str) -> Deployment:
        return asyncio.run(Deployment.make(postgres_url, tmp_path / "deployment", tokens=tokens, **settings))

    return make
