"""The direct way over real sockets: who goes it, that it answers as the usual way does, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests import by_hand
from tests.in_process import JSON_TYPE

from cpmqr import startup
from cpmqr.server import run as server_run
from cpmqr.server.direct import BEGUN_AT_ONCE, CROWD, Connection, Direct
from cpmqr.server.paygw import PAYGW_PATH
from cpmqr.server.plain import PlainRequest, read_plain
from cpmqr.server.settings import load
from cpmqr.server.wiring import Gateway
from cpmqr.service.admission import FREELY_MAX
from cpmqr.service.issue import Reply

_DATE = re.compile(rb"date: [^\r]*\r\n")


class Counting:
    """Counts what comes this way."""

    def __init__(self, direct: Direct) -> None:
        self._direct = direct
        self.taken = 0

    def take(self, request: PlainRequest, connection: Connection) -> None:
        self.taken += 1
        self._direct.take(request, connection)


class Gated:
    """A store whose issues wait for the gate."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.gate = asyncio.Event()
        self.intents = 0

    async def issue(self, intents: Sequence[Any], issuer_keys: Any) -> Any:
        self.intents += len(intents)
        await self.gate.wait()
        return await self._store.issue(intents, issuer_keys)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class Site:
    """A gateway that serves on a port, and its wallet."""

    def __init__(self, gateway: Gateway, port: int, data: Path) -> None:
        self.gateway = gateway
        self.port = port
        self.wallet = by_hand.Wallet.from_file(data / "sandbox.json")

    @property
    def taken(self) -> int:
        assert isinstance(self.gateway.direct, Counting)
        return self.gateway.direct.taken

    def request(self, members: dict[str, Any] | None = None, **wishes: Any) -> bytes:
        body = by_hand.body_of(self.wallet.signed(**wishes) if members is None else members)
        return self.head(len(body)) + body

    def head(self, length: int, authorization: str | None = None, content_type: str = JSON_TYPE) -> bytes:
        credential = self.wallet.authorization if authorization is None else authorization
        return (
            f"POST {PAYGW_PATH} HTTP/1.1\r\nHost: gateway\r\nAuthorization: {credential}\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
        ).encode()

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[Wire]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Wire(reader, writer)
        finally:
            writer.close()


