"""What comes over a socket that no well-behaved client sends, and what a few well-behaved but unusual ones do."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import by_hand
from tests.process import Process, received, serving

TIMEOUT_S = 1.0
PATIENCE_S = 8.0  # ours: long enough for a busy machine, and what would stay for ever is told from what goes


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A gateway with little patience and room, so that its limits are met soon."""
    folder = tmp_path_factory.mktemp("hurried")
    config = folder / "cpmqr.toml"
    config.write_text(
        f"[listen]\nrequest_timeout_s = {TIMEOUT_S}\nkeep_alive_s = 1\nconnections_max = 20\nheader_bytes_max = 16384\n"
    )
    with serving(folder / "var", "--config", str(config)) as process:
        yield process
        assert process.terminate() == 0
        assert process.secrets_in_log() == set()
        assert "Traceback" not in process.log.read_text()


@pytest.fixture(autouse=True)
def still_serves(hurried: Process) -> Iterator[None]:
    """After each test a good request is served as before, and the process has not grown by much."""
    before = _resident_kib(hurried)
    yield
    assert hurried.ask().code == "0000"
    assert _resident_kib(hurried) - before < 30_000


def _resident_kib(process: Process) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    assert found
    return int(found[1])


def good(process: Process) -> bytes:
    return by_hand.body_of(process.wallet.signed())


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def codes(answer: bytes) -> list[str]:
    return [code.decode() for code in re.findall(rb'"RSLT_CD":"(\d{4})"', answer)]


def until_closed(connection: socket.socket, limit_s: float) -> tuple[bytes, float]:
    """All that comes, and how long it took the other side to close."""
    started = time.monotonic()
    connection.settimeout(limit_s)
    data = received(connection)
    return data, time.monotonic() - started


@contextlib.contextmanager
def connected(process: Process) -> Iterator[socket.socket]:
    with socket.create_connection((process.host, process.port), timeout=5) as connection:
        yield connection


# Unusual, and served


def test_pipelined_requests_are_answered_in_order(hurried: Process) -> None:
    numbers = [by_hand.new_trace_no() for _ in range(5)]
    bodies = [by_hand.body_of(hurried.wallet.signed(trace_no=number)) for number in numbers]
    bodies[2] = b"x"
    pieces = [hurried.head(len(body)) + body for body in bodies[:-1]]
    answer = hurried.raw(b"".join(pieces) + hurried.head(len(bodies[-1]), "Connection: close") + bodies[-1])
    assert statuses(answer) == [200, 200, 400, 200, 200]
    counters = [by_hand.atc_of(data.decode()) for data in re.findall(rb'"CPMQR_DATA":"([^"]+)"', answer)]
    assert counters == list(range(counters[0], counters[0] + 4))


def test_http_1_0_is_answered_and_closed(hurried: Process) -> None:
    body = good(hurried)
    answer = hurried.raw(hurried.head(len(body), version="1.0") + body)
    assert (statuses(answer), codes(answer)) == ([200], ["0000"])
    assert b"connection: close" in answer


def test_a_body_in_chunks_is_read(hurried: Process) -> None:
    body = good(hurried)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:1], body[1:300], body[300:]))
    answer = hurried.raw(
        hurried.head(None, "Transfer-Encoding: chunked", "Connection: close") + chunks + b"0\r\n\r\n"
    )
    assert codes(answer) == ["0000"]


def test_a_request_that_comes_byte_by_byte_is_read(hurried: Process) -> None:
    body = good(hurried)
    with connected(hurried) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in hurried.head(len(body), "Connection: close") + body:
            connection.send(bytes([byte]))
        assert codes(received(connection)) == ["0000"]


def test_a_client_that_asks_before_it_sends_gets_its_100_and_then_its_answer(hurried: Process) -> None:
    body = good(hurried)
    with connected(hurried) as connection:
        connection.sendall(hurried.head(len(body), "Expect: 100-continue", "Connection: close"))
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert codes(received(connection)) == ["0000"]


def test_a_client_that_asks_before_it_sends_too_much_gets_413_and_no_100(hurried: Process) -> None:
    answer = hurried.raw(hurried.head(70_000, "Expect: 100-continue"))
    assert (statuses(answer), codes(answer)) == ([413], ["1006"])


@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "TLS/1.0"])
@pytest.mark.parametrize("in_one_piece", [True, False])
def test_an_upgrade_is_declined_and_the_request_served(
    hurried: Process, upgrade: str, in_one_piece: bool
) -> None:
    body = good(hurried)
    asking = (
        "Connection: Upgrade, HTTP2-Settings",
        f"Upgrade: {upgrade}",
        "HTTP2-Settings: AAMAAABkAAQAAP__",
    )
    first = hurried.head(len(body), *asking)
    second = hurried.head(len(body), "Connection: close") + good(hurried)
    with connected(hurried) as connection:
        if in_one_piece:
            connection.sendall(first + body + second)
        else:
            for part in (first[:-10], first[-10:] + body[:5], body[5:], second):
                connection.sendall(part)
                time.sleep(0.02)
        answer = received(connection)
    assert (statuses(answer), codes(answer)) == ([200, 200], ["0000", "0000"])


