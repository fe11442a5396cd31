"""The loss of the primary database under load: killed, frozen, or cut off from its cluster and still alive.

What is proved each time, from the wallets' own notes: every answered issue is there, and gets the same answer again;
every counter of every token was used once; nobody was told of an internal error.
"""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg
import pytest
from tests.failover import cluster as clusters
from tests.failover.cluster import Cluster, Node
from tests.fault import report
from tests.fault.deployment import Deployment, Gateway
from tests.fault.wallets import REPEAT, Connection, Proof, Wallets, prove

pytestmark = [pytest.mark.failover, pytest.mark.timeout(1800)]

KILLS = int(os.environ.get("CPMQR_FAILOVER_KILLS", "5"))
WALLETS = 12
STEADY_S = 4.0
LOCK_COMPARED = (3, 0, 3)
"""From this version on Patroni looks whose its lock is before it renews it."""

Change = Callable[[Node], None]


@dataclass
class Loss:
    """One loss of the primary, in seconds from its moment: a new primary, a whole cluster, the longest silence."""

    promoted_s: float
    whole_s: float
    gap_s: float


@dataclass
class Story:
    """What a load saw."""

    losses: list[Loss]
    codes: dict[str, int]
    proof: Proof
    seconds: float


async def _lose_primary(cluster: Cluster, wallets: Wallets, lose: Change, bring_back: Change) -> Loss:
    """Lose the primary, wait for the other node to take over, bring the lost one back, wait until all is well."""
    lost = await asyncio.to_thread(cluster.wait_whole)
    began = time.monotonic()
    await asyncio.to_thread(lose, lost)
    await asyncio.to_thread(cluster.wait_primary, cluster.other(lost))
    promoted_s = time.monotonic() - began
    await asyncio.to_thread(bring_back, lost)
    await asyncio.to_thread(cluster.wait_whole)
    whole_s = time.monotonic() - began
    await asyncio.sleep(STEADY_S)
    gaps = wallets.gaps(began, time.monotonic())
    assert gaps[-1] < STEADY_S, "the gateways do not serve although the database does"
    return Loss(promoted_s, whole_s, max(gaps))


def under_load(
    cluster: Cluster, deployment: Deployment, lose: Change, bring_back: Change, times: int
) -> Story:
    """Lose the primary so many times while two gateways serve; what was answered is proved to be there."""

    async def played(gateways: list[Gateway]) -> Story:
        wallets = Wallets(deployment, [each.port for each in gateways], count=WALLETS, pause_s=0.02)
        began = time.monotonic()
        wallets.start()
        try:
            await asyncio.sleep(STEADY_S)
            losses = [await _lose_primary(cluster, wallets, lose, bring_back) for _ in range(times)]
        finally:
            await wallets.stop()
        seconds = time.monotonic() - began
        return Story(losses, dict(wallets.codes()), await prove(wallets, wallets.ports), seconds)

    with deployment.serving() as one, deployment.serving() as other:
        story = asyncio.run(played([one, other]))
        for gateway in (one, other):
            assert gateway.terminate() == 0
            assert '"event":"incident"' not in gateway.told()
    assert story.codes.keys() <= {"0000", "9001", "9003", "lost"}
    return story


def test_a_primary_killed_again_and_again_loses_no_answered_issue(
    cluster: Cluster, deployment: Deployment
) -> None:
    story = under_load(cluster, deployment, Node.kill, Node.start, KILLS)
    gaps = [loss.gap_s for loss in story.losses]
    figures = {
        "primary and its Patroni killed (SIGKILL)": f"{KILLS} times in {story.seconds:.0f} s",
        "issues answered, each found again by its retry": story.proof.answered,
        "of these, answered at a repeat": story.proof.repeated,
        "counters used twice, or skipped": 0,
        "a new primary after, s": _longest_and_median([loss.promoted_s for loss in story.losses]),
        "the killed node back as a standby after, s": _longest_and_median(
            [loss.whole_s for loss in story.losses]
        ),
        "gap in service (no request answered with success), s": _longest_and_median(gaps),
        "answers on the way": ", ".join(f"{code}: {count}" for code, count in sorted(story.codes.items())),
    }
    report.write("failover", figures, _versions(deployment))
    assert len(gaps) == KILLS
    assert story.proof.answered > 100 * KILLS
    assert story.proof.tokens == len(deployment.pans)


def test_a_frozen_primary_is_left_for_the_new_one(cluster: Cluster, deployment: Deployment) -> None:
    if clusters.patroni_version() < LOCK_COMPARED:
        pytest.skip("this Patroni takes its lock back when it is thawed (patroni/patroni#2689)")
    story = under_load(cluster, deployment, Node.freeze, Node.thaw, 1)
    assert story.proof.answered > 100


def test_an_old_primary_that_lives_on_without_its_cluster_answers_nothing(
    cluster: Cluster, deployment: Deployment
) -> None:
    story = under_load(cluster, deployment, Node.kill_patroni, Node.start, 1)
    assert story.proof.answered > 100


def test_a_retry_is_not_answered_while_no_standby_confirms(cluster: Cluster, deployment: Deployment) -> None:
    async def scenario(gateway: Gateway) -> None:
        wallets = Wallets(deployment, [gateway.port], count=1)
        wallets.start()
        await asyncio.sleep(0.5)
        await wallets.stop()
        first, connection = wallets.answered[0], Connection()

        async def repeat() -> tuple[str, dict[str, str]]:
            return await connection.ask(gateway.port, deployment.wallet.authorization, wallets.body_of(first))

        standby = cluster.other(await asyncio.to_thread(cluster.wait_whole))
        standby.freeze()
        try:
            await asyncio.sleep(0.2)
            code, _ = await repeat()
            assert code == "9003"
        finally:
            standby.thaw()
        while (told := await repeat())[0] in REPEAT:
            await asyncio.sleep(0.2)
        assert told == ("0000", first.answer)
        connection.close()

    with deployment.serving() as gateway:
        asyncio.run(asyncio.wait_for(scenario(gateway), 60))


def _longest_and_median(seconds: list[float]) -> str:
    return f"longest {max(seconds):.1f}, median {statistics.median(seconds):.1f}"


def _versions(deployment: Deployment) -> dict[str, str]:
    def told(*command: str) -> str:
        return (
            subprocess.run(command, capture_output=True, text=True, check=True)
            .stdout.split("\n")[0]
            .split()[-1]
        )

    (row,) = asyncio.run(deployment.rows("SHOW server_version"))
    return {
        "PostgreSQL": row["server_version"].split()[0],
        "Patroni": told(clusters.PATRONI, "--version"),
        "etcd": told("etcd", "--version"),
        "asyncpg": asyncpg.__version__,
        "Python": platform.python_version(),
    }
