"""What becomes of three times as much work as a gateway can do: who is answered, how soon, and what is kept.

    python -m benchmarks.overload [--postgres] [--times 3] [--seconds 20] [--connections 1000] [--json FILE]

The load is open: requests come at their own pace, whatever the answers do, over as many connections as that takes.
A latency counts from the moment at which the request was due here, so it holds the wait for a free connection; how
late this program itself was is told beside it, and spoils a run where it is much. In turn: the capacity (64
connections, each as soon as it is answered), a light load, the overload, and a light load again from the very end
of the overload. Then every request that was answered is sent once more, and has to get the same answer.

Server on one core; load, and PostgreSQL if it is asked for, on the other.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import tempfile
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import uvloop

from benchmarks import database, load, machine
from benchmarks.requests import prepare, wallet_requests

TOKENS = 2_000
LIGHT = 0.2  # of the capacity
LIGHT_S = 6.0
TICK_S = 0.001
REPEATED_MAX = 20_000  # a sample is enough beyond that


@dataclass
class Answered:
    """One request's end: which it was, status, seconds from when it was due, when, and the body."""

    number: int
    status: int
    seconds: float
    at: float
    body: bytes = field(repr=False)


class _Connection(asyncio.Protocol):
    def __init__(self, pace: OpenLoad) -> None:
        self._pace = pace
        self._buffer = b""
        self._number = -1
        self._due_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, number: int, due_at: float, request: bytes) -> None:
        self._number, self._due_at = number, due_at
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        answer = load.read_answer(self._buffer)
        if answer is None:
            return
        self._buffer = b""
        now = time.perf_counter()
        self._pace.answered(self, Answered(self._number, answer[0], now - self._due_at, now, answer[1]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._pace.lost(self)


class OpenLoad:
    """Sends at a fixed pace; a request for which no connection is free waits here, and its latency grows."""

    def __init__(self, requests: Sequence[bytes], per_second: float) -> None:
        self._requests = requests
        self._per_second = per_second
        self._idle: deque[_Connection] = deque()
        self._due: deque[tuple[int, float]] = deque()
        self._under_way = 0
        self.done: list[Answered] = []
        self.connections_lost = 0
        self.late_s: list[float] = []

    async def run(self, port: int, connections: int) -> float:
        """Send everything, and wait for what is under way; give the moment of the last sending."""
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, made = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", port)
            self._idle.append(made)
        began = time.perf_counter()
        sent = 0
        while sent < len(self._requests):
            now = time.perf_counter()
            due = min(len(self._requests), int((now - began) * self._per_second))
            if due > sent:
                self.late_s.append(now - began - sent / self._per_second)
            self._due.extend((number, now) for number in range(sent, due))
            sent = due
            self._send()
            await asyncio.sleep(TICK_S)
        ended = time.perf_counter()
        until = ended + 15
        while (self._due or self._under_way) and time.perf_counter() < until:
            await asyncio.sleep(TICK_S)
        for connection in self._idle:
            connection.transport.close()
        return ended

    def _send(self) -> None:
        while self._due and self._idle:
            number, due_at = self._due.popleft()
            self._under_way += 1
            self._idle.popleft().send(number, due_at, self._requests[number])

    def answered(self, connection: _Connection, answered: Answered) -> None:
        self._under_way -= 1
        self.done.append(answered)
        self._idle.append(connection)
        self._send()

    def lost(self, connection: _Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
        else:
            self.connections_lost += 1
            self._under_way -= 1


def drive(
    port: int, requests: Sequence[bytes], per_second: float, connections: int
) -> tuple[OpenLoad, dict[str, Any]]:
    """Run one open load; what came of it."""
    pace = OpenLoad(requests, per_second)
    began = time.perf_counter()
    with machine.instrument():
        uvloop.run(pace.run(port, connections))
    took = time.perf_counter() - began
    good = sorted(each.seconds for each in pace.done if each.status == 200)
    refused = sorted(each.seconds for each in pace.done if each.status != 200)
    codes = Counter(_code(each.body) for each in pace.done)
    return pace, {
        "offered_per_second": round(per_second),
        "answered_with_a_qr_per_second": round(len(good) / took),
        "codes": dict(sorted(codes.items())),
        "connections_lost": pace.connections_lost,
        "client_late_p99_ms": _ms(sorted(pace.late_s), 0.99),
        "p50_ms": _ms(good, 0.5),
        "p99_ms": _ms(good, 0.99),
        "p999_ms": _ms(good, 0.999),
        "refused_p99_ms": _ms(refused, 0.99),
        "p99_ms_by_second": _by_second(pace.done, began),
    }


def measure(*, postgres: bool, times: float, seconds: float, connections: int) -> dict[str, Any]:
    """Measure one gateway."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cpmqr-bench-")))
        machine.pin(1)  # a server that is started from here stays here
        url = stack.enter_context(database.server()).url if postgres else ""
        file, pans = prepare(folder, TOKENS, "bc-domestic", url)
        port = machine.free_port()
        arguments = ["serve", "--sandbox", "--data", str(folder), "--port", str(port)]
        arguments += ["--database", url] if url else []
        with contextlib.suppress(PermissionError):
            os.nice(-10)  # neighbours on the machine are not what is measured; the gateway inherits it
        stack.enter_context(machine.process("cpmqr", arguments, port, folder / "gateway.log"))
        full = load.drive(port, wallet_requests(file, pans, 25_000 * 4), seconds=4)
        capacity = full.per_second

        def made(per_second: float, for_s: float) -> list[bytes]:
            return wallet_requests(file, pans, int(per_second * for_s))

        light, after = made(LIGHT * capacity, LIGHT_S), made(LIGHT * capacity, 3)
        much = made(times * capacity, seconds)
        _, unloaded = drive(port, light, LIGHT * capacity, connections)
        before = machine.metrics(port)
        pace, overloaded = drive(port, much, times * capacity, connections)
        overloaded |= _transactions(before, machine.metrics(port))
        rest, recovered = drive(port, after, LIGHT * capacity, connections)
        kept = _repeat(port, much, pace.done, connections)
    first_s = sorted(each.seconds for each in rest.done[: int(LIGHT * capacity)])
    return {
        "database": "PostgreSQL" if postgres else "SQLite",
        "capacity_per_second": round(capacity),
        "connections": connections,
        "unloaded": unloaded,
        "overloaded": overloaded,
        "p99_ratio": round(overloaded["p99_ms"] / unloaded["p99_ms"], 2),
        "share_of_capacity_kept": round(overloaded["answered_with_a_qr_per_second"] / capacity, 2),
        "recovered": recovered,
        "p99_ms_of_the_first_second_after": _ms(first_s, 0.99),
        "answers_repeated": kept[0],
        "answers_lost_or_changed": kept[1],
    }


def _repeat(
    port: int, requests: Sequence[bytes], done: Sequence[Answered], connections: int
) -> tuple[int, int]:
    """Send what was answered once more; how many, and how many got another answer."""
    good = [each for each in done if each.status == 200][:: max(1, len(done) // REPEATED_MAX)]
    again = OpenLoad([requests[each.number] for each in good], 1_500)
    uvloop.run(again.run(port, min(connections, 64)))
    answers = {each.number: each.body for each in again.done}
    return len(good), sum(answers.get(place) != each.body for place, each in enumerate(good))


def _by_second(done: Sequence[Answered], began: float) -> list[float]:
    """Give the p99 of those that got a QR, by the second in which their requests were due."""
    seconds: dict[int, list[float]] = {}
    for each in done:
        if each.status == 200:
            seconds.setdefault(int(each.at - each.seconds - began), []).append(each.seconds)
    return [_ms(sorted(seconds[second]), 0.99) for second in sorted(seconds)]


def _transactions(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Tell from two scrapes how large transactions were, and how long they and the wait for them took."""
    count = after["cpmqr_batch_size_count"] - before["cpmqr_batch_size_count"]

    def mean(name: str) -> float:
        return (after[f"{name}_sum"] - before[f"{name}_sum"]) / count

    return {
        "batch_mean": round(mean("cpmqr_batch_size"), 1),
        "commit_mean_ms": round(1000 * mean("cpmqr_commit_seconds"), 2),
        "queue_wait_mean_ms": round(1000 * mean("cpmqr_queue_wait_seconds"), 2),
    }


def _code(body: bytes) -> str:
    return str(json.loads(body)["PAYGW"]["RESPONSE"]["RSLT_CD"])


def _ms(seconds: Sequence[float], share: float) -> float:
    return round(1000 * seconds[min(len(seconds) - 1, int(share * len(seconds)))], 2) if seconds else 0.0


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--postgres", action="store_true", help="on PostgreSQL in place of SQLite")
    options.add_argument("--times", type=float, default=3.0, help="of the capacity")
    options.add_argument("--seconds", type=float, default=20.0)
    options.add_argument("--connections", type=int, default=1_000)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    result = measure(
        postgres=given.postgres, times=given.times, seconds=given.seconds, connections=given.connections
    )
    text = json.dumps({"machine": machine.description(), "overload": result}, indent=1)
    print(text)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