def test_an_upgrade_with_a_chunked_body_or_many_of_them_in_one_piece_are_served(hurried: Process) -> None:
    body = good(hurried)
    asking = ("Connection: upgrade", "Upgrade: h2c", "Transfer-Encoding: chunked")
    one = hurried.head(None, *asking) + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    last = hurried.head(len(body), "Connection: close") + body
    assert codes(hurried.raw(one * 10 + last)) == ["0000"] * 11


def test_a_get_that_asks_for_a_websocket_is_a_get(hurried: Process) -> None:
    answer = hurried.raw(
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        timeout=0.5,
    )
    assert statuses(answer) == [200]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
def test_another_method_is_405_and_says_what_is_allowed(hurried: Process, method: str) -> None:
    answer = hurried.raw(hurried.head(None, "Connection: close", method=method))
    assert statuses(answer) == [405]
    assert b"allow: POST" in answer
    assert codes(answer) == ([] if method == "HEAD" else ["1004"])


# Too much


@pytest.mark.parametrize("size", [65_537, 200_000, 1_000_000])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_that_is_too_long_is_1006_and_its_sender_sees_it(
    hurried: Process, size: int, chunked: bool
) -> None:
    connection = hurried.connection()
    body = iter([b" " * 10_000] * (size // 10_000) + [b" " * (size % 10_000)]) if chunked else b" " * size
    headers = {"Authorization": hurried.wallet.authorization, "Content-Type": "application/json"}
    connection.request("POST", by_hand.PATH, body, headers, encode_chunked=chunked)
    response = connection.getresponse()
    assert (response.status, by_hand.response_of(response.read())["RSLT_CD"]) == (413, "1006")
    connection.close()


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_without_end_is_cut_off(hurried: Process, chunked: bool) -> None:
    head = hurried.head(None, "Transfer-Encoding: chunked") if chunked else hurried.head(10**12)
    piece = b"10000\r\n" + b" " * 65_536 + b"\r\n" if chunked else b" " * 65_536
    sent = 0
    with connected(hurried) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(head)
        while sent < 200_000_000:
            connection.sendall(piece)
            sent += len(piece)
    assert sent < 100_000_000


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (number, b"a" * 200) for number in range(90)),
        b"POST / HTTP/1.1\r\n" + b"".join(b"X-%d: a\r\n" % number for number in range(101)) + b"\r\n",
        b"POST / HTTP/1.1\r\nX: " + b"a" * 20_000,
        b"POST /" + b"a" * 20_000,
        b"POST / HTTP/1.1\r\n" + b"a" * 20_000,
    ],
    ids=["large", "many", "one without end", "path without end", "name without end"],
)
def test_a_head_that_is_too_large_is_431_at_once(hurried: Process, head: bytes) -> None:
    with connected(hurried) as connection:
        connection.sendall(head)
        assert statuses(received(connection)) == [431]  # and not 408, which the timeout would give


@pytest.mark.parametrize(
    "beginning",
    [
        b"POST / HTTP/1.1\r\nX: ",
        b"POST / HTTP/1.1\r\nX",
        b"POST /",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
    ],
    ids=["header", "name", "path", "chunk extension", "trailer"],
)
def test_what_grows_without_end_is_cut_off_before_it_costs_memory(hurried: Process, beginning: bytes) -> None:
    sent = 0
    with connected(hurried) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(beginning)
        while sent < 100_000_000:
            connection.sendall(b"a" * 65_536)
            sent += 65_536
    assert sent < 20_000_000  # what two sockets' buffers hold, not what ten seconds bring


def test_more_connections_than_allowed_are_closed_at_once_and_the_others_stay(hurried: Process) -> None:
    with contextlib.ExitStack() as stack:
        kept = [stack.enter_context(connected(hurried)) for _ in range(20)]
        time.sleep(0.1)
        extra = stack.enter_context(connected(hurried))
        assert until_closed(extra, PATIENCE_S)[1] < TIMEOUT_S  # before any timeout of its own
        body = good(hurried)
        kept[7].sendall(hurried.head(len(body), "Connection: close") + body)
        assert codes(received(kept[7])) == ["0000"]


