"""Calls of `/v1`: what is sent, how its answer is judged, and two drivers that send it.

What is tried again, and how it ends (`repeatable` calls are safe to repeat; the others change something each time):

    no connection                              again           Unreachable
    lost after sending, 9003, 9999, bare 5xx   if repeatable   OutcomeUnknown
    8001, 9001, 9002                           after the wait  Refused
    any other refusal                          no              Refused
    an answer that is none of `/v1`            no              UntrustedAnswer
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Generic, Literal, Self, TypeVar
from urllib.parse import quote, urlencode

import anyio
import httpx
import msgspec

from cpmqr.client.answer import Answer, retry_after_s
from cpmqr.client.endpoint import Endpoint
from cpmqr.client.exchange import Failed, Failure
from cpmqr.client.http import DeadlineTransport, attempt, attempt_async, client_options, ssl_context
from cpmqr.errors import (
    ConfigError,
    CpmqrError,
    EncodeError,
    OutcomeUnknown,
    Refused,
    Unreachable,
    UntrustedAnswer,
)
from cpmqr.wire import codes, problem, v1

Kind = TypeVar("Kind")

_WAITS: Final = (codes.RATE_LIMIT, codes.OVERLOADED, codes.KEY_STORE)
_IN_DOUBT: Final = (codes.TIMED_OUT, codes.INTERNAL)
_PAUSE_MAX_S: Final = 5.0
_DETAIL_CHARACTERS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class V1Call(Generic[Kind]):
    """One call, not yet sent.

    Attributes:
        path: below the endpoint, percent-encoded. body: JSON, or b"".
        read: makes of an HTTP answer what the call gives, or raises.
        repeatable: sent twice it does what it does once.
    """

    method: Literal["GET", "POST"]
    path: str
    read: Callable[[Answer], Kind]
    body: bytes = b""
    repeatable: bool = True

    def __repr__(self) -> str:
        return f"<call {self.method} {self.path.split('?')[0]}>"


def get(kind: type[Kind], *path: str, **query: str | int | None) -> V1Call[Kind]:
    """Make a call that reads; `None` in the query is left out."""
    given = {name: value for name, value in query.items() if value is not None}
    return V1Call("GET", path_of(*path) + (f"?{urlencode(given)}" if given else ""), reading(kind))


def post(
    kind: type[Kind], *path: str, body: Mapping[str, object] | None = None, repeatable: bool = True
) -> V1Call[Kind]:
    """Make a call that does something; `None` in the body is left out."""
    return V1Call("POST", path_of(*path), reading(kind), body_of(body) if body else b"", repeatable)


def path_of(*parts: str) -> str:
    """Write a path below `/v1`.

    Raises:
        EncodeError: an id that would lead to another path.
    """
    if any(part in ("", ".", "..") for part in parts):
        raise EncodeError("an id is not empty, and no dots alone")
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def body_of(members: Mapping[str, object]) -> bytes:
    """Write a body; what is None is left out."""
    return msgspec.json.encode({name: value for name, value in members.items() if value is not None})


def reading(kind: type[Kind]) -> Callable[[Answer], Kind]:
    """Read a success into a struct; anything else is raised."""

    def read(came: Answer) -> Kind:
        if 200 <= came.status <= 299:
            return read_answer(kind, came)
        raise refusal_of(came)

    return read


def judge(call: V1Call[Kind], came: Answer | Failure) -> Kind:
    """Turn what came into what the call gives.

    Raises:
        Refused, Unreachable, OutcomeUnknown, UntrustedAnswer: see the table at the head of this file.
    """
    if not isinstance(came, Failure):
        return call.read(came)
    if came.kind in (Failed.NO_CONNECTION, Failed.NOT_TRUSTED):
        raise Unreachable(f"the gateway can't be reached: {came}")
    raise OutcomeUnknown(f"whether it was done is not known: {came}")


def read_answer(kind: type[Kind], came: Answer) -> Kind:
    """Read a body into its struct.

    Raises:
        UntrustedAnswer: it is none.
    """
    if not came.complete or came.encoded:
        raise UntrustedAnswer("the answer is too long, or compressed")
    try:
        return msgspec.json.decode(came.body, type=kind)
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise UntrustedAnswer(f"HTTP {came.status} came with a body that is none of /v1") from None


def refusal_of(came: Answer) -> CpmqrError:
    """Give the error that an answer other than 2xx is."""
    try:
        told = read_answer(v1.Problem, came)
    except UntrustedAnswer as error:
        if came.status >= 500:
            return OutcomeUnknown(f"whether it was done is not known: HTTP {came.status}")
        return error
    text = f"{told.rslt_msg}: {told.detail}"[:_DETAIL_CHARACTERS_MAX]
    code = codes.CODES.get(told.rslt_cd)
    return Refused(
        told.rslt_cd,
        text,
        came.status,
        retryable=code is not None and code.retryable,
        retry_after_s=retry_after_s(came),
    )


def _may_help(call: V1Call[Kind], error: CpmqrError) -> bool:
    if isinstance(error, Refused):
        return error.rslt_cd in _WAITS or (error.rslt_cd in _IN_DOUBT and call.repeatable)
    return isinstance(error, Unreachable) or (isinstance(error, OutcomeUnknown) and call.repeatable)


class Caller:
    """What both drivers share: the endpoint, headers, and when to try again."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.endpoint.url}>"

    def _headers(self, call: V1Call[Kind]) -> dict[str, str]:
        headers = {
            **self.endpoint.headers,
            "Authorization": self.endpoint.authorization,
            "Accept": f"application/json, {problem.MEDIA_TYPE}",
            "Accept-Encoding": "identity",
        }
        if call.body:
            headers["Content-Type"] = "application/json"
        return headers

    def _pause_s(self, call: V1Call[Kind], error: CpmqrError, attempt: int) -> float | None:
        """Say how long to wait before the next attempt; None where there is to be none."""
        if attempt >= self.endpoint.attempts_max or not _may_help(call, error):
            return None
        longest_s = min(_PAUSE_MAX_S, self.endpoint.first_pause_s * 2.0 ** (attempt - 1))
        jitter_s = longest_s * int.from_bytes(os.urandom(4), "big") / 2**32
        named_s = error.retry_after_s if isinstance(error, Refused) else None
        if named_s is not None and named_s > _PAUSE_MAX_S:
            return None
        return jitter_s + (named_s or 0)


