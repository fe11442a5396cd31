"""Issues without end and says so line by line, until it is killed. Run by test_crash.py in a process of its own."""

from __future__ import annotations

import asyncio
import sys

from tests.store.conftest import Backend
from tests.store.world import KEYS, intent

from cpmqr.store.base import Issued


async def main(kind: str, location: str, name: str) -> None:
    """Print `trace_no token atc` for each outcome, after the store has answered it."""
    store = Backend(kind, location).open()

    async def lane(number: int) -> None:
        for round_ in range(1_000_000):
            batch = [intent(f"{name}-{number}-{round_}-{n}", 1 + (n + round_) % 8) for n in range(8)]
            for each, outcome in zip(batch, await store.issue(batch, KEYS), strict=True):
                assert isinstance(outcome, Issued)
                print(each.trace_no, outcome.token_id, outcome.atc)
            sys.stdout.flush()

    await asyncio.gather(lane(0), lane(1))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
