"""SIGKILL of gateways under load, two at once on one PostgreSQL: nothing answered is lost, no counter is used twice."""

from __future__ import annotations

import asyncio
import os
import platform
import random
import time
from collections.abc import Callable

import pytest
from tests.fault import report
from tests.fault.deployment import Deployment, Gateway
from tests.fault.wallets import Proof, Wallets, prove

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("postgres"), pytest.mark.timeout(600)]

KILLS = int(os.environ.get("CPMQR_CRASH_KILLS", "8"))  # `make test-crash` sets 50
WALLETS = 8
TOKENS = 3  # few, so that wallets of both gateways meet on one token all the time
BETWEEN_KILLS_S = (0.05, 0.6)


async def _kill_under_load(deployment: Deployment, gateways: list[Gateway]) -> tuple[Wallets, Proof, float]:
    wallets = Wallets(deployment, [each.port for each in gateways], count=WALLETS, pause_s=0.01)
    moments = random.Random(KILLS)
    wallets.start()
    began = time.monotonic()
    for number in range(KILLS):
        await asyncio.sleep(moments.uniform(*BETWEEN_KILLS_S))
        victim = gateways[number % 2]
        victim.kill()
        victim.restart()
        await asyncio.to_thread(victim.wait_ready)
    took_s = time.monotonic() - began
    await wallets.stop()
    return wallets, await prove(wallets, wallets.ports), took_s


def test_two_gateways_killed_again_and_again_lose_no_answer_and_use_no_counter_twice(
    make_deployment: Callable[..., Deployment],
) -> None:
    deployment = make_deployment(tokens=TOKENS)
    with deployment.serving() as one, deployment.serving() as other:
        wallets, proof, took_s = asyncio.run(_kill_under_load(deployment, [one, other]))
        for gateway in (one, other):
            assert gateway.terminate() == 0
            assert '"event":"incident"' not in gateway.told()
    figures = {
        "gateways killed (SIGKILL)": f"{KILLS} times in {took_s:.0f} s",
        "issues answered, each found again by its retry": proof.answered,
        "of these, answered at a repeat": proof.repeated,
        "connections lost under a request": proof.lost_answers,
        "counters used twice, or skipped": 0,
    }
    (server,) = asyncio.run(deployment.rows("SHOW server_version"))
    versions = {"PostgreSQL": server[0].split()[0], "Python": platform.python_version()}
    report.write("crash", figures, versions)
    assert proof.answered > 20 * KILLS
    assert proof.repeated >= KILLS  # each kill hit requests under way
    assert set(wallets.codes()) <= {"0000", "9001", "9003", "lost"}
