"""The direct way: from a plain request's bytes to the main job and back, without ASGI.

Through parser, ASGI and a task of its own a request costs more than all that the main job does with its members
(docs/decisions/direct-way.md). A plain one (`server/plain.py`) needs none of that: the connection hands it over here,
and is told its answer. What it hears is to the byte what it would hear the usual way, through `server/app.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from cpmqr.server.observe import Observer
from cpmqr.server.paygw import PAYGW_PATH, Scope, Watch
from cpmqr.server.plain import Headers, PlainRequest
from cpmqr.service.issue import Call, Reply

Done = Callable[[Reply | None], None]
Begin = Callable[[Call, Done], None]
TracedBegin = Callable[[Call, Done, Headers], None]


class Connection(Protocol):
    """Where a request came from, and where its answer goes."""

    @property
    def client(self) -> tuple[str, int] | None:
        """Its address and port."""
        ...

    def is_open(self) -> bool:
        """Tell whether the client is still there."""
        ...

    def answer(self, reply: Reply | None) -> None:
        """Send the answer, and take the next request; with None, nobody is there."""
        ...


class Direct:
    """Serves plain requests.

    Args:
        begin: the main job, `Issuer.begin`. traced: the same with a span around it, which needs the headers.
        now: seconds since the Unix epoch. watch: as `GatewayApp` has it.
    """

    def __init__(
        self,
        begin: Begin,
        observer: Observer,
        now: Callable[[], float],
        watch: Watch | None = None,
        traced: TracedBegin | None = None,
    ) -> None:
        self._begin = begin
        self._observer = observer
        self._now = now
        self._watch = watch
        self._traced = traced
        self._answers: list[tuple[Call, Headers, Connection, float, Reply | None]] = []

    def take(self, request: PlainRequest, connection: Connection) -> None:
        """Serve a whole request; the connection is told its answer, perhaps at once."""
        client = connection.client
        call = Call(
            request.body,
            request.authorization,
            request.head.content_type,
            int(self._now()),
            source="" if client is None else client[0],
            alive=connection.is_open,
        )
        done = partial(self._done, call, request.head.headers, connection, time.perf_counter())
        if self._traced is None:
            self._begin(call, done)
        else:
            self._traced(call, done, request.head.headers)

    def _done(
        self, call: Call, headers: Headers, connection: Connection, started: float, reply: Reply | None
    ) -> None:
        if not self._answers:
            # What one round of the event loop has answered is sent in one go, then counted and logged. Sent one by one
            # each answer would wake its reader, who would be asleep again before the next: twice the system's time.
            asyncio.get_running_loop().call_soon(self._send)
        self._answers.append((call, headers, connection, started, reply))

    def _send(self) -> None:
        answers, self._answers = self._answers, []
        for _, _, connection, _, reply in answers:
            connection.answer(reply)
        now = time.perf_counter()
        answered = [
            (reply, now - started, call.skew_s) for call, _, _, started, reply in answers if reply is not None
        ]
        self._observer.answered(answered)
        if self._watch is None:
            return
        for call, headers, connection, started, reply in answers:
            if reply is not None:
                scope: Scope = {
                    "method": "POST",
                    "path": PAYGW_PATH,
                    "client": connection.client,
                    "headers": headers,
                }
                self._watch(call, reply, now - started, scope)
