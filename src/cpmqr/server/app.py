"""The edge of the main job: ASGI in, `service/issue.py`, ASGI out. No framework on this path.

Everything else (`/v1`, health, metrics) goes to the application of `server/routes.py`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from cpmqr.errors import Refusal
from cpmqr.server.observe import Observer
from cpmqr.server.paygw import PAYGW_PATH, Scope, Watch, answer_headers
from cpmqr.server.protocol import TRANSPORT_KEY
from cpmqr.service.issue import Call, Issuer, Reply
from cpmqr.wire import codes
from cpmqr.wire.contract import korean_time_s
from cpmqr.wire.envelope import BODY_BYTES_MAX

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# A body that is too long is read and thrown away up to this length: a client that is still sending when the connection
# goes would not see its answer.
DISCARD_BYTES_MAX: Final = 1_048_576

_CLOSE: Final = (b"connection", b"close")


class _ClientGone(Exception):
    """The connection went before the body was whole."""


class _Headers:
    """The few headers that the main job reads."""

    __slots__ = ("authorization", "content_type", "expects", "length", "sandbox_now", "sandbox_result")

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        self.authorization: str | None = None
        self.content_type = self.sandbox_now = self.sandbox_result = ""
        self.length = 0
        self.expects = False
        for name, value in headers:
            if name == b"authorization":
                # Sent twice it is nobody's: a proxy and we might each take another one.
                more = "" if self.authorization is None else f"{self.authorization}, "
                self.authorization = more + value.decode("latin-1")
            elif name == b"content-type":
                self.content_type = value.decode("latin-1")
            elif name == b"content-length":
                self.length = int(value)  # the HTTP parser has checked that it is a number
            elif name == b"expect":
                self.expects = True
            elif name == b"x-sandbox-now":
                self.sandbox_now = value.decode("latin-1")
            elif name == b"x-sandbox-result":
                self.sandbox_result = value.decode("latin-1")


class GatewayApp:
    """The ASGI application.

    Args:
        issuer: the main job. routes: everything else. now: seconds since the Unix epoch.
        watch: told of each request and reply, and how many seconds it took; None for nobody.
    """

    def __init__(
        self,
        issuer: Issuer,
        routes: Application,
        observer: Observer,
        now: Callable[[], float],
        watch: Watch | None = None,
    ) -> None:
        self._issuer = issuer
        self._routes = routes
        self._observer = observer
        self._now = now
        self._watch = watch
        self._sandbox = issuer.rules.sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event of ASGI 3."""
        if scope["type"] == "http" and scope["path"] == PAYGW_PATH:
            await self._paygw(scope, receive, send)
        else:
            await self._routes(scope, receive, send)

    async def _paygw(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _Headers(scope["headers"])
        started = time.perf_counter()
        call = Call(b"", headers.authorization, headers.content_type, int(self._now()))
        if scope["client"] is not None:
            call.source = scope["client"][0]
        refused = None
        if scope["method"] != "POST":
            refused = Refusal(codes.UNKNOWN_MESSAGE, "send it with POST")
        else:
            try:
                body = await _read_body(receive, headers)
            except _ClientGone:
                return
            if body is None:
                refused = Refusal(codes.TOO_LARGE, f"the body may have {BODY_BYTES_MAX} bytes")
            else:
                call.body = body
                call.now_s = int(self._now())
                started = time.perf_counter()
        transport = scope.get(TRANSPORT_KEY)
        if transport is not None:
            call.alive = lambda: not transport.is_closing()
        if self._sandbox:
            refused = refused or _sandbox_wishes(call, headers)
        reply = self._issuer.refuse(call, refused) if refused else await self._issuer.answer(call)
        if reply is None:
            return  # dropped from the queue, since nobody is there to be answered
        await _send(send, reply, close=reply.rslt_cd == codes.TOO_LARGE, method=scope["method"])
        seconds = time.perf_counter() - started
        self._observer.answered([(reply, seconds, call.skew_s)])
        if self._watch is not None:
            self._watch(call, reply, seconds, scope)


async def _read_body(receive: Receive, headers: _Headers) -> bytes | None:
    """Read a body of at most `BODY_BYTES_MAX`; None if it is longer, however it is sent.

    Raises:
        _ClientGone: the connection went before the body was whole.
    """
    if headers.length > DISCARD_BYTES_MAX or (headers.length > BODY_BYTES_MAX and headers.expects):
        return None
    body = b""
    length = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientGone
        chunk = message.get("body", b"")
        length += len(chunk)
        if length <= BODY_BYTES_MAX:
            body += chunk
        elif length > DISCARD_BYTES_MAX:
            return None
        more = message.get("more_body", False)
    return body if length <= BODY_BYTES_MAX else None


async def _send(send: Send, reply: Reply, *, close: bool, method: str) -> None:
    headers = answer_headers(reply)
    if close:
        headers.append(_CLOSE)  # the rest of a body that is far too long is not read
    status = reply.http_status
    if method != "POST":
        status = 405
        headers.append((b"allow", b"POST"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


def _sandbox_wishes(call: Call, headers: _Headers) -> Refusal | None:
    """Take over what the sandbox's headers ask for: another clock, a code."""
    call.sandbox_result = headers.sandbox_result
    if headers.sandbox_now:
        now_s = korean_time_s(headers.sandbox_now)
        if now_s is None or not headers.sandbox_now.startswith("20"):  # a payload's years have two digits
            return Refusal(
                codes.MEMBER_WRONG, "X-Sandbox-Now must be 20yymmddHHMMSS in Korean time, a real date"
            )
        call.now_s = now_s
    return None
