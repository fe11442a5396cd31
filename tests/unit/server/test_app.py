"""The ASGI edge by itself: bodies in pieces, clients that go, headers, methods. Over sockets: tests/http."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from tests import by_hand
from tests.in_process import House, run

from cpmqr.server.app import DISCARD_BYTES_MAX
from cpmqr.server.paygw import PAYGW_PATH
from cpmqr.server.protocol import TRANSPORT_KEY
from cpmqr.wire.envelope import BODY_BYTES_MAX


class Exchange:
    """One request given to the application, piece by piece; `messages` is what it sent back."""

    def __init__(self, house: House) -> None:
        self.app = house.gateway.app
        self.headers: dict[str, str] = {
            "authorization": house.wallet.authorization,
            "content-type": "application/json",
        }
        self.more_headers: list[tuple[bytes, bytes]] = []
        self.method, self.path = "POST", PAYGW_PATH
        self.received = 0
        self.messages: list[dict[str, Any]] = []
        self.extensions: dict[str, Any] = {}

    async def play(self, pieces: Iterable[dict[str, Any]]) -> Exchange:
        remaining = list(pieces)

        async def receive() -> dict[str, Any]:
            self.received += 1
            return remaining.pop(0)

        async def send(message: dict[str, Any]) -> None:
            self.messages.append(message)

        headers = [(name.encode(), value.encode("latin-1")) for name, value in self.headers.items()]
        scope = {
            "type": "http",
            "method": self.method,
            "path": self.path,
            "headers": headers + self.more_headers,
            "client": ("127.0.0.1", 5),
            **self.extensions,
        }
        await self.app(scope, receive, send)
        return self

    async def send_body(self, *parts: bytes) -> Exchange:
        return await self.play(
            {"type": "http.request", "body": part, "more_body": place < len(parts) - 1}
            for place, part in enumerate(parts)
        )

    @property
    def status(self) -> int:
        return self.messages[0]["status"]

    @property
    def response(self) -> dict[str, str]:
        return by_hand.response_of(self.messages[1]["body"])

    @property
    def answer_headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}


def pieces(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


def test_a_body_is_read_whole_however_it_is_cut(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        body = by_hand.body_of(house.wallet.signed())
        answers = {
            (await Exchange(house).send_body(*pieces(body, size), b"")).response["CPMQR_DATA"]
            for size in (1, 7, 100, len(body))
        }
        assert len(answers) == 1

    run(tmp_path, scenario)


def test_an_answer_is_json_that_no_cache_keeps_with_its_length(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        exchange = await Exchange(house).send_body(by_hand.body_of(house.wallet.signed()))
        assert exchange.status == 200
        assert exchange.answer_headers == {
            "content-type": "application/json; charset=utf-8",
            "content-length": str(len(exchange.messages[1]["body"])),
            "cache-control": "no-store",
        }

    run(tmp_path, scenario)


@pytest.mark.parametrize("size", [BODY_BYTES_MAX, BODY_BYTES_MAX - 1])
def test_a_body_up_to_64_kib_is_read(tmp_path: Path, size: int) -> None:
    async def scenario(house: House) -> None:
        body = by_hand.body_of(house.wallet.signed()).ljust(size)
        assert (await Exchange(house).send_body(*pieces(body, 10_000))).response["RSLT_CD"] == "0000"

    run(tmp_path, scenario)


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("size", [BODY_BYTES_MAX + 1, 1_000_000, 10_000_000])
def test_a_longer_body_is_1006_before_its_credential_is_looked_at_and_is_not_kept(
    tmp_path: Path, size: int, declared: bool
) -> None:
    async def scenario(house: House) -> None:
        exchange = Exchange(house)
        exchange.headers = {"content-length": str(size)} if declared else {}
        await exchange.send_body(*pieces(bytes(size), 50_000))
        assert (exchange.status, exchange.response["RSLT_CD"]) == (413, "1006")
        assert exchange.answer_headers["connection"] == "close"
        if size > DISCARD_BYTES_MAX:
            assert exchange.received == (0 if declared else DISCARD_BYTES_MAX // 50_000 + 1)

    run(tmp_path, scenario)


def test_a_client_that_asks_first_is_refused_before_it_sends_too_long_a_body(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        exchange = Exchange(house)
        exchange.headers |= {"content-length": str(BODY_BYTES_MAX + 1), "expect": "100-continue"}
        await exchange.play([])
        assert (exchange.response["RSLT_CD"], exchange.received) == ("1006", 0)

    run(tmp_path, scenario)


def test_a_client_that_goes_before_its_body_is_whole_is_not_served(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        body = by_hand.body_of(house.wallet.signed(trace_no="T-gone"))
        gone = {"type": "http.disconnect"}
        for first in ([], [{"type": "http.request", "body": body, "more_body": True}]):
            exchange = await Exchange(house).play([*first, gone])
            assert exchange.messages == []
        answer = await house.ask(trace_no="T-next")
        assert by_hand.atc_of(answer["CPMQR_DATA"]) == 1

    run(tmp_path, scenario)


class _Closing:
    """A transport whose client has gone."""

    def is_closing(self) -> bool:
        return True


def test_a_client_that_goes_while_it_waits_costs_no_counter_and_no_error(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        exchange = Exchange(house)
        exchange.extensions = {TRANSPORT_KEY: _Closing()}
        await exchange.send_body(by_hand.body_of(house.wallet.signed()))
        assert exchange.messages == []
        assert by_hand.atc_of((await house.ask())["CPMQR_DATA"]) == 1

    run(tmp_path, scenario)


def test_a_task_that_is_cancelled_while_its_client_is_there_stays_cancelled(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        task = asyncio.ensure_future(Exchange(house).send_body(by_hand.body_of(house.wallet.signed())))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(tmp_path, scenario)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_another_method_is_405_with_1004_and_what_is_allowed(tmp_path: Path, method: str) -> None:
    async def scenario(house: House) -> None:
        exchange = Exchange(house)
        exchange.method = method
        await exchange.play([])
        assert (exchange.status, exchange.response["RSLT_CD"]) == (405, "1004")
        assert exchange.answer_headers["allow"] == "POST"

    run(tmp_path, scenario)


def test_two_authorization_headers_are_nobodys(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        for value in ("other", house.wallet.authorization):
            exchange = Exchange(house)
            exchange.more_headers = [(b"authorization", value.encode())]
            await exchange.send_body(by_hand.body_of(house.wallet.signed()))
            assert (exchange.status, exchange.response["RSLT_CD"]) == (401, "2001")

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("wish", "status"), [("8001", 429), ("9001", 503), ("9002", 503), ("9003", 504), ("9999", 500)]
)
def test_the_sandbox_header_gives_a_code_with_its_headers(tmp_path: Path, wish: str, status: int) -> None:
    async def scenario(house: House) -> None:
        exchange = Exchange(house)
        exchange.headers["x-sandbox-result"] = wish
        await exchange.send_body(by_hand.body_of(house.wallet.signed()))
        assert (exchange.status, exchange.response["RSLT_CD"]) == (status, wish)
        assert ("retry-after" in exchange.answer_headers) == (wish in ("8001", "9001", "9002"))
        assert ("x-incident-id" in exchange.answer_headers) == (wish == "9999")
        if wish == "9999":
            assert exchange.answer_headers["x-incident-id"] in exchange.response["RSLT_MSG"]

    run(tmp_path, scenario)


def test_the_sandbox_header_sets_the_clock_of_one_request(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        exchange = Exchange(house)
        exchange.headers["x-sandbox-now"] = "20270301120000"
        body = by_hand.body_of(house.wallet.signed(time="20270301120100"))
        await exchange.send_body(body)
        fields = by_hand.fields_of(exchange.response["CPMQR_DATA"])
        assert fields["9F10"].hex()[24:38] == "20270301120000"
        late = by_hand.body_of(house.wallet.signed(time="20270301120100"))
        assert (await Exchange(house).send_body(late)).response["RSLT_CD"] == "3006"

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    "now", ["x", "2027030112000", "20270230120000", "19991231235959", "21000101000000", "00010101000000"]
)
def test_a_clock_that_is_no_time_of_this_century_is_1003(tmp_path: Path, now: str) -> None:
    async def scenario(house: House) -> None:
        exchange = Exchange(house)
        exchange.headers["x-sandbox-now"] = now
        await exchange.send_body(by_hand.body_of(house.wallet.signed()))
        assert exchange.response["RSLT_CD"] == "1003"
        assert "X-Sandbox-Now" in exchange.response["RSLT_MSG"]

    run(tmp_path, scenario)


def test_outside_the_sandbox_its_headers_are_ignored(tmp_path: Path) -> None:
    async def seeded(_: House) -> None:
        return None

    async def scenario(house: House) -> None:
        exchange = Exchange(house)
        exchange.headers |= {"x-sandbox-result": "9001", "x-sandbox-now": "20270301120000"}
        await exchange.send_body(by_hand.body_of(house.wallet.signed()))
        assert exchange.response["RSLT_CD"] == "0000"

    run(tmp_path, seeded)
    run(tmp_path, scenario, sandbox=False)


def test_other_paths_are_the_routes(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        for path, status in (("/healthz", 200), ("/readyz", 200), ("/metrics", 200), (PAYGW_PATH + "/", 404)):
            exchange = Exchange(house)
            exchange.method, exchange.path = "GET", path
            await exchange.play([{"type": "http.request", "body": b"", "more_body": False}])
            assert exchange.status == status, path

    run(tmp_path, scenario)
