"""Everything off the hot path: health, readiness, metrics; `/v1` and the console join here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from cpmqr.server.observe import Observer
from cpmqr.wire import codes, v1
from cpmqr.wire import problem as wire_problem


class Lifecycle(msgspec.Struct):
    """What the application starts and stops with it, and how it tells that it is ready.

    `not_ready` gives the reason in words, or "" when the gateway takes requests.
    """

    start: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]]
    not_ready: Callable[[], Awaitable[str]]


def make_routes(lifecycle: Lifecycle, observer: Observer, more: Sequence[BaseRoute] = ()) -> Starlette:
    """Build the application for every path but the main job's."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await lifecycle.start()
        try:
            yield
        finally:
            await lifecycle.stop()

    async def healthz(_: Request) -> Response:
        return json_response({"status": "ok"})

    async def readyz(_: Request) -> Response:
        reason = await lifecycle.not_ready()
        observer.metrics.ready.set(0 if reason else 1)
        return json_response({"status": reason or "ready"}, 503 if reason else 200)

    async def metrics(_: Request) -> Response:
        return Response(observer.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    app = Starlette(
        routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics), *more],
        exception_handlers={HTTPException: _http_problem},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # a path with a slash too many is another path: 404, as documented
    return app


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with JSON; nothing of it may be kept by a cache."""
    return Response(
        msgspec.json.encode(value),
        status,
        {"cache-control": "no-store", **(headers or {})},
        media_type="application/json",
    )


def problem(status: int, title: str, **members: Any) -> Response:
    """Answer with problem details (RFC 9457)."""
    body = {"type": "about:blank", "title": title, "status": status, **members}
    return Response(
        msgspec.json.encode(body),
        status,
        {"cache-control": "no-store"},
        media_type="application/problem+json",
    )


async def _http_problem(request: Request, error: Exception) -> Response:
    """Say that there is no such page or method: to HTTP by its own status, to a program by 1004 too."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = codes.UNKNOWN_MESSAGE if status in _NOT_HERE else codes.INTERNAL
    body = wire_problem.problem(v1.Problem, code, http_status=status)
    body = msgspec.structs.replace(body, detail=_NOT_HERE.get(status, body.detail))
    headers = {"cache-control": "no-store"}
    if isinstance(error, HTTPException) and error.headers:
        headers |= error.headers
    return Response(msgspec.json.encode(body), status, headers, wire_problem.MEDIA_TYPE)


_NOT_HERE = {404: "there is no such path", 405: "this path has other methods, which Allow names"}
