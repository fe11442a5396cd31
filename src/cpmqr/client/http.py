"""How both drivers speak HTTP: the httpx client's settings, and what its errors mean.

httpx bounds each read, not their sum: a gateway that sends a byte every few seconds would hold a call for ever. The
asynchronous driver is cut by a cancellation; the synchronous one reads through `DeadlineTransport`, whose every
network operation gets what is left of the attempt.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import anyio
import httpcore
import httpx

from cpmqr.client.answer import ANSWER_BYTES_MAX, INCIDENT_CHARACTERS_MAX, Answer
from cpmqr.client.exchange import Failed, Failure
from cpmqr.errors import ConfigError

_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


class Server(Protocol):
    """Who is called: settings of either side of a gateway have these."""

    @property
    def url(self) -> str: ...
    @property
    def ca_bundle(self) -> str: ...


def ssl_context(gateway: Server) -> ssl.SSLContext:
    """Make the TLS settings: certificates and host names are always verified.

    Raises:
        ConfigError: the CA bundle can't be read.
    """
    if gateway.url.startswith("http://"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # for no use: it verifies, and trusts nobody
    try:
        if gateway.ca_bundle:
            return ssl.create_default_context(cafile=gateway.ca_bundle)
        return httpx.create_ssl_context()  # certifi's, or those of SSL_CERT_FILE
    except OSError as error:  # ssl.SSLError is one
        where = "ca_bundle" if gateway.ca_bundle else "SSL_CERT_FILE"
        raise ConfigError(f"{where} can't be read: {error.strerror or type(error).__name__}") from None


def client_options() -> dict[str, Any]:
    """Give what both httpx clients are made with."""
    return {
        "follow_redirects": False,  # a redirect would carry the credential elsewhere
        "trust_env": False,  # proxies, netrc: where the credential goes is said in the settings alone
    }


def failure_of(error: Exception) -> Failure:
    """Say what an error of httpx means: was anything sent?"""
    detail = type(error).__name__
    if _is_about_certificates(error):
        return Failure(Failed.NOT_TRUSTED, detail)
    if isinstance(error, _NOT_SENT):
        return Failure(Failed.NO_CONNECTION, detail)
    if isinstance(error, (httpx.TimeoutException, TimeoutError)):
        return Failure(Failed.TIMED_OUT, detail)
    return Failure(Failed.LOST, detail)


def _is_about_certificates(error: BaseException) -> bool:
    cause: BaseException | None = error
    for _ in range(10):  # a chain of causes is short; one that goes in a circle must end
        if cause is None:
            return False
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


class Body:
    """Gathers a body up to the limit."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._data = bytearray()
        self.full = False

    def add(self, chunk: bytes) -> None:
        """Take a chunk; `full` tells that more came than an answer may have."""
        self._data += chunk
        self.full = len(self._data) > ANSWER_BYTES_MAX

    def answer(self) -> Answer:
        """Give the answer, as far as it was read."""
        headers = self._response.headers
        return Answer(
            self._response.status_code,
            bytes(self._data[:ANSWER_BYTES_MAX]),
            retry_after=headers.get("Retry-After", ""),
            incident=headers.get("X-Incident-Id", "")[:INCIDENT_CHARACTERS_MAX],
            complete=not self.full,
            encoded=headers.get("Content-Encoding", "identity").lower() != "identity",
        )


_deadline_s: ContextVar[float | None] = ContextVar("deadline_s", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let every network operation of this thread end within so many seconds from now."""
    token = _deadline_s.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline_s.reset(token)


def _left_s(timeout: float | None, kind: type[httpcore.TimeoutException]) -> float | None:
    deadline_s = _deadline_s.get()
    if deadline_s is None:
        return timeout
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise kind("the attempt's time is used up")
    return left_s if timeout is None else min(timeout, left_s)


class DeadlineTransport(httpx.HTTPTransport):
    """httpx's own transport over a network that keeps the deadline of `within`."""

    def __init__(self, context: ssl.SSLContext, proxy: str) -> None:
        super().__init__(verify=context, proxy=proxy or None)
        # httpx offers no way to hand a network backend in. A test with a dripping gateway holds this line to it.
        self._pool._network_backend = _Network()


class _Network(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        timeout = _left_s(timeout, httpcore.ConnectTimeout)
        return _Stream(super().connect_tcp(host, port, timeout, local_address, socket_options))


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left_s(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left_s(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        timeout = _left_s(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def attempt(
    client: httpx.Client,
    method: str,
    url: str,
    body: bytes | None,
    headers: Mapping[str, str],
    timeout_s: float,
) -> Answer | Failure:
    """Send a request once, and read its answer up to a bound; the whole of it within `timeout_s`."""
    try:
        with (
            within(timeout_s),
            client.stream(method, url, content=body, headers=headers, timeout=timeout_s) as response,
        ):
            read = Body(response)
            for chunk in response.iter_raw():
                read.add(chunk)
                if read.full:
                    break
            return read.answer()
    except httpx.HTTPError as error:
        return failure_of(error)


async def attempt_async(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    body: bytes | None,
    headers: Mapping[str, str],
    timeout_s: float,
) -> Answer | Failure:
    """Send a request once; as `attempt`, for asyncio and trio."""
    try:
        # httpx bounds each read alone; this bounds the attempt.
        with anyio.fail_after(timeout_s):
            async with client.stream(
                method, url, content=body, headers=headers, timeout=timeout_s
            ) as response:
                read = Body(response)
                async for chunk in response.aiter_raw():
                    read.add(chunk)
                    if read.full:
                        break
                return read.answer()
    except (httpx.HTTPError, TimeoutError) as error:
        return failure_of(error)
