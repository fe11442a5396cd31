"""`/v1` over HTTP: one frame around all operations of `wire/operations.py`.

For each call, in this order: size (1006), content type (1007), credential (2001), role and network (2002), suspension
(2003), rate (8001), then body and query (1001 to 1003), then the operation itself. Whatever happens, the answer is
JSON: an operation's own struct, or a problem (RFC 9457) with the catalogue's code.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from cpmqr.crypto.suites import Entropy
from cpmqr.errors import CpmqrError, Refusal
from cpmqr.server.v1_calls import Ask, Calls
from cpmqr.server.v1_metrics import V1Metrics
from cpmqr.service.access import Access, Principal
from cpmqr.service.faults import refusal_of
from cpmqr.service.issue import wished_for
from cpmqr.service.limits import RateLimits
from cpmqr.service.verify import Verdict
from cpmqr.wire import codes, problem, strict, v1
from cpmqr.wire.contract import korean_time_s
from cpmqr.wire.envelope import charset_of
from cpmqr.wire.operations import OPERATIONS, Operation

Serve = Callable[[Operation, Request], Awaitable[Response]]

_NO_BODY: Final = (b"", b"{}")  # some clients send an empty object where there is nothing to say
_ENCODE: Final = msgspec.json.Encoder().encode


class V1:
    """The frame.

    Args:
        limits: of `/v1` alone, so that a wallet that looks after its QRs does not use up what it may issue.
        report: told of an unexpected error, with the incident id that the caller was given.
        now: seconds since the Unix epoch.
        sandbox: exact causes, and the headers X-Sandbox-Now and X-Sandbox-Result.
    """

    def __init__(
        self,
        calls: Calls,
        access: Access,
        limits: RateLimits,
        metrics: V1Metrics,
        report: Callable[[str, BaseException], None],
        now: Callable[[], float],
        entropy: Entropy,
        *,
        sandbox: bool,
    ) -> None:
        self._calls = calls
        self._access = access
        self._limits = limits
        self._metrics = metrics
        self._report = report
        self._now = now
        self._entropy = entropy
        self._sandbox = sandbox

    def routes(self) -> list[Route]:
        """Give a route for each path of the table; a path's methods share it, so that a 405 names them all."""
        paths: dict[str, dict[str, Operation]] = {}
        for operation in OPERATIONS:
            paths.setdefault(operation.path, {})[operation.method] = operation
        # A path without parameters first: /v1/qrs/batch is no handle.
        ordered = sorted(paths, key=lambda path: path.count("{"))
        return [Route(path, _Path(paths[path], self._serve)) for path in ordered]

    async def _serve(self, operation: Operation, request: Request) -> Response:
        started = time.perf_counter()
        principal: Principal | None = None
        response: v1.Answer | Verdict
        retry_after_s: int | None = None
        try:
            body = await _read_body(request)
            principal = self._admit(operation, request, body)
            ask = Ask(
                principal,
                _source(request),
                self._time(request),
                request.path_params,
                _read(operation, request, body),
            )
            response = await getattr(self._calls, operation.name)(ask)
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody
        except CpmqrError as error:
            refusal = refusal_of(error)
            if refusal is None:
                response = self._incident(operation, error)
            else:
                retry_after_s = refusal.retry_after_s
                response = self._problem(operation, refusal)
        except Exception as error:
            response = self._incident(operation, error)
        self._metrics.answered(operation, principal, response, time.perf_counter() - started)
        return _respond(operation, response, retry_after_s)

    def _admit(self, operation: Operation, request: Request, body: bytes) -> Principal:
        """Check what needs no look into the body."""
        has_body = operation.body is not None or body.strip() not in _NO_BODY
        if has_body and charset_of(request.headers.get("content-type", "")) != "utf-8":
            raise Refusal(codes.CONTENT_TYPE, "charset must be utf-8")
        principal = self._access.identify(request.headers.get("authorization"))
        if self._sandbox and "x-sandbox-result" in request.headers:
            raise wished_for(request.headers["x-sandbox-result"])
        self._access.admit(principal, _source(request), *operation.roles)
        if principal.requestor.suspended:
            raise Refusal(codes.REQUESTOR_SUSPENDED)
        self._limits.take(principal.requestor)
        return principal

    def _time(self, request: Request) -> int:
        wish = request.headers.get("x-sandbox-now") if self._sandbox else None
        if wish is None:
            return int(self._now())
        now_s = korean_time_s(wish)
        if now_s is None or now_s < 0:
            raise Refusal(
                codes.MEMBER_WRONG,
                "X-Sandbox-Now must be yyyymmddHHMMSS in Korean time, a real date since 1970",
            )
        return now_s

    def _problem(self, operation: Operation, refusal: Refusal, incident: str = "") -> v1.Problem:
        return problem.problem(
            operation.refused, refusal.rslt_cd, refusal.cause, sandbox=self._sandbox, incident=incident
        )

    def _incident(self, operation: Operation, error: BaseException) -> v1.Problem:
        incident = self._entropy(4).hex()
        self._report(incident, error)
        return self._problem(operation, Refusal(codes.INTERNAL, type(error).__name__), incident)


class _Path:
    """One path with its methods, as an ASGI application: so it has all of them, and answers 405 itself.

    A route with a list of methods would hand the others on to the next that fits: GET /v1/qrs/batch to the one that
    takes "batch" for a handle.
    """

    def __init__(self, operations: dict[str, Operation], serve: Serve) -> None:
        self._operations = operations
        self._serve = serve
        self._allow = ", ".join([*operations, *(["HEAD"] if "GET" in operations else [])])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        operation = self._operations.get(method)
        if operation is None:
            raise HTTPException(405, headers={"Allow": self._allow})
        response = await self._serve(operation, Request(scope, receive, send))
        await response(scope, receive, send)


async def _read_body(request: Request) -> bytes:
    """Read a body of at most 64 KiB, however it is sent.

    Raises:
        Refusal: 1006.
    """
    declared = request.headers.get("content-length", "0")
    body = bytearray()
    if not declared.isdigit() or int(declared) <= strict.BODY_BYTES_MAX:
        async for chunk in request.stream():
            body += chunk
            if len(body) > strict.BODY_BYTES_MAX:
                break
        else:
            return bytes(body)
    raise Refusal(codes.TOO_LARGE, f"the body may have {strict.BODY_BYTES_MAX} bytes")


def _read(operation: Operation, request: Request, body: bytes) -> v1.Body:
    query = strict.read_query(request.query_params.multi_items(), operation.query or v1.NoMembers)
    if operation.body is not None:
        return strict.read_body(body, operation.body)
    if body.strip() not in _NO_BODY:
        raise Refusal(codes.MEMBER_WRONG, "this call takes no body")
    return query


def _source(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def _respond(operation: Operation, response: v1.Answer | Verdict, retry_after_s: int | None) -> Response:
    headers = {"cache-control": "no-store"}
    if isinstance(response, Verdict):
        if response.repeated:
            headers["x-answered-before"] = "true"
        response = response.body
    if not isinstance(response, v1.Problem):
        return Response(_ENCODE(response), operation.status, headers, "application/json")
    if retry_after_s is not None:
        headers["retry-after"] = str(retry_after_s)
    if response.incident:
        headers["x-incident-id"] = response.incident
    if response.rslt_cd == codes.TOO_LARGE:
        headers["connection"] = "close"  # the rest of the body is not read
    return Response(_ENCODE(response), response.status, headers, problem.MEDIA_TYPE)
