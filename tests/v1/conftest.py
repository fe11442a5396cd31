"""A live sandbox gateway, and everybody who calls `/v1`: a wallet, its server, an authoriser, an operator."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from cpmqr.client import Wallet
from cpmqr.client.authoriser import Authoriser
from cpmqr.client.endpoint import Endpoint
from cpmqr.client.issued import IssuedQrs
from cpmqr.client.operator import Operator
from cpmqr.server.wiring import DATABASE_FILE
from cpmqr.service.requestors import Requestors
from cpmqr.store.base import Actor
from cpmqr.store.sqlite import SqliteStore
from cpmqr.testing import TestGateway, gateway

REQUESTOR_ID = "42000000066"
KOREA = timezone(timedelta(hours=9))


class Sides:
    """One gateway, with a client for each side."""

    def __init__(self, running: TestGateway) -> None:
        self.running = running
        self.file: dict[str, Any] = json.loads(running.sandbox_file.read_text())
        self.http = httpx.Client(base_url=running.base_url, trust_env=False)
        self.wallet: Wallet = running.wallet()
        self.authoriser = Authoriser.from_sandbox(running.sandbox_file)
        self.operator = Operator.from_sandbox(running.sandbox_file)
        self.issued = IssuedQrs.from_sandbox(running.sandbox_file)

    def credential(self, side: str) -> dict[str, str]:
        """Give the header of a side: requestor, authoriser, operator."""
        text = self.file["authorization"] if side == "requestor" else self.file[side]["authorization"]
        return {"Authorization": text}

    def post(self, path: str, body: object, side: str = "authoriser", **headers: str) -> httpx.Response:
        """Post JSON as it is, with no client of ours between."""
        return self.http.post(path, json=body, headers=self.credential(side) | headers)

    def get(self, path: str, side: str = "operator", **headers: str) -> httpx.Response:
        """Get, likewise."""
        return self.http.get(path, headers=self.credential(side) | headers)

    def authoriser_at(self, moment: datetime) -> Authoriser:
        """Give an authoriser whose requests are judged by another clock."""
        return Authoriser(
            Endpoint(
                self.running.base_url,
                self.file["authoriser"]["authorization"],
                headers={"X-Sandbox-Now": korean(moment)},
            )
        )

    def issued_at(self, moment: datetime) -> IssuedQrs:
        """Give a wallet's server whose requests are judged by another clock."""
        headers = {"X-Sandbox-Now": korean(moment)}
        return IssuedQrs(Endpoint(self.running.base_url, self.file["authorization"], headers=headers))

    def new_pan(self, **order: Any) -> str:
        """Provision a token of its own for a test; its PAN."""
        return self.operator.provision_token(requestor_id=REQUESTOR_ID, expiry="3012", **order).pan

    def change_requestor(self, requestor_id: str = REQUESTOR_ID, **changes: Any) -> None:
        """Change a requestor on the database, as `cpmqr requestor` does beside a running gateway."""

        async def change() -> None:
            store = SqliteStore.open(self.running.sandbox_file.with_name(DATABASE_FILE))
            try:
                await Requestors(store).change(
                    Actor("test", "cli"), requestor_id, int(time.time()), **changes
                )
            finally:
                await store.close()

        asyncio.run(change())
        self.operator.resume_requestor(REQUESTOR_ID)  # whatever changes the directory reads it anew at once

    def forgeries(self) -> float:
        """Read the counter of forgery attempts."""
        lines = self.http.get("/metrics").text.splitlines()
        return next(
            float(line.split()[1]) for line in lines if line.startswith("cpmqr_forgery_attempts_total ")
        )

    def close(self) -> None:
        for client in (self.http, self.wallet, self.authoriser, self.operator, self.issued):
            client.close()


def korean(moment: datetime) -> str:
    """Write a moment as the sandbox's header takes it."""
    return moment.astimezone(KOREA).strftime("%Y%m%d%H%M%S")


@pytest.fixture(scope="session")
def sides() -> Iterator[Sides]:
    with gateway() as running:
        sides = Sides(running)
        yield sides
        sides.close()


@pytest.fixture
def pan(sides: Sides) -> str:
    """A token that no other test uses."""
    return sides.new_pan()


@pytest.fixture
def new_sides() -> Iterator[Callable[..., Sides]]:
    """Start further gateways, with settings of their own."""
    with_end = []

    def start(**overrides: object) -> Sides:
        block = gateway(**overrides)  # type: ignore[arg-type]
        sides = Sides(block.__enter__())
        with_end.append((block, sides))
        return sides

    yield start
    for block, sides in with_end:
        sides.close()
        block.__exit__(None, None, None)