# Too slow


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"\r\n",
        b"P",
        b"POST / HTTP/1.1\r\nHost: x\r\n",
        f"POST {by_hand.PATH} HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc".encode(),
    ],
    ids=["nothing", "line feed", "letter", "half a head", "half a body"],
)
def test_who_begins_and_says_nothing_more_is_cut_off_after_the_timeout(
    hurried: Process, beginning: bytes
) -> None:
    with connected(hurried) as connection:
        connection.sendall(beginning)
        answer, took_s = until_closed(connection, PATIENCE_S)
    assert statuses(answer) == [408]
    assert TIMEOUT_S * 0.8 < took_s < PATIENCE_S


@pytest.mark.parametrize("drop", [b"\r\n", b"X: a\r\n"])
def test_who_drips_is_cut_off_all_the_same(hurried: Process, drop: bytes) -> None:
    with connected(hurried) as connection:
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"" if drop == b"\r\n" else b"POST / HTTP/1.1\r\n")
            while time.monotonic() - started < PATIENCE_S:
                connection.sendall(drop)
                time.sleep(0.1)
        assert TIMEOUT_S * 0.8 < time.monotonic() - started < PATIENCE_S


def test_an_idle_connection_goes_after_its_last_answer_and_line_feeds_do_not_keep_it(
    hurried: Process,
) -> None:
    body = good(hurried)
    with connected(hurried) as connection:
        connection.sendall(hurried.head(len(body)) + body)
        answer = b""
        while not codes(answer):  # head and body may come in two pieces
            piece = connection.recv(65_536)
            assert piece, "closed before its answer"
            answer += piece
        assert codes(answer) == ["0000"]
        connection.sendall(b"\r\n")
        assert until_closed(connection, PATIENCE_S)[1] < PATIENCE_S


# Broken


@pytest.mark.parametrize(
    "rest",
    [
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc",
        b"Transfer-Encoding: chunked\r\n\r\n-5\r\nabc",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"Content-Length: -5\r\n\r\n",
        b"Content-Length: 5_0\r\n\r\n",
        b"Content-Length: 99999999999999999999999\r\n\r\n",
        b"X\x00Y: a\r\n\r\n",
        b"no colon\r\n\r\n",
        b" folded: a\r\n\r\n",
    ],
)
def test_what_is_no_http_is_400_and_closed(hurried: Process, rest: bytes) -> None:
    answer = hurried.raw(f"POST {by_hand.PATH} HTTP/1.1\r\nHost: x\r\n".encode() + rest, timeout=1)
    assert statuses(answer) == [400]


@pytest.mark.parametrize(
    "line",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",  # a TLS client at the plain port
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
        b"CONNECT bank:443 HTTP/1.1\r\nHost: bank\r\n\r\n",
        b"POST \xff HTTP/1.1\r\n\r\n",
        b"POST http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x00" * 100,
    ],
)
def test_what_begins_like_no_request_of_ours_is_400(hurried: Process, line: bytes) -> None:
    assert statuses(hurried.raw(line, timeout=1)) == [400]


def test_bytes_after_a_broken_request_are_not_taken_for_another(hurried: Process) -> None:
    body = good(hurried)
    smuggled = hurried.head(len(body)) + body
    answer = hurried.raw(hurried.head(5, "Transfer-Encoding: chunked") + b"0\r\n\r\n" + smuggled, timeout=1)
    assert (statuses(answer), codes(answer)) == ([400], [])


# Gone


def test_who_goes_before_the_body_is_whole_uses_no_counter(hurried: Process) -> None:
    before = by_hand.atc_of(hurried.ask().response["CPMQR_DATA"])
    body = good(hurried)
    for part in (b"", body[:50], body[:-1]):
        with connected(hurried) as connection:
            connection.sendall(hurried.head(len(body)) + part)
    with connected(hurried) as connection:  # the JSON is whole, the announced length is not
        connection.sendall(hurried.head(len(body) + 10) + body)
    time.sleep(0.1)
    assert by_hand.atc_of(hurried.ask().response["CPMQR_DATA"]) == before + 1


def test_who_goes_without_waiting_for_the_answer_can_fetch_it_with_a_retry(hurried: Process) -> None:
    wishes = {"trace_no": by_hand.new_trace_no(), "time": by_hand.korean_now()}
    for _ in range(30):
        body = by_hand.body_of(hurried.wallet.signed(**wishes))
        with connected(hurried) as connection:
            connection.sendall(hurried.head(len(body)) + body)
    answers = [hurried.ask(**wishes).response for _ in range(3)]
    assert answers[0]["RSLT_CD"] == "0000"
    assert answers == answers[:1] * 3


def test_who_half_closes_is_taken_for_gone(hurried: Process) -> None:
    # Both ways of going look alike on the wire; who wants an answer keeps its side open, as HTTP clients do.
    body = good(hurried)
    assert statuses(hurried.raw(hurried.head(len(body)) + body, half_close=True)) in ([], [200])
