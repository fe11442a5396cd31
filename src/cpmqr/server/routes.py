"""Everything off the hot path: health, readiness, metrics; `/v1` and the console join here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from cpmqr.server.observe import Observer


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
        observer.ready.set(0 if reason else 1)
        return json_response({"status": reason or "ready"}, 503 if reason else 200)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(observer.registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics), *more],
        exception_handlers={HTTPException: _http_problem},
        lifespan=lifespan,
    )


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
    status = error.status_code if isinstance(error, HTTPException) else 500
    response = problem(status, HTTPStatus(status).phrase)
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response
