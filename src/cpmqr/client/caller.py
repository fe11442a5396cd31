"""What the synchronous and the asynchronous wallet share: settings, a sealer, a clock and entropy."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, Unpack

from cpmqr.client import config
from cpmqr.client.exchange import Observer, Steps, exchange
from cpmqr.client.request import Prepared, Sealer, make_request
from cpmqr.client.settings import Gateway, GatewayOptions, gateway_of
from cpmqr.crypto.suites import Entropy
from cpmqr.errors import ConfigError


class Caller:
    """A wallet without its driver.

    Args:
        gateway: all that must be known of the other side; or its fields one by one, as keywords.
        clock: seconds since the Unix epoch, for the request time.
        monotonic: seconds on a clock that never goes back, for the deadline.
        entropy: gives n random bytes, for nonces, trace numbers and pauses.
        observe: is told of each attempt; must not raise.

    Raises:
        ConfigError: a setting is wrong; says which.
    """

    def __init__(
        self,
        gateway: Gateway | None = None,
        /,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        entropy: Entropy = os.urandom,
        observe: Observer | None = None,
        **options: Unpack[GatewayOptions],
    ) -> None:
        self.gateway = gateway_of(options) if gateway is None else replace(gateway, **options)
        self._sealer = Sealer(self.gateway)
        self._clock = clock
        self._monotonic = monotonic
        self._entropy = entropy
        self._observe = observe

    @classmethod
    def from_sandbox(
        cls, path: str | Path = config.SANDBOX_FILE, *, crypto_type: str = "01", **options: Any
    ) -> Self:
        """Take all settings from the file that `cpmqr serve --sandbox` writes.

        Args:
            crypto_type: which of the file's transport keys to use.
            options: keyword arguments of the class; they win over the file's.

        Raises:
            ConfigError: the file can't be read, or has no key for this CRYPTO_TYPE.
        """
        return cls(config.read_sandbox(path).gateway(crypto_type), **options)

    @classmethod
    def from_config(cls, path: str | Path, **options: Any) -> Self:
        """Take all settings from a TOML file; `docs/client.md` explains it line by line.

        Args:
            options: keyword arguments of the class; they win over the file's.

        Raises:
            ConfigError: the file can't be read, or a setting is wrong; says which.
        """
        return cls(config.read_config(path), **options)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of requestor {self.gateway.requestor_id} at {self.gateway.url}>"

    def prepare(
        self,
        *,
        pan: str,
        trace_no: str | None = None,
        request_time: str | None = None,
        dnf_dv: str = "1",
        app_dv: str = "",
    ) -> Prepared:
        """Make a request without sending it: for `send`, for a curl line, for tests.

        Args:
            pan: digital PAN, 13 to 19 digits.
            trace_no: TRNS_TRCE_NO, 1 to 40 bytes, unique for 24 hours; made up where it is not given.
            request_time: `yyyymmddHHMMSS` in Korean time; now, where it is not given. To repeat an earlier request,
                give the trace number and the time of its `OutcomeUnknown`.
            dnf_dv: chooses the scheme profile; "1" is the token's domestic one.
            app_dv: printable, at most 20 bytes; kept with the issue.

        Raises:
            EncodeError: a value breaks the contract's rule; it is named and not repeated.
        """
        request = make_request(
            pan=pan,
            trace_no=trace_no,
            request_time=request_time,
            dnf_dv=dnf_dv,
            app_dv=app_dv,
            now_s=self._clock(),
            entropy=self._entropy,
        )
        return self._sealer.seal(request, self._entropy)

    def _steps(self, prepared: Prepared) -> Steps:
        if prepared.url != self.gateway.url:
            raise ConfigError("this request was prepared for another gateway")
        return exchange(
            self._sealer,
            prepared.request,
            monotonic_s=self._monotonic,
            entropy=self._entropy,
            observe=self._observe,
        )
