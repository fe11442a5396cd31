"""`cpmqr serve --workers 2`: one port, one database; what becomes of it when a worker or the parent dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import by_hand
from tests.fault.deployment import Deployment, Gateway, free_port
from tests.fault.wallets import Connection, Wallets, prove

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("postgres")]

WORKERS = ("--workers", "2")


def wait_for(told: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not told():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)


def has_two_workers(gateway: Gateway) -> bool:
    return len(gateway.children()) == 2 and gateway.metric("cpmqr_connections_max") == 8


def test_connections_are_dealt_out_and_one_scrape_tells_of_both_workers(deployment: Deployment) -> None:
    async def ask() -> int:
        wallets = Wallets(deployment, [gateway.port], count=16)
        wallets.start()
        await asyncio.sleep(1.5)
        await wallets.stop()
        await prove(wallets, wallets.ports)
        return len(wallets.answered)

    with deployment.serving(*WORKERS) as gateway:
        wait_for(lambda: has_two_workers(gateway), "two workers")
        one, other = gateway.children()
        before = [cpu_s(one), cpu_s(other)]
        answered = asyncio.run(ask())
        spent = [cpu_s(one) - before[0], cpu_s(other) - before[1]]
        assert min(spent) > 0.1 * max(spent), f"one worker did it all: {spent}"
        # Each was asked twice: by its wallet, and by the proof.
        assert gateway.metric('cpmqr_answers_total{code="0000"}') == 2 * answered
        assert gateway.metric("cpmqr_ready") == 1
        assert gateway.terminate() == 0


def test_a_worker_that_is_killed_is_replaced_and_nothing_answered_is_lost(deployment: Deployment) -> None:
    async def ask_while_killing(gateway: Gateway) -> int:
        wallets = Wallets(deployment, [gateway.port], count=8, pause_s=0.01)
        wallets.start()
        await asyncio.sleep(0.5)
        victim = gateway.children()[0]
        os.kill(victim, signal.SIGKILL)
        await asyncio.to_thread(wait_for, lambda: victim not in gateway.children(), "its end")
        await asyncio.to_thread(wait_for, lambda: has_two_workers(gateway), "its replacement")
        await asyncio.sleep(0.3)
        await wallets.stop()
        await prove(wallets, wallets.ports)
        return len(wallets.answered)

    with deployment.serving(*WORKERS) as gateway:
        wait_for(lambda: has_two_workers(gateway), "two workers")
        answered = asyncio.run(ask_while_killing(gateway))
        # What the dead worker counted is still in the sum; what it was answering when it died is not.
        assert 2 * answered - 8 <= gateway.metric('cpmqr_answers_total{code="0000"}') <= 2 * answered
        assert "worker ended" in gateway.told()
        assert gateway.terminate() == 0


def test_sigterm_under_load_drains_both_workers_and_ends_with_status_0(deployment: Deployment) -> None:
    async def ask_until_it_ends(gateway: Gateway) -> set[str]:
        wallets = Wallets(deployment, [gateway.port], count=16)
        wallets.start()
        await asyncio.sleep(1.0)
        os.kill(gateway.pid, signal.SIGTERM)
        assert await asyncio.to_thread(gateway.wait) == 0
        gateway.restart()  # for who was turned away, and for the proof
        await asyncio.to_thread(gateway.wait_ready)
        codes = set(wallets.codes())
        await wallets.stop()
        await prove(wallets, wallets.ports)
        return codes

    with deployment.serving(*WORKERS) as gateway:
        wait_for(lambda: has_two_workers(gateway), "two workers")
        assert asyncio.run(ask_until_it_ends(gateway)) <= {"0000", "lost"}
        assert gateway.terminate() == 0


def test_workers_whose_parent_is_killed_end_by_themselves_and_free_the_port(deployment: Deployment) -> None:
    with deployment.serving(*WORKERS) as gateway:
        wait_for(lambda: has_two_workers(gateway), "two workers")
        workers = gateway.children()
        gateway.kill()
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the workers' end")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", gateway.port))


def test_a_second_start_on_the_same_port_is_refused_in_words(deployment: Deployment) -> None:
    with deployment.serving(*WORKERS) as gateway, contextlib.ExitStack() as stack:
        second = Gateway(deployment, gateway.port, *WORKERS)
        stack.callback(second.kill)
        assert second.wait() == 2
        assert f"can't listen on 127.0.0.1:{gateway.port}" in second.told()
        assert gateway.get("/readyz")[0] == 200


def test_a_sandbox_with_workers_is_seeded_once_and_shows_its_first_qr(
    postgres_url: str, tmp_path: Path
) -> None:
    port = free_port()
    command = [sys.executable, "-m", "cpmqr", "serve", "--sandbox", "--first-qr", "--database", postgres_url]
    log = tmp_path / "log"
    with log.open("wb") as written:
        service = subprocess.Popen(
            [*command, "--data", str(tmp_path / "var"), "--port", str(port), *WORKERS],
            stdout=written,
            stderr=written,
        )
    try:
        wait_for(lambda: "Credentials and keys" in log.read_text(), "the welcome", 30)
        assert "got this QR" in log.read_text()
        known = json.loads((tmp_path / "var" / "sandbox.json").read_text())
        assert known["base_url"] == f"http://127.0.0.1:{port}"
        wallet = by_hand.Wallet(known)
        answered = [asyncio.run(_ask(port, wallet)) for _ in range(8)]  # each over a connection of its own
        assert [by_hand.atc_of(each["CPMQR_DATA"]) for each in answered] == list(
            range(2, 10)
        )  # 1 was the first QR's
    finally:
        service.terminate()
        assert service.wait(30) == 0


async def _ask(port: int, wallet: by_hand.Wallet) -> dict[str, str]:
    connection = Connection()
    code, response = await connection.ask(port, wallet.authorization, by_hand.body_of(wallet.signed()))
    connection.close()
    assert code == "0000"
    return response


def cpu_s(pid: int) -> float:
    """Seconds that a process has spent computing."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
