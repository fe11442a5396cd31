"""The inspector's memory: the last requests to this sandbox, from any client, in this process alone.

It keeps what came and what went, and explains it when somebody looks: the path of a request pays for one append.
Nothing of it is kept outside sandbox mode, where the console does not exist.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from cpmqr.model import luhn_ok, mask_pan
from cpmqr.server.app import Application, Receive, Send
from cpmqr.server.paygw import Scope
from cpmqr.service.explain import Explanation
from cpmqr.service.explain_exchange import TITLES_KO, explain_exchange
from cpmqr.service.issue import Call, Issuer, Reply
from cpmqr.wire import codes
from cpmqr.wire.contract import korean_time

REQUESTS_MAX: Final = 200
BODY_BYTES_KEPT: Final = 16_384  # of each body of /v1; 200 of them are a few megabytes at the worst
AGENT_CHARACTERS_MAX: Final = 256
API_PREFIX: Final = "/v1/"

_PAN_LIKE = re.compile(r"(?<![0-9A-Za-z])\d{13,19}(?![0-9A-Za-z])")


_SUMMARY: Final = (
    "number",
    "at_s",
    "source",
    "agent",
    "method",
    "path",
    "http_status",
    "code",
    "cause",
    "ms",
)


class Entry(msgspec.Struct, frozen=True):
    """One request and its answer.

    Attributes:
        number: runs from 1, without gaps. at_s: when it was answered, with fractions.
        call, reply: of the PAYGW path; None for one of /v1, which has `sent` and `answered` instead.
    """

    number: int
    at_s: float
    source: str
    agent: str
    method: str
    path: str
    http_status: int
    code: str
    cause: str
    ms: float
    call: Call | None = None
    reply: Reply | None = None
    sent: bytes = b""
    answered: bytes = b""

    def summary(self) -> dict[str, Any]:
        """Give the line of the list."""
        trace_no = self.call.sent.get("TRNS_TRCE_NO", "") if self.call else ""
        return {name: getattr(self, name) for name in _SUMMARY} | {"trace_no": masked(trace_no)}


class Inspector:
    """Keeps the last `REQUESTS_MAX` exchanges.

    Args:
        now: seconds since the Unix epoch.
    """

    def __init__(self, issuer: Issuer, now: Callable[[], float]) -> None:
        self._issuer = issuer
        self._now = now
        self._entries: deque[Entry] = deque(maxlen=REQUESTS_MAX)
        self._count = 0

    def watch(self, call: Call, reply: Reply, seconds: float, scope: Scope) -> None:
        """Note an exchange of the PAYGW path."""
        call.alive = None  # it would keep a connection in memory that is long closed
        self._add(
            scope,
            reply.http_status if scope["method"] == "POST" else 405,
            reply.rslt_cd,
            reply.cause,
            seconds,
            call=call,
            reply=reply,
        )

    def watching(self, application: Application) -> Application:
        """Wrap the application of the other paths, so that those of /v1 are noted too."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or not scope["path"].startswith(API_PREFIX):
                await application(scope, receive, send)
                return
            exchange = _Exchange(receive, send)
            started = time.perf_counter()
            try:
                await application(scope, exchange.receive, exchange.send)
            finally:
                code, cause = _verdict(bytes(exchange.answered))
                self._add(
                    scope,
                    exchange.http_status,
                    code,
                    cause,
                    time.perf_counter() - started,
                    sent=bytes(exchange.sent),
                    answered=bytes(exchange.answered),
                )

        return watched

    def after(self, number: int) -> list[dict[str, Any]]:
        """Give the lines that came after one, oldest first."""
        return [entry.summary() for entry in self._entries if entry.number > number]

    def find(self, number: int) -> Entry | None:
        """Give an exchange by its number; None once it has been pushed out."""
        return next((entry for entry in self._entries if entry.number == number), None)

    def last_with_trace(self, trace_no: str) -> Entry | None:
        """Give the last exchange with a trace number."""
        for entry in reversed(self._entries):
            if entry.call is not None and trace_no in (
                entry.call.sent.get("TRNS_TRCE_NO"),
                entry.call.sent.get("TRNS_TRACE_NO"),
            ):
                return entry
        return None

    def detail(self, entry: Entry) -> dict[str, Any]:
        """Give everything about an exchange: what went over the wire, and the steps that it took."""
        explained: Explanation | None = None
        sent, answered = entry.sent, entry.answered
        if entry.call is not None and entry.reply is not None:
            explained = explain_exchange(self._issuer, entry.call, entry.reply)
            sent, answered = entry.call.body, entry.reply.body
        return {
            **entry.summary(),
            "request": {"content_type": entry.call.content_type if entry.call else "", "body": _text(sent)},
            "answer": {"http_status": entry.http_status, "body": _text(answered)},
            "text": explained.text if explained else entry.cause,
            "steps": [
                {**msgspec.to_builtins(step), "title_ko": TITLES_KO.get(step.title, step.title)}
                for step in (explained.steps if explained else ())
            ],
        }

    def _add(
        self, scope: Scope, http_status: int, code: str, cause: str, seconds: float, **more: Any
    ) -> None:
        self._count += 1
        self._entries.append(
            Entry(
                number=self._count,
                at_s=self._now(),
                source=scope["client"][0] if scope["client"] else "",
                agent=_agent(scope),
                method=scope["method"],
                path=scope["path"],
                http_status=http_status,
                code=code,
                cause=cause,
                ms=round(seconds * 1000, 2),
                **more,
            )
        )


class _Exchange:
    """Listens in on one exchange, and keeps the beginning of both bodies."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.sent = bytearray()
        self.answered = bytearray()
        self.http_status = 0

    async def receive(self) -> Any:
        message = await self._receive()
        self.sent += message.get("body", b"")[: BODY_BYTES_KEPT - len(self.sent)]
        return message

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.http_status = message["status"]
        self.answered += message.get("body", b"")[: BODY_BYTES_KEPT - len(self.answered)]
        await self._send(message)


def masked(text: str) -> str:
    """Give a text for people: what could be a PAN in it is masked."""
    return _PAN_LIKE.sub(_masked_digits, text)


def _text(body: bytes) -> str:
    return masked(body.decode("utf-8", "replace"))


def _masked_digits(match: re.Match[str]) -> str:
    digits = match.group()
    # One time in ten a moment passes for a PAN by its check digit.
    return mask_pan(digits) if luhn_ok(digits) and korean_time(digits) is None else digits


def _verdict(answered: bytes) -> tuple[str, str]:
    """Read code and reason off an answer of /v1; "" where it has none."""
    try:
        answer = msgspec.json.decode(answered)
    except (msgspec.DecodeError, RecursionError):
        return "", ""
    if not isinstance(answer, dict):
        return "", ""
    code = answer.get("rslt_cd")
    reason = answer.get("detail") or answer.get("title") or answer.get("rslt_msg") or ""
    return (code if code in codes.CODES else ""), str(reason)


def _agent(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"user-agent":
            return str(value.decode("latin-1"))[:AGENT_CHARACTERS_MAX]
    return ""
