"""Plain requests: which are read without a parser, and that the parser would have read the same."""

from __future__ import annotations

import itertools
from typing import Any

import httptools
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from cpmqr.server.paygw import PAYGW_PATH
from cpmqr.server.plain import HEAD_BYTES_MAX, PlainRequest, _read_head, read_plain
from cpmqr.wire.envelope import BODY_BYTES_MAX

CREDENTIAL = "Bearer abcdefghijklmnop"


def request(*lines: str, body: bytes = b"{}", first: str = f"POST {PAYGW_PATH} HTTP/1.1") -> bytes:
    head = [first, "Host: gateway", f"Authorization: {CREDENTIAL}", *lines]
    return ("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + body


class Parsed:
    """What the HTTP server's parser makes of the same bytes."""

    def __init__(self, data: bytes) -> None:
        self.url, self.body = b"", b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = 0
        parser: Any = httptools.HttpRequestParser(self)
        parser.feed_data(data)
        self.method, self.version = parser.get_method(), parser.get_http_version()
        self.keeps_alive, self.upgrades = parser.should_keep_alive(), parser.should_upgrade()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.strip(b" \t")))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete += 1


def assert_the_parser_agrees(plain: PlainRequest, data: bytes) -> None:
    parsed = Parsed(data)
    assert (parsed.method, parsed.url, parsed.version) == (b"POST", PAYGW_PATH.encode(), "1.1")
    assert (parsed.complete, parsed.keeps_alive, parsed.upgrades) == (1, True, False)
    assert parsed.body == plain.body
    authorizations = [value for name, value in parsed.headers if name == b"authorization"]
    assert authorizations == ([] if plain.authorization is None else [plain.authorization.encode("latin-1")])
    assert [one for one in parsed.headers if one[0] != b"authorization"] == list(plain.head.headers)


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 2",),
        ("content-length:2", "Content-Type: application/json"),
        ("CONTENT-LENGTH: 2 ", "Connection: keep-alive", "X-Anything: \xe9, even this"),
        ("Content-Length: 2", "Content-Type: text/plain", "Content-Type: application/json", "X-Empty:"),
    ],
)
def test_a_whole_request_is_read_as_the_parser_reads_it(lines: tuple[str, ...]) -> None:
    data = request(*lines)
    plain = read_plain(data)
    assert plain is not None
    assert plain.is_whole
    assert plain.authorization == CREDENTIAL
    assert_the_parser_agrees(plain, data)


def test_the_last_content_type_counts_as_it_does_the_usual_way() -> None:
    plain = read_plain(request("Content-Type: text/plain", "Content-Length: 2", "CONTENT-TYPE: a/b; c=d"))
    assert plain is not None
    assert plain.head.content_type == "a/b; c=d"


@pytest.mark.parametrize("lines", [(), ("Content-Type: application/json",)])
def test_a_request_without_a_credential_is_plain_too(lines: tuple[str, ...]) -> None:
    head = "\r\n".join([f"POST {PAYGW_PATH} HTTP/1.1", *lines, "Content-Length: 0"])
    plain = read_plain(head.encode() + b"\r\n\r\n")
    assert plain is not None
    assert plain.authorization is None
    assert plain.is_whole


@pytest.mark.parametrize("sent", [0, 1, 1_999])
def test_a_request_whose_body_is_on_its_way_is_not_whole(sent: int) -> None:
    plain = read_plain(request("Content-Length: 2000", body=b"x" * sent))
    assert plain is not None
    assert not plain.is_whole
    assert plain.body == b"x" * sent


def test_neither_credential_nor_body_is_printed_or_kept() -> None:
    _read_head.cache_clear()
    data = request("Content-Length: 6", body=b"secret")
    plain = read_plain(data)
    assert plain is not None
    assert CREDENTIAL not in repr(plain)
    assert "secret" not in repr(plain)
    assert read_plain(request("Content-Length: 6", body=b"secret").replace(CREDENTIAL.encode(), b"other"))
    assert _read_head.cache_info().currsize == 1


