"""The real `cpmqr serve --sandbox` as a process, and raw connections to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests import by_hand

START_S_MAX = 20.0
JSON_TYPE = "application/json; charset=utf-8"


class Process:
    """A running gateway; what it writes goes into files beside its data."""

    def __init__(self, data: Path, *options: str, tls: ssl.SSLContext | None = None) -> None:
        self.data = data
        self._tls = tls
        self.log = data.parent / f"{data.name}.log"
        self._started_at = time.time()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "cpmqr",
                    "serve",
                    "--sandbox",
                    "--port",
                    "0",
                    "--data",
                    str(data),
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={name: value for name, value in os.environ.items() if not name.startswith("CPMQR_")},
            )
        self.wallet: by_hand.Wallet
        self.secrets: set[str] = set()
        self.host = "127.0.0.1"
        self.port = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise AssertionError(
                    f"serve ended with {self._process.returncode}: {self.log.read_text()[-2000:]}"
                )
            with contextlib.suppress(OSError, ValueError, KeyError, http.client.HTTPException):
                file = self.data / "sandbox.json"
                # A second start finds the file of the first: it is ours once it names a port that answers.
                port = urlsplit(json.loads(file.read_text())["base_url"]).port
                if port and self._owns(port):
                    self.port = port
                    self.wallet = by_hand.Wallet.from_file(file)
                    if self.get("/readyz")[0] == 200:
                        return
            time.sleep(0.02)
        raise AssertionError(f"not ready in {START_S_MAX} s: {self.log.read_text()[-2000:]}")

    def _owns(self, port: int) -> bool:
        wanted = f":{port:04X} "
        mine = {str(link.readlink()) for link in Path(f"/proc/{self.pid}/fd").iterdir() if link.is_symlink()}
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1].endswith(wanted.strip()) and fields[3] == "0A":
                return f"socket:[{fields[9]}]" in mine
        return False

    def connection(self, timeout: float = 10.0) -> http.client.HTTPConnection:
        if self._tls is not None:
            return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=self._tls)
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def get(self, path: str) -> tuple[int, bytes]:
        connection = self.connection()
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def post(
        self,
        body: bytes,
        headers: dict[str, str] | None = None,
        *,
        connection: http.client.HTTPConnection | None = None,
    ) -> Answer:
        """Send a body with the wallet's credential; a header given as "" is not sent."""
        sent = {"Authorization": self.wallet.authorization, "Content-Type": JSON_TYPE, **(headers or {})}
        made = connection or self.connection()
        try:
            made.request("POST", by_hand.PATH, body, {name: value for name, value in sent.items() if value})
            response = made.getresponse()
            answer = Answer(response.status, dict(response.getheaders()), response.read())
            self.secrets |= secrets_in(body) | secrets_in(answer.body)
            return answer
        finally:
            if connection is None:
                made.close()

    def ask(self, headers: dict[str, str] | None = None, **wishes: Any) -> Answer:
        """Send a good request, but for what is wished otherwise."""
        return self.post(by_hand.body_of(self.wallet.signed(**wishes)), headers)

    def raw(self, data: bytes, *, timeout: float = 5.0, half_close: bool = False) -> bytes:
        """Send bytes as they are; give all that comes until the other side closes or says nothing for `timeout`."""
        with socket.create_connection((self.host, self.port), timeout=timeout) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(data)
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
            return received(connection)

    def head(self, body_bytes: int | None, *more: str, method: str = "POST", version: str = "1.1") -> bytes:
        """The head of a request with the wallet's credential."""
        lines = [
            f"{method} {by_hand.PATH} HTTP/{version}",
            "Host: gateway",
            f"Authorization: {self.wallet.authorization}",
            f"Content-Type: {JSON_TYPE}",
            *([] if body_bytes is None else [f"Content-Length: {body_bytes}"]),
            *more,
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def terminate(self, timeout: float = 30.0) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def secrets_in_log(self) -> set[str]:
        """What of all that went over the wire, and of sandbox.json, stands in the output of all runs so far."""
        known = self.wallet.known
        wanted = {token["pan"] for token in known["tokens"]} | {
            known["hash_crc"]["key_hex"],
            known["authorization"],
        }
        wanted |= {key["key_hex"] for key in known["crypto_types"].values()}
        wanted |= {key["master_key_hex"] for key in known["issuer_keys"].values()}
        wanted |= {known[name]["authorization"] for name in ("authoriser", "operator", "suspended_requestor")}
        wanted |= {(self.data / "kek.key").read_text().strip()} | self.secrets
        text = self.log.read_text("utf-8").lower()
        return {secret for secret in wanted if len(secret) > 8 and secret.lower() in text}

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None


class Answer:
    """An answer over HTTP; `.response` insists on the envelope."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body

    @property
    def response(self) -> dict[str, str]:
        return by_hand.response_of(self.body)

    @property
    def code(self) -> str:
        return self.response["RSLT_CD"]

    def __repr__(self) -> str:
        return f"<{self.status} {self.body[:200]!r}>"


def secrets_in(body: bytes) -> set[str]:
    """The values that must not be logged, of a request's or an answer's body; whatever is no envelope has none."""
    try:
        paygw = json.loads(body)["PAYGW"]
        members = paygw.get("REQUEST") or paygw["RESPONSE"]
        return {members[name] for name in ("ENC_DATA", "CPMQR_DATA") if name in members}
    except (ValueError, TypeError, KeyError, AttributeError):
        return set()


@contextlib.contextmanager
def serving(data: Path, *options: str, tls: ssl.SSLContext | None = None) -> Iterator[Process]:
    """Run a gateway until the block ends; whatever happens, it is gone afterwards."""
    process = Process(data, *options, tls=tls)
    try:
        process.wait_ready()
        yield process
    finally:
        if process.is_running:
            process.kill()


def received(connection: socket.socket) -> bytes:
    """All that comes until the end, or until nothing comes for the connection's timeout."""
    data = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        while more := connection.recv(65_536):
            data += more
    return data
