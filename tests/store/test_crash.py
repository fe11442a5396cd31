"""The process is killed in the middle of its batches: what was answered is there, and no counter was used twice."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import pytest
from tests.store.conftest import Backend
from tests.store.world import KEYS, intent, token, with_tokens

from cpmqr.store.base import Issued, Store

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

KILLS = 6
ROOT = Path(__file__).parents[2]


async def run_and_kill(backend: Backend, name: str, after_s: float) -> list[str]:
    """Let a victim work for a while, kill it, and give the whole lines that it got out."""
    victim = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.store.crash_victim",
        backend.kind,
        str(backend.location),
        name,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert victim.stdout is not None
    first = await victim.stdout.readline()  # it has begun
    reading = asyncio.ensure_future(victim.stdout.read())
    await asyncio.sleep(after_s)
    victim.kill()
    rest = await reading
    await victim.wait()
    return (first + rest).decode().splitlines()[:-1]


async def test_nothing_answered_is_lost_and_no_counter_is_used_twice(backend: Backend, store: Store) -> None:
    await with_tokens(store, *(token(number) for number in range(1, 9)))
    chance = random.Random(7)
    lines = [
        line
        for kill in range(KILLS)
        for line in await run_and_kill(backend, f"k{kill}", chance.uniform(0.05, 0.3))
    ]
    answered = {trace_no: (int(token_id), int(atc)) for trace_no, token_id, atc in map(str.split, lines)}
    assert len(answered) > KILLS * 8
    assert len(set(answered.values())) == len(answered)
    traces = list(answered)
    for start in range(0, len(traces), 500):
        batch = [intent(trace_no, answered[trace_no][0]) for trace_no in traces[start : start + 500]]
        for each, outcome in zip(batch, await store.issue(batch, KEYS), strict=True):
            assert isinstance(outcome, Issued)
            assert outcome.repeated
            assert (outcome.token_id, outcome.atc) == answered[each.trace_no]
    for number in range(1, 9):
        found = await store.token(number)
        assert found is not None
        assert await store.issue_of(number, found.atc) is not None
        assert await store.issue_of(number, found.atc + 1) is None
