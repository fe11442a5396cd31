"""The door: which requests are turned away unread, and which ones never are."""

from __future__ import annotations

import email.utils
import http.client
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpmqr.server.app import PAYGW_PATH
from cpmqr.server.door import Door
from cpmqr.service.admission import FREELY_MAX, Admission
from cpmqr.service.issue import Reply

DATE = email.utils.formatdate(0, usegmt=True).encode()
BODY = json.dumps({"PAYGW": {"RESPONSE": {"RSLT_CD": "9001", "RSLT_MSG": "서비스 일시 중단"}}}).encode()
REPLY = Reply(503, BODY, "9001", retry_after_s=1)


class Hall:
    """A door that is shut, unless the test opens it; `turned_away` counts."""

    def __init__(self) -> None:
        self.now = 0.0
        self.admission = Admission(lambda: self.now, lambda _: None)
        self.entered = [self.admission.enter() for _ in range(FREELY_MAX)]
        assert self.admission.enter() is None
        self.turned_away = 0
        self.door = Door(self.admission, REPLY, self._note)

    def _note(self) -> None:
        self.turned_away += 1

    def answer_to(self, data: bytes) -> bytes | None:
        return self.door.answer_to(data, DATE)


def request(*lines: str, body: bytes = b"{}", first: str = f"POST {PAYGW_PATH} HTTP/1.1") -> bytes:
    head = [first, "Host: gateway", "Authorization: secret", *lines]
    return ("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + body


class _Socket:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _: str) -> io.BytesIO:
        return io.BytesIO(self._data)


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 2",),
        ("content-length:2", "Content-Type: application/json"),
        ("CONTENT-LENGTH: 2 ", "Connection: keep-alive", "X-Anything: \xe9, even this"),
    ],
)
def test_a_whole_request_is_answered_in_full(lines: tuple[str, ...]) -> None:
    hall = Hall()
    data = hall.answer_to(request(*lines))
    assert data is not None
    response = http.client.HTTPResponse(_Socket(data))  # type: ignore[arg-type]
    response.begin()
    assert (response.status, response.reason) == (503, "Service Unavailable")
    assert dict(response.getheaders()) == {
        "content-type": "application/json; charset=utf-8",
        "content-length": str(len(BODY)),
        "cache-control": "no-store",
        "retry-after": "1",
        "date": DATE.decode(),
    }
    assert response.read() == BODY
    assert data.endswith(BODY)
    assert hall.turned_away == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        request("Content-Length: 2")[:-1],
        request("Content-Length: 2") + request("Content-Length: 2"),
        request("Content-Length: 3"),
        request("Content-Length: 2", "Content-Length: 2"),
        request("Content-Length: 2", "Host: b", "Content-Length: two"),
        request("Content-Length: 2", "Content-Length:"),
        request("Content-Length: 2, 2"),
        request("Content-Length: 000002"),
        request("Content-Length: 2", "Transfer-Encoding: chunked"),
        request("Content-Length: 2", "Transfer-Encoding : chunked"),
        request("Content-Length: 2", "Expect: 100-continue"),
        request("Content-Length: 2", "Connection: close"),
        request("Content-Length: 2", "Connection: keep-alive, close"),
        request("Content-Length: 2", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"),
        request("Content-Length: +2"),
        request("Content-Length: 0x2"),
        request("Content-Length : 2"),
        request("X-Folded: a", " Content-Length: 2"),
        request("X-Folded: a\n Content-Length: 2"),
        request("Content-Length: 2", "X-Null: \0"),
        request("Content-Length: 2", "No colon"),
        request("Content-Length: 2", first=f"POST {PAYGW_PATH} HTTP/1.0"),
        request("Content-Length: 2", first=f"POST {PAYGW_PATH}/ HTTP/1.1"),
        request("Content-Length: 2", first=f"POST {PAYGW_PATH}?a=b HTTP/1.1"),
        request("Content-Length: 2", first=f"PUT {PAYGW_PATH} HTTP/1.1"),
        request("Content-Length: 2", first="POST /v1/verifications HTTP/1.1"),
        request(*[f"X-{number}: 1" for number in range(100)], "Content-Length: 2"),
    ],
)
def test_what_is_not_beyond_doubt_goes_the_usual_way(data: bytes) -> None:
    hall = Hall()
    assert hall.answer_to(data) is None
    assert hall.turned_away == 0


def test_nobody_is_turned_away_before_an_overload_nor_when_there_is_room_again() -> None:
    hall = Hall()
    assert hall.answer_to(request("Content-Length: 2")) is not None
    for entered_at in hall.entered:
        assert entered_at is not None
        hall.admission.leave(entered_at, answered=True)
    assert hall.admission.overloaded
    assert hall.answer_to(request("Content-Length: 2")) is None
    calm = Admission(lambda: 0.0, lambda _: None)
    assert Door(calm, REPLY, lambda: None).answer_to(request("Content-Length: 2"), DATE) is None


def test_whoever_is_turned_away_keeps_the_overload_alive() -> None:
    hall = Hall()
    for _ in range(20):
        hall.now += 0.9
        assert hall.answer_to(request("Content-Length: 2")) is not None
    hall.now += 1.1
    for entered_at in hall.entered[:1]:
        assert entered_at is not None
        hall.admission.leave(entered_at, answered=True)
    assert hall.answer_to(request("Content-Length: 2")) is None
    assert not hall.admission.overloaded


@given(st.binary(max_size=300))
def test_no_bytes_make_it_stumble(data: bytes) -> None:
    hall = Hall()
    assert hall.answer_to(data) is None
    framed = f"POST {PAYGW_PATH} HTTP/1.1\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data
    assert hall.answer_to(framed) is not None
