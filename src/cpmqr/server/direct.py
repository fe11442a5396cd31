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
from typing import Final, Protocol

from cpmqr.server.observe import Observer
from cpmqr.server.paygw import PAYGW_PATH, Scope, Watch
from cpmqr.server.plain import Headers, PlainRequest
from cpmqr.service.issue import Call, Issuer, Reply

# So many go through the main job before the event loop looks round: meanwhile a batch can leave for the database, or
# come back from it. More than a crowd of them do not wait for that: here nobody counts how long they do.
BEGUN_AT_ONCE: Final = 12
CROWD: Final = 64

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
        issuer: the main job. traced: its `begin` with a span around it, which needs the headers.
        now: seconds since the Unix epoch. watch: as `GatewayApp` has it.
    """

    def __init__(
        self,
        issuer: Issuer,
        observer: Observer,
        now: Callable[[], float],
        watch: Watch | None = None,
        traced: TracedBegin | None = None,
    ) -> None:
        self._issuer = issuer
        self._observer = observer
        self._now = now
        self._watch = watch
        self._traced = traced
        self._arrived: list[tuple[PlainRequest, Connection, float]] = []
        self._turned_away: list[Connection] = []
        self._answers: list[tuple[Call, Headers, Connection, float, Reply | None]] = []
        self._is_sending = False

    def take(self, request: PlainRequest, connection: Connection) -> None:
        """Serve a whole request; the connection is told its answer from the event loop, never from here."""
        if self._issuer.turn_away() is not None:
            self._turned_away.append(connection)
            self._send_soon()
            return
        # Those of one round of the event loop go through the main job one after the other: between two system calls
        # each would find the processor's caches filled with something else (docs/performance.md).
        if not self._arrived:
            asyncio.get_running_loop().call_soon(self._begin)
        self._arrived.append((request, connection, time.perf_counter()))

    def _begin(self) -> None:
        arrived, self._arrived = self._arrived, []
        if BEGUN_AT_ONCE < len(arrived) <= CROWD:
            arrived, self._arrived = arrived[:BEGUN_AT_ONCE], arrived[BEGUN_AT_ONCE:]
            asyncio.get_running_loop().call_soon(self._begin)
        for request, connection, started in arrived:
            client, headers = connection.client, request.head.headers
            call = Call(
                request.body,
                request.authorization,
                request.head.content_type,
                int(self._now()),
                source="" if client is None else client[0],
                alive=connection.is_open,
            )
            done = partial(self._done, call, headers, connection, started)
            if self._traced is None:
                self._issuer.begin(call, done)
            else:
                self._traced(call, done, headers)

    def _done(
        self, call: Call, headers: Headers, connection: Connection, started: float, reply: Reply | None
    ) -> None:
        self._answers.append((call, headers, connection, started, reply))
        self._send_soon()

    def _send_soon(self) -> None:
        # What one round of the event loop has answered is sent in one go, then counted and logged. Sent one by one
        # each answer would wake its reader, who would be asleep again before the next: twice the system's time.
        if not self._is_sending:
            self._is_sending = True
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._is_sending = False
        turned_away, self._turned_away = self._turned_away, []
        answers, self._answers = self._answers, []
        refusal = self._issuer.turned_away
        for connection in turned_away:
            self._answer(connection, refusal)
        for _, _, connection, _, reply in answers:
            self._answer(connection, reply)
        if turned_away:
            self._observer.turned_away(refusal, len(turned_away))
        if not answers:  # an overload has rounds that only refuse
            return
        now = time.perf_counter()
        told = [
            (call, headers, connection, reply, now - started)
            for call, headers, connection, started, reply in answers
            if reply is not None
        ]
        self._observer.answered([(reply, seconds, call.skew_s) for call, _, _, reply, seconds in told])
        if self._watch is not None:
            for call, headers, connection, reply, seconds in told:
                self._watch(call, reply, seconds, _scope(connection, headers))

    def _answer(self, connection: Connection, reply: Reply | None) -> None:
        try:
            connection.answer(reply)
        except Exception as error:  # one connection's trouble must not keep the others from their answers
            self._observer.incident("an answer could not be sent", error)


def _scope(connection: Connection, headers: Headers) -> Scope:
    return {"method": "POST", "path": PAYGW_PATH, "client": connection.client, "headers": headers}