@pytest.mark.parametrize(
    "name", ["AUTHORIZATION: ", "Authorization:", "authorization:\t", "Proxy-Authorization: "]
)
def test_no_credential_is_kept_however_it_is_spelt(name: str) -> None:
    _read_head.cache_clear()
    data = request("Content-Length: 2").replace(b"Authorization: ", name.encode())
    assert read_plain(data) is None
    assert _read_head.cache_info().currsize == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        request("Content-Length: 2")[:-4],
        request("Content-Length: 2") + request("Content-Length: 2"),
        request("Content-Length: 1"),
        request("Content-Length: 2", "Content-Length: 2"),
        request("Content-Length: 2", "Host: b", "Content-Length: two"),
        request("Content-Length: 2", "Content-Length:"),
        request("Content-Length: 2, 2"),
        request("Content-Length: 000002"),
        request("X-None: of any length"),
        request(f"Content-Length: {BODY_BYTES_MAX + 1}"),
        request("Content-Length: 2", "Authorization: another"),
        request("Content-Length: 2", "authorization: another"),
        request("Content-Length: 2", "AUTHORIZATION: another"),
        request("Content-Length: 2", "X-Sandbox-Now: 20261124000000"),
        request("Content-Length: 2", "X-Sandbox-Result: 4001"),
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
        request("Content-Length: 2", "X-Bell: \a"),
        request("Content-Length: 2", "No colon"),
        request("Content-Length: 2").replace(b"Bearer ", b"Bearer\t"),
        request("Content-Length: 2").replace(b"Bearer ", b"Bearer\x00"),
        request("Content-Length: 2", first=f"POST {PAYGW_PATH} HTTP/1.0"),
        request("Content-Length: 2", first=f"POST {PAYGW_PATH}/ HTTP/1.1"),
        request("Content-Length: 2", first=f"POST {PAYGW_PATH}?a=b HTTP/1.1"),
        request("Content-Length: 2", first=f"PUT {PAYGW_PATH} HTTP/1.1"),
        request("Content-Length: 2", first="POST /v1/verifications HTTP/1.1"),
        request(*["a:"] * 100, "Content-Length: 2"),
        request(f"X-Long: {'x' * HEAD_BYTES_MAX}", "Content-Length: 2"),
    ],
)
def test_what_is_not_beyond_doubt_goes_the_usual_way(data: bytes) -> None:
    assert read_plain(data) is None


@given(st.binary(max_size=300))
def test_no_bytes_make_it_stumble(data: bytes) -> None:
    assert read_plain(data) is None
    framed = f"POST {PAYGW_PATH} HTTP/1.1\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data
    plain = read_plain(framed)
    assert plain is not None
    assert plain.body == data


_NAMES = [
    "Authorization",
    "authorization",
    "Accept",
    "User-Agent",
    "Content-Type",
    "Connection",
    "Host",
    "Upgrade",
]
_VALUES = [
    "",
    "keep-alive",
    "keep-alive",
    "close",
    "a b",
    "\xe9",
    "\t",
    "a\tb ",
    "a/b; c=d",
    "1.0",
    "h2c",
    "\x7f",
]
_LINES = st.tuples(
    st.sampled_from(_NAMES),
    st.sampled_from([*[": "] * 8, ":", ":\t", " :"]),
    st.sampled_from(_VALUES),
    st.sampled_from([*["\r\n"] * 12, "\n", "\r", "\r\n "]),
)


@given(st.lists(_LINES, max_size=5))
def test_whatever_is_plain_the_parser_reads_the_same_way(lines: list[tuple[str, ...]]) -> None:
    middle = "".join(itertools.chain.from_iterable(lines)).encode("latin-1")
    data = b"POST %b HTTP/1.1\r\nContent-Length: 2\r\n%b\r\n{}" % (PAYGW_PATH.encode(), middle)
    plain = read_plain(data)
    event("plain" if plain is not None else "not plain")
    if plain is not None and plain.is_whole:
        assert_the_parser_agrees(plain, data)
