"""Wallets that never give up, and what they remember: the load of the crash and failover tests, and the proof.

Each wallet asks for one QR after another, and repeats a request with the same trace number until it is answered. What
was answered is written down as it came. The proof then holds these notes against the gateways and the database.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests import by_hand
from tests.fault.deployment import Deployment

# Nothing was stored, or nobody knows: the catalogue says to ask again. No other answer may come.
REPEAT = {"9001", "9003"}
LOST = "lost"  # no answer: the connection broke, or could not be made
ATTEMPT_S_MAX = 15.0
PAUSE_S = 0.02


@dataclass
class Asked:
    """One request and what became of it."""

    pan: str
    trace_no: str
    time: str
    codes: list[str] = field(default_factory=list)
    answer: dict[str, str] | None = None
    answered_at: float = 0.0


class Wallets:
    """So many wallets of one requestor, over the gateways at some ports; `ports` may change while they run."""

    def __init__(self, deployment: Deployment, ports: list[int], *, count: int, pause_s: float = 0.0) -> None:
        self.deployment = deployment
        self.ports = ports
        self.asked: list[Asked] = []
        self._count = count
        self._pause_s = pause_s
        self._pans = itertools.cycle(deployment.pans)
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._wallet(number)) for number in range(self._count)]

    async def stop(self) -> None:
        """Ask for nothing new; return when all that was asked has been answered."""
        self._stop.set()
        await asyncio.gather(*self._tasks)

    @property
    def answered(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.answer is not None]

    def codes(self) -> Counter[str]:
        """How often each code came, lost answers among them."""
        return Counter(code for asked in self.asked for code in asked.codes)

    def gaps(self, since: float, until: float) -> list[float]:
        """Seconds between successes that follow on each other, within a stretch of time."""
        times = sorted(asked.answered_at for asked in self.answered if since <= asked.answered_at <= until)
        return [later - earlier for earlier, later in itertools.pairwise([since, *times, until])]

    async def _wallet(self, number: int) -> None:
        connection = Connection()
        turn = number
        while not self._stop.is_set():
            asked = Asked(next(self._pans), by_hand.new_trace_no(), by_hand.korean_now())
            self.asked.append(asked)
            body = self.body_of(asked)
            while asked.answer is None:
                port = self.ports[turn % len(self.ports)]
                code, response = await connection.ask(port, self.deployment.wallet.authorization, body)
                asked.codes.append(code)
                if code == "0000":
                    asked.answer, asked.answered_at = response, time.monotonic()
                elif code in REPEAT or code == LOST:
                    turn += 1  # the next gateway may fare better
                    await asyncio.sleep(PAUSE_S)
                else:
                    raise AssertionError(f"{code} for {asked.trace_no}: {response}")
            if self._pause_s:
                await asyncio.sleep(self._pause_s)
        connection.close()

    def body_of(self, asked: Asked) -> bytes:
        """Seal a request; another time it gets another nonce."""
        wallet = self.deployment.wallet
        return by_hand.body_of(wallet.signed(pan=asked.pan, trace_no=asked.trace_no, time=asked.time))


class Connection:
    """A kept HTTP connection that is made anew where it has to be."""

    def __init__(self) -> None:
        self._port = 0
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, port: int, authorization: str, body: bytes) -> tuple[str, dict[str, str]]:
        """Send a request; give the code and the response's members, or `LOST`."""
        try:
            async with asyncio.timeout(ATTEMPT_S_MAX):
                return await self._ask(port, authorization, body)
        except (OSError, EOFError, TimeoutError, ValueError):
            self.close()
            return LOST, {}
        except asyncio.CancelledError:  # as a wallet that goes away
            self.close()
            raise

    async def _ask(self, port: int, authorization: str, body: bytes) -> tuple[str, dict[str, str]]:
        if self._streams is None or self._port != port:
            self.close()
            self._streams = await asyncio.open_connection("127.0.0.1", port)
            self._port = port
        reader, writer = self._streams
        writer.write(
            f"POST {by_hand.PATH} HTTP/1.1\r\nHost: gateway\r\nAuthorization: {authorization}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].split(b"\r", 1)[0])
        response: dict[str, str] = json.loads(await reader.readexactly(length))["PAYGW"]["RESPONSE"]
        if b"connection: close" in head:
            self.close()
        return response["RSLT_CD"], response

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


@dataclass(frozen=True)
class Proof:
    """What was proved, in figures."""

    answered: int
    repeated: int
    lost_answers: int
    tokens: int


async def prove(wallets: Wallets, ports: Sequence[int]) -> Proof:
    """Hold the wallets' notes against the gateways and the database.

    Every answered request, asked again, gets the very same answer. No token has used a counter twice, and none was
    skipped: the counters of a token's answers are 1, 2, 3 and so on, as its rows are in the database.

    Raises:
        AssertionError: what was found instead.
    """
    answered = wallets.answered
    assert len(answered) == len(wallets.asked), "some request was never answered"
    await _repeat_all(wallets, answered, ports)
    counters: dict[str, list[int]] = {}
    for asked in answered:
        assert asked.answer is not None
        assert wallets.deployment.wallet.believes(asked.answer)
        counters.setdefault(asked.pan, []).append(by_hand.atc_of(asked.answer["CPMQR_DATA"]))
    for pan, used in counters.items():
        assert sorted(used) == list(range(1, len(used) + 1)), f"counters of …{pan[-4:]}: {_odd(used)}"
    handles = {asked.answer["QR_DATA_MAPP_VAL"] for asked in answered if asked.answer is not None}
    assert len(handles) == len(answered)
    await _agree_with_database(wallets, counters)
    repeats = sum(len(asked.codes) > 1 for asked in answered)
    return Proof(len(answered), repeats, wallets.codes()[LOST], len(counters))


async def _repeat_all(wallets: Wallets, answered: Sequence[Asked], ports: Sequence[int]) -> None:
    waiting = iter(enumerate(answered))

    async def repeat() -> None:
        connection = Connection()
        for number, asked in waiting:
            port = ports[number % len(ports)]
            body = wallets.body_of(asked)
            code, response = await connection.ask(port, wallets.deployment.wallet.authorization, body)
            assert (code, response) == ("0000", asked.answer), f"{asked.trace_no} now gets {code}"
        connection.close()

    await asyncio.gather(*[repeat() for _ in range(16)])


async def _agree_with_database(wallets: Wallets, counters: dict[str, list[int]]) -> None:
    numbers = [asked.trace_no for asked in wallets.answered]
    rows = await wallets.deployment.rows(
        "SELECT trace.trace_no, trace.atc, issue.trace_no AS of_issue FROM trace JOIN issue USING (token_id, atc)"
        " WHERE trace.trace_no = ANY ($1::text[])",
        numbers,
    )
    stored = {row["trace_no"]: row["atc"] for row in rows}
    assert len(rows) == len(stored) == len(numbers)
    assert all(row["trace_no"] == row["of_issue"] for row in rows)
    for asked in wallets.answered:
        assert asked.answer is not None
        assert stored[asked.trace_no] == by_hand.atc_of(asked.answer["CPMQR_DATA"])
    used = await wallets.deployment.rows(
        "SELECT atc FROM counter WHERE token_id IN (SELECT token_id FROM trace)"
    )
    assert sorted(row["atc"] for row in used) == sorted(len(atcs) for atcs in counters.values())


def _odd(used: Sequence[int]) -> str:
    twice = [atc for atc, count in Counter(used).items() if count > 1]
    missing = sorted(set(range(1, max(used) + 1)) - set(used))
    return f"used twice {twice[:5]}, missing {missing[:5]} of {len(used)}"