class Wire:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, *pieces: bytes) -> None:
        """Send pieces, each as what the other side receives at once."""
        for number, piece in enumerate(pieces):
            if number:
                await asyncio.sleep(0.05)
            self._writer.write(piece)
            await self._writer.drain()

    async def answer(self) -> bytes:
        """One whole answer, without its date."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length
        return _DATE.sub(b"", head) + await self._reader.readexactly(int(length[1]))

    async def ended(self) -> bool:
        return await self._reader.read(1) == b""


Scenario = Callable[[Site], Awaitable[None]]


def play(data: Path, scenario: Scenario, **settings: Any) -> None:
    """Serve with uvicorn, as the command does, while a scenario plays."""

    async def played() -> None:
        settings.setdefault("logging__issues", False)
        chosen = load(None, sandbox=True, storage__data=str(data), listen__port=0, **settings)
        gateway = await startup.open_gateway(chosen)
        started: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def on_started(port: int) -> None:
            started.set_result(port)

        gateway.direct = Counting(gateway.direct)  # type: ignore[assignment]
        server = server_run.server(gateway, on_started)
        serving = asyncio.create_task(server.serve())
        try:
            await scenario(Site(gateway, await asyncio.wait_for(started, 10), data))
        finally:
            server.should_exit = True
            await asyncio.wait_for(serving, 10)

    asyncio.run(asyncio.wait_for(played(), 40))


def gated(site: Site) -> Gated:
    store = Gated(site.gateway.store)
    site.gateway.store = store  # type: ignore[assignment]
    return store


def test_head_and_body_in_one_piece_or_two_go_the_direct_way_and_three_pieces_the_usual_one(
    tmp_path: Path,
) -> None:
    async def scenario(site: Site) -> None:
        request = site.request()
        head = request.index(b"\r\n\r\n") + 4
        answers = set()
        cuts: dict[tuple[int, ...], int] = {(): 1, (head,): 1, (head + 7,): 1, (40,): 0, (head, head + 9): 0}
        async with site.connected() as wire:
            for cut, directly in cuts.items():
                before = site.taken
                ends = [0, *cut, len(request)]
                await wire.send(*[request[start:end] for start, end in itertools.pairwise(ends)])
                answers.add(await wire.answer())
                assert site.taken - before == directly, cut
        assert len(answers) == 1
        assert b'"RSLT_CD":"0000"' in answers.pop()

    play(tmp_path, scenario)


def test_both_ways_answer_alike_whatever_is_wrong(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        good = site.wallet.signed()
        body = by_hand.body_of(good)
        missing = {name: value for name, value in good.items() if name != "ENC_DATA"}
        requests = [
            site.head(len(body), "Bearer nobody") + body,
            site.head(len(body), "") + body,
            site.head(len(body), content_type="text/plain") + body,
            site.head(len(body), content_type="application/json; charset=latin-1") + body,
            site.head(0),
            site.head(2) + b"{}",
            site.head(4) + b"\xff\xfe{}",
            site.request({**good, "MSG_CD": "Q201"}),
            site.request({**good, "REQUESTOR_ID": "42000000067"}),
            site.request({**good, "CRYPTO_TYPE": "99"}),
            site.request({**good, "HASH_CRC": "AAAA"}),
            site.request({**good, "APP_DV": "other"}),
            site.request(missing),
            body.replace(b"{", b"[", 1).join((site.head(len(body)), b"")),
        ]
        async with site.connected() as wire:
            for request in requests:
                taken = site.taken
                await wire.send(request)
                directly = await wire.answer()
                assert site.taken == taken + 1
                await wire.send(request[:20], request[20:])
                assert await wire.answer() == directly
                assert site.taken == taken + 1
                assert b'"RSLT_CD":"0000"' not in directly

    play(tmp_path, scenario)


def test_a_request_that_comes_while_another_is_served_waits_for_its_turn(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        store = gated(site)
        async with site.connected() as wire:
            await wire.send(site.request(trace_no="one"), site.request(trace_no="two"), site.request({}))
            await asyncio.sleep(0.05)
            assert (site.taken, store.intents) == (1, 1)
            store.gate.set()
            answers = [await wire.answer() for _ in range(3)]
        assert [b'"RSLT_CD":"0000"' in answer for answer in answers] == [True, True, False]
        assert len(set(answers)) == 3

    play(tmp_path, scenario)


def test_a_client_that_goes_while_it_waits_gets_nothing_issued(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        store = gated(site)
        async with site.connected() as first, site.connected() as second:
            await first.send(site.request())
            await asyncio.sleep(0.05)
            await second.send(site.request())
            await asyncio.sleep(0.05)
            assert site.gateway.admission.in_flight == 2
        async with asyncio.timeout(5):
            store.gate.set()
            while site.gateway.admission.in_flight:
                await asyncio.sleep(0.01)
        assert store.intents == 1  # the first one's was on its way already

    play(tmp_path, scenario)


def test_a_stop_lets_the_request_under_way_be_answered_and_says_that_the_connection_ends(
    tmp_path: Path,
) -> None:
    asking: list[asyncio.Task[None]] = []

    async def ask(site: Site) -> None:
        async with site.connected() as wire:
            await wire.send(site.request())
            answer = await wire.answer()
            assert b"connection: close\r\n" in answer
            assert b'"RSLT_CD":"0000"' in answer
            assert await wire.ended()

    async def scenario(site: Site) -> None:
        store = gated(site)
        asking.append(asyncio.create_task(ask(site)))
        await asyncio.sleep(0.1)
        asyncio.get_running_loop().call_later(0.3, store.gate.set)  # by then the server has been told to stop

    play(tmp_path, scenario)
    assert [task.exception() for task in asking] == [None]


def test_a_busy_connection_is_kept_and_an_idle_one_closed(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        async with site.connected() as wire:
            for _ in range(4):
                await wire.send(site.request())
                assert b'"RSLT_CD":"0000"' in await wire.answer()
                await asyncio.sleep(0.4)
            started = asyncio.get_running_loop().time()
            assert await asyncio.wait_for(wire.ended(), 3)
            assert asyncio.get_running_loop().time() - started > 0.3

    play(tmp_path, scenario, listen__keep_alive_s=1)


def test_a_body_that_does_not_come_is_a_request_that_is_too_slow(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        async with site.connected() as wire:
            await wire.send(site.head(100) + b"{")
            assert (await asyncio.wait_for(wire.answer(), 3)).startswith(b"HTTP/1.1 408 ")
            assert await wire.ended()
        assert site.taken == 0

    play(tmp_path, scenario, listen__request_timeout_s=0.3)


def test_in_an_overload_a_request_is_refused_unread_with_9001_and_retry_after(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        admission = site.gateway.admission
        entered = [admission.enter() for _ in range(FREELY_MAX)]
        async with site.connected() as wire:
            await wire.send(site.head(2) + b"{}")
            answer = await wire.answer()
            assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert b"retry-after: 1\r\n" in answer
            assert b'"RSLT_CD":"9001"' in answer
            for entered_at in entered:
                assert entered_at is not None
                admission.leave(entered_at, answered=True)
            await wire.send(site.request())
            assert b'"RSLT_CD":"0000"' in await wire.answer()

    play(tmp_path, scenario)


@pytest.mark.parametrize("header", [b"X-Sandbox-Result: 4006", b"X-Sandbox-Now: 20200101000000"])
def test_the_sandboxs_wishes_are_heard(tmp_path: Path, header: bytes) -> None:
    async def scenario(site: Site) -> None:
        async with site.connected() as wire:
            await wire.send(site.request().replace(b"Host: gateway", header))
            expected = b"4006" if b"Result" in header else b"3006"
            assert b'"RSLT_CD":"%b"' % expected in await wire.answer()
        assert site.taken == 0

    play(tmp_path, scenario)


class Asker:
    """A connection without a socket."""

    client = None

    def __init__(self) -> None:
        self.replies: list[Reply | None] = []

    def is_open(self) -> bool:
        return True

    def answer(self, reply: Reply | None) -> None:
        self.replies.append(reply)


@pytest.mark.parametrize(
    ("count", "begun"),
    [
        (2 * BEGUN_AT_ONCE + 1, [BEGUN_AT_ONCE, 2 * BEGUN_AT_ONCE, 2 * BEGUN_AT_ONCE + 1]),
        (CROWD + 1, [CROWD + 1] * 3),  # in an overload nobody may wait where it is not counted
    ],
)
def test_of_a_crowd_a_few_are_begun_before_the_event_loop_looks_round(
    tmp_path: Path, count: int, begun: list[int]
) -> None:
    async def scenario(site: Site) -> None:
        store, askers = gated(site), [Asker() for _ in range(count)]
        direct = site.gateway.direct
        for asker in askers:
            request = read_plain(site.request())
            assert request is not None
            direct.take(request, asker)
        seen = []
        for _ in begun:
            await asyncio.sleep(0)
            seen.append(site.gateway.admission.in_flight)
        assert seen == begun
        store.gate.set()
        async with asyncio.timeout(5):
            while not all(asker.replies for asker in askers):
                await asyncio.sleep(0.01)
        assert {reply.rslt_cd for asker in askers for reply in asker.replies if reply} == {"0000"}

    play(tmp_path, scenario)
