"""The wallet's client, synchronous. `AsyncWallet` runs the same steps; `exchange.py` says what is tried again.

with cpmqr.Wallet.from_sandbox("var/sandbox.json") as wallet:
    qr = wallet.request_qr(pan="5350206900000066")
    print(qr.terminal())
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, Unpack

import httpx

from cpmqr.client.answer import Answer
from cpmqr.client.caller import Caller
from cpmqr.client.exchange import Failure, Observer, Send
from cpmqr.client.http import DeadlineTransport, attempt, client_options, ssl_context
from cpmqr.client.qrdata import QrData
from cpmqr.client.request import Prepared
from cpmqr.client.settings import Gateway, GatewayOptions
from cpmqr.crypto.suites import Entropy
from cpmqr.errors import ConfigError


class Wallet(Caller):
    """Asks a gateway for QRs. Threads may share one; close it, or use it in a `with`.

    Args:
        sleep: waits so many seconds. The others: see `Caller`.
    """

    def __init__(
        self,
        gateway: Gateway | None = None,
        /,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        entropy: Entropy = os.urandom,
        observe: Observer | None = None,
        **options: Unpack[GatewayOptions],
    ) -> None:
        super().__init__(
            gateway, clock=clock, monotonic=monotonic, entropy=entropy, observe=observe, **options
        )
        self._sleep = sleep
        self._http = httpx.Client(
            transport=DeadlineTransport(ssl_context(self.gateway), self.gateway.proxy), **client_options()
        )

    def request_qr(
        self,
        *,
        pan: str,
        trace_no: str | None = None,
        request_time: str | None = None,
        dnf_dv: str = "1",
        app_dv: str = "",
    ) -> QrData:
        """Ask for a QR, and check all that comes back. The arguments are those of `prepare`.

        Raises:
            EncodeError: a value breaks the contract's rule; nothing was sent.
            Refused: the gateway said no.
            Unreachable: no connection was made; nothing happened.
            OutcomeUnknown: a QR may have been issued; repeat with the error's trace number and time.
            UntrustedAnswer: an answer came that is not to be drawn.
        """
        return self.send(
            self.prepare(pan=pan, trace_no=trace_no, request_time=request_time, dnf_dv=dnf_dv, app_dv=app_dv)
        )

    def send(self, prepared: Prepared) -> QrData:
        """Send a request that `prepare` made; again, if need be: it stays the same request.

        Raises:
            Refused, Unreachable, OutcomeUnknown, UntrustedAnswer: as for `request_qr`.
            ConfigError: prepared for another gateway, or this wallet is closed.
        """
        steps = self._steps(prepared)
        came: Answer | Failure | None = None
        while True:
            try:
                step = steps.send(came)
            except StopIteration as done:
                qr: QrData = done.value
                return qr
            if isinstance(step, Send):
                came = self._attempt(step)
            else:
                self._sleep(step.seconds)
                came = None

    def _attempt(self, step: Send) -> Answer | Failure:
        if self._http.is_closed:
            raise ConfigError("this wallet is closed")
        prepared = step.prepared
        return attempt(self._http, "POST", prepared.url, prepared.body, prepared.headers, step.timeout_s)

    def close(self) -> None:
        """Close the connections; a wallet that is closed sends nothing more."""
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
