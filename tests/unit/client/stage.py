"""A gateway that plays what it is told: a real server on a real socket, one act for each request."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from cpmqr.client import Gateway, HashCrc, Transport
from cpmqr.crypto.blocks import hmac_sha256
from cpmqr.model import HashMode
from cpmqr.wire import envelope, sealed

# An independent implementation's payloads (contract.json); the PAN is the page's.
VECTORS: dict[str, Any] = json.loads(Path("tests/vectors/contract.json").read_text("utf-8"))
PAYLOAD: dict[str, Any] = VECTORS["payload"][1]
PAN: str = PAYLOAD["pan"]
CPMQR_DATA: str = PAYLOAD["cpmqr_data"]
REQUESTOR_ID = "42000000066"
AUTHORIZATION = "a-credential-of-the-tests"
KEY = bytes(range(32))
HASH_KEY = bytes(range(32, 64))
HANDLE = "95050000000800900019F26084934E9FD0E3E169"

Act = Callable[["Connection"], None]


@dataclass
class Seen:
    """A request as it arrived."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def members(self) -> dict[str, str]:
        members: dict[str, str] = json.loads(self.body)["PAYGW"]["REQUEST"]
        return members


class Connection(socketserver.StreamRequestHandler):
    """Reads a request, and lets the next act answer it; `answer` and `write` are for the acts."""

    server: _Server

    def handle(self) -> None:
        while (seen := self._read()) is not None:
            self.server.stage.seen.append(seen)
            self.server.stage.next_act()(self)

    def _read(self) -> Seen | None:
        try:
            line = self.rfile.readline().decode()
            if not line:
                return None
            headers: dict[str, str] = {}
            while (header := self.rfile.readline().decode().rstrip("\r\n")) != "":
                name, _, value = header.partition(":")
                headers[name.lower()] = value.strip()
            return Seen(line.split(" ")[1], headers, self.rfile.read(int(headers.get("content-length", "0"))))
        except (OSError, ValueError):  # ValueError: an act has closed the connection
            return None

    def write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # the wallet has hung up: what an act wanted to see
            self.connection.sendall(data)

    def answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        head = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        self.write(f"HTTP/1.1 {status} x\r\n{lines}\r\n".encode() + body)

    def reset(self) -> None:
        # Linger of 0 makes close send RST.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.wfile.close()
        self.connection.close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 64
    stage: Stage


@dataclass
class Stage:
    """The server and its play. The last act is played again when the others are through."""

    acts: list[Act] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    tls: ssl.SSLContext | None = None

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), Connection)
        if self.tls is not None:
            # The handshake belongs to the connection's own thread, at its first read.
            self._server.socket = self.tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._server.stage = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.005,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def next_act(self) -> Act:
        return self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]

    @property
    def base_url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self._server.server_address[1]}"

    def gateway(self, **changes: Any) -> Gateway:
        return gateway(base_url=self.base_url, **changes)


def gateway(**changes: Any) -> Gateway:
    settings: dict[str, Any] = {
        "base_url": "http://127.0.0.1:9",
        "requestor_id": REQUESTOR_ID,
        "authorization": AUTHORIZATION,
        "crypto": Transport("01", "00", KEY),
        "hash_crc": HashCrc("hmac-sha256", HASH_KEY),
        "timeout_s": 2.0,
        "deadline_s": 8.0,
        "first_pause_s": 0.01,
        **changes,
    }
    return Gateway(**settings)


def success_members(**changes: str | None) -> dict[str, str]:
    """RESPONSE of a success, signed after the changes; None takes a member out."""
    members: dict[str, str | None] = {
        "CPMQR_DATA": CPMQR_DATA,
        "CRYPTO_KEY_VER": "00",
        "CRYPTO_TYPE": "01",
        "MSG_VER": "01",
        "RSLT_TYPE": "JSON",
        "MSG_CD": "Q200",
        "MSG_ID": "Q200",
        "REQUESTOR_ID": REQUESTOR_ID,
        "QR_DATA_MAPP_VAL": HANDLE,
        "RSLT_CD": "0000",
        "RSLT_MSG": "성공",
        **changes,
    }
    kept = {name: value for name, value in members.items() if value is not None}
    if "HASH_CRC" not in changes:
        kept["HASH_CRC"] = sealed.hash_crc(
            HashMode.HMAC_SHA256, hmac_sha256(HASH_KEY), sealed.response_text(kept)
        )
    return kept


def success(**changes: str | None) -> Act:
    return lambda connection: connection.answer(200, envelope.write("RESPONSE", success_members(**changes)))


def refusal(
    rslt_cd: str, status: int, text: str = "거절", retry_after: str | None = None, **members: str
) -> Act:
    body = envelope.write("RESPONSE", {"RSLT_CD": rslt_cd, "RSLT_MSG": text, **members})
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return lambda connection: connection.answer(status, body, headers)


def plain(status: int, body: bytes = b"<html>", headers: Mapping[str, str] | None = None) -> Act:
    return lambda connection: connection.answer(status, body, headers)


def silence(seconds: float) -> Act:
    return lambda connection: time.sleep(seconds)


def reset(connection: Connection) -> None:
    connection.reset()


def truncated(connection: Connection) -> None:
    body = envelope.write("RESPONSE", success_members())
    connection.write(b"HTTP/1.1 200 x\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:-20])
    connection.reset()


def drip(pieces: Iterable[bytes], pause_s: float) -> Act:
    """Send a byte now and then: never idle for long, never done."""

    def act(connection: Connection) -> None:
        for piece in pieces:
            connection.write(piece)
            time.sleep(pause_s)

    return act
