"""OpenTelemetry traces, where a deployment names a collector: a span for a request, one for a transaction of its batch.

Imported only then, so that nobody else pays for it. A span carries the method, the status, the code and the
requestor: no PAN, no trace number (a wallet's own text), no path with a handle in it, nothing secret.

A transaction carries many requests. Its span is a child of the first of them that is traced, and linked with the
others that are; where none is, there is no span.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, Generic, TypeVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, Span, SpanKind, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from cpmqr.server.app import Application, Receive, Send
from cpmqr.server.direct import Begin, Done, TracedBegin
from cpmqr.server.paygw import PAYGW_PATH, Scope, Watch
from cpmqr.server.plain import Headers
from cpmqr.server.settings import Tracing as TracingSettings
from cpmqr.service.batch import Batcher, Tell
from cpmqr.service.issue import Call, Reply
from cpmqr.wire import codes

Intent = TypeVar("Intent")
Outcome = TypeVar("Outcome")

EXPORT_TIMEOUT_S: Final = 2.0  # with all its tries; a drain waits for the last one
_V1: Final = "/v1"


class Tracing:
    """The tracer of one process; it exports in a thread of its own, and drops what a collector does not take."""

    def __init__(self, settings: TracingSettings) -> None:
        sampler = ParentBased(
            TraceIdRatioBased(settings.sample)
        )  # who sends `traceparent` has decided already
        self._provider = TracerProvider(sampler, Resource.create({"service.name": settings.service_name}))
        self._provider.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(settings.endpoint, timeout=EXPORT_TIMEOUT_S))
        )
        self._tracer = self._provider.get_tracer("cpmqr")
        self._propagator = TraceContextTextMapPropagator()

    def watching(self, app: Application) -> Application:
        """Wrap the application: each request of the main job and of `/v1` gets a span."""

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            route = _route(scope)
            if not route:
                await app(scope, receive, send)
                return
            name = f"{scope['method']} {route}"
            context = self._context(scope["headers"])
            with self._tracer.start_as_current_span(name, context, SpanKind.SERVER) as span:
                span.set_attribute("http.request.method", scope["method"])
                span.set_attribute("http.route", route)

                async def sending(message: Scope) -> None:
                    if message["type"] == "http.response.start":
                        span.set_attribute("http.response.status_code", message["status"])
                    await send(message)

                await app(scope, receive, sending)

        return traced

    def noting(self, watch: Watch | None) -> Watch:
        """Make a watcher that adds to a request's span what came of it, and tells the other watcher."""

        def note(call: Call, reply: Reply, seconds: float, scope: Scope) -> None:
            _note(trace.get_current_span(), reply)
            if watch is not None:
                watch(call, reply, seconds, scope)

        return note

    def beginning(self, begin: Begin) -> TracedBegin:
        """Wrap the main job for the direct way: each request gets the span that `watching` gives it the usual way."""

        def traced(call: Call, done: Done, headers: Headers) -> None:
            span = self._tracer.start_span(f"POST {PAYGW_PATH}", self._context(headers), SpanKind.SERVER)
            span.set_attribute("http.request.method", "POST")
            span.set_attribute("http.route", PAYGW_PATH)

            def ended(reply: Reply | None) -> None:
                if reply is not None:
                    span.set_attribute("http.response.status_code", reply.http_status)
                    _note(span, reply)
                span.end()
                done(reply)

            with trace.use_span(span):
                begin(call, ended)

        return traced

    def _context(self, headers: Iterable[tuple[bytes, bytes]]) -> Context:
        """Read who asked first off a request's headers."""
        sent = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in headers
            if name in (b"traceparent", b"tracestate")
        }
        return self._propagator.extract(sent)

    def batcher(
        self, carry_out: Callable[[Sequence[Intent]], Awaitable[Sequence[Outcome]]], **options: Any
    ) -> Batcher[Intent, Outcome]:
        """Make a batcher whose transactions have spans; arguments as `Batcher`'s."""
        transactions = _Transactions(self._tracer, carry_out)
        return Batcher(transactions.carry_out, joining=transactions.joining, **options)

    async def close(self) -> None:
        """Export what is left."""
        await asyncio.to_thread(self._provider.shutdown)


class _Transactions(Generic[Intent, Outcome]):
    """Remembers which span each waiting intent belongs to, and gives their transaction its own."""

    def __init__(
        self, tracer: Tracer, carry_out: Callable[[Sequence[Intent]], Awaitable[Sequence[Outcome]]]
    ) -> None:
        self._tracer = tracer
        self._carry_out = carry_out
        self._spans: dict[int, Span] = {}

    def joining(self, intent: Intent, tell: Tell[Outcome]) -> Tell[Outcome]:
        span = trace.get_current_span()
        if not span.is_recording():
            return tell
        self._spans[id(intent)] = span

        def forget(outcome: Outcome | BaseException) -> None:
            self._spans.pop(id(intent), None)
            tell(outcome)

        return forget

    async def carry_out(self, intents: Sequence[Intent]) -> Sequence[Outcome]:
        spans = [span for intent in intents if (span := self._spans.get(id(intent))) is not None]
        if not spans:
            return await self._carry_out(intents)
        with self._tracer.start_as_current_span(
            "store batch",
            trace.set_span_in_context(spans[0]),
            SpanKind.CLIENT,
            {"cpmqr.batch_size": len(intents)},
            [Link(span.get_span_context()) for span in spans[1:]],
        ):
            return await self._carry_out(intents)


def _note(span: Span, reply: Reply) -> None:
    span.set_attribute("cpmqr.rslt_cd", reply.rslt_cd)
    if reply.rslt_cd == codes.OK:  # else it is what the sender wrote, which may be anything
        span.set_attribute("cpmqr.requestor_id", reply.requestor_id)
        span.set_attribute("cpmqr.repeated", reply.repeated)


def _route(scope: Scope) -> str:
    """Name what is asked without what only this request has: a path of `/v1` may hold a handle or a token."""
    if scope["type"] != "http":
        return ""
    path: str = scope["path"]
    if path == PAYGW_PATH:
        return path
    return _V1 if path.startswith(f"{_V1}/") else ""
