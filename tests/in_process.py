"""A whole gateway without HTTP, on a database of its own: what the tests of the service room ask."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from tests import by_hand

from cpmqr import startup
from cpmqr.server.settings import load
from cpmqr.server.wiring import Gateway
from cpmqr.service.issue import Call, Reply

Result = TypeVar("Result")
JSON_TYPE = "application/json; charset=utf-8"


class House:
    """A gateway that has started, and the wallet that its sandbox file describes."""

    def __init__(self, gateway: Gateway, wallet: by_hand.Wallet) -> None:
        self.gateway = gateway
        self.wallet = wallet
        self.replies: list[Reply] = []

    async def send(
        self,
        members: dict[str, Any] | None = None,
        *,
        body: bytes | None = None,
        authorization: str | None = "",
        content_type: str = JSON_TYPE,
        now_s: int | None = None,
        source: str = "127.0.0.1",
        sandbox_result: str = "",
    ) -> Reply:
        """Send members as they are, or whole body bytes; "" as authorization stands for the wallet's own."""
        call = Call(
            by_hand.body_of(members or {}) if body is None else body,
            self.wallet.authorization if authorization == "" else authorization,
            content_type,
            int(time.time()) if now_s is None else now_s,
            source=source,
            sandbox_result=sandbox_result,
        )
        reply = await self.gateway.issuer.answer(call)
        assert reply is not None
        self.replies.append(reply)
        return reply

    async def ask(self, **wishes: Any) -> dict[str, str]:
        """Send a good request, but for what is wished otherwise; give the answer's members."""
        return by_hand.response_of((await self.send(self.wallet.signed(**wishes))).body)

    async def code(self, **wishes: Any) -> str:
        return (await self.ask(**wishes))["RSLT_CD"]

    async def change(self, changing: Awaitable[Any]) -> None:
        """Do something to the database, and have the gateway know it."""
        await changing
        await self.gateway.access.refresh()


@functools.cache
def _seeded() -> Path:
    """The data of a sandbox that has started once: seeding it for each test would cost most of its time."""
    folder = Path(tempfile.mkdtemp(prefix="cpmqr-seeded-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)

    async def seed() -> None:
        gateway = await startup.open_gateway(load(None, sandbox=True, storage__data=str(folder)))
        await gateway.store.close()

    asyncio.run(seed())  # on a thread that has no loop
    return folder


@contextlib.asynccontextmanager
async def opened(data: Path, *, sandbox: bool = True, **overrides: Any) -> AsyncIterator[House]:
    if not (data / "sandbox.json").exists():
        shutil.copytree(await asyncio.to_thread(_seeded), data, dirs_exist_ok=True)
    settings = load(None, sandbox=sandbox, storage__data=str(data), **overrides)
    gateway = await startup.open_gateway(settings)
    await gateway.start()
    try:
        yield House(gateway, by_hand.Wallet.from_file(data / "sandbox.json"))
    finally:
        await gateway.stop()


def run(data: Path, scenario: Callable[[House], Coroutine[Any, Any, Result]], **options: Any) -> Result:
    """Open a house, let a scenario play in it, close it."""

    async def played() -> Result:
        async with opened(data, **options) as house:
            return await scenario(house)

    return asyncio.run(asyncio.wait_for(played(), 60))