class SyncCaller(Caller):
    """Sends calls and waits. Threads may share one; close it, or use it in a `with`."""

    def __init__(self, endpoint: Endpoint, *, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(endpoint)
        self._sleep = sleep
        self._http = httpx.Client(
            transport=DeadlineTransport(ssl_context(endpoint), endpoint.proxy), **client_options()
        )

    def call(self, call: V1Call[Kind]) -> Kind:
        """Send a call, again if that is safe and may help.

        Raises:
            Refused, Unreachable, OutcomeUnknown, UntrustedAnswer: see the table at the head of this file.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                return judge(call, self.send(call))
            except CpmqrError as error:
                pause_s = self._pause_s(call, error, attempt)
                if pause_s is None:
                    raise
            self._sleep(pause_s)

    def send(self, call: V1Call[Kind]) -> Answer | Failure:
        """Send a call once."""
        if self._http.is_closed:
            raise ConfigError("this client is closed")
        url, timeout_s = self.endpoint.url + call.path, self.endpoint.timeout_s
        return attempt(self._http, call.method, url, call.body or None, self._headers(call), timeout_s)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncCaller(Caller):
    """Sends calls for asyncio and trio; close it, or use it in an `async with`."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self._http = httpx.AsyncClient(
            verify=ssl_context(endpoint), proxy=endpoint.proxy or None, **client_options()
        )

    async def call(self, call: V1Call[Kind]) -> Kind:
        """Send a call; as `SyncCaller.call`."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return judge(call, await self.send(call))
            except CpmqrError as error:
                pause_s = self._pause_s(call, error, attempt)
                if pause_s is None:
                    raise
            await anyio.sleep(pause_s)

    async def send(self, call: V1Call[Kind]) -> Answer | Failure:
        """Send a call once."""
        if self._http.is_closed:
            raise ConfigError("this client is closed")
        url, timeout_s = self.endpoint.url + call.path, self.endpoint.timeout_s
        return await attempt_async(
            self._http, call.method, url, call.body or None, self._headers(call), timeout_s
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
