"""Rate limits (8001): a token bucket for each requestor and each payment token that has one.

In one process's memory: with N workers a requestor gets up to N times its rate, which `docs/operations.md` says.
A limit protects the service; what must hold exactly (the counter, the trace number) is the store's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from cpmqr.errors import Refusal
from cpmqr.model import Requestor
from cpmqr.wire import codes

BURST_S: Final = 1.0  # a bucket holds one second's worth, so a wallet may send its second at once
TOKEN_BUCKETS_MAX: Final = 100_000  # about 20 MB; the longest unused goes first


class _Bucket:
    __slots__ = ("at", "level")

    def __init__(self, at: float, level: float) -> None:
        self.at = at
        self.level = level

    def take(self, rate: int, now: float) -> bool:
        capacity = max(1.0, rate * BURST_S)
        self.level = min(capacity, self.level + (now - self.at) * rate)
        self.at = now
        if self.level < 1.0:
            return False
        self.level -= 1.0
        return True


class RateLimits:
    """Counts requests against the rates of the directory.

    Args:
        monotonic: seconds of a clock that never goes back.
        tokens_max: how many tokens' buckets are kept.
    """

    def __init__(self, monotonic: Callable[[], float], tokens_max: int = TOKEN_BUCKETS_MAX) -> None:
        self._monotonic = monotonic
        self._tokens_max = tokens_max
        self._requestors: dict[str, _Bucket] = {}
        self._tokens: OrderedDict[tuple[str, bytes], _Bucket] = OrderedDict()

    def take(self, requestor: Requestor) -> None:
        """Count a request of a requestor.

        Raises:
            Refusal: 8001 with Retry-After.
        """
        rate = requestor.rate_limit_per_s
        if rate:
            now = self._monotonic()
            bucket = self._requestors.setdefault(requestor.requestor_id, _Bucket(now, float(rate)))
            if not bucket.take(rate, now):
                raise Refusal(codes.RATE_LIMIT, f"more than {rate} requests a second", retry_after_s=1)

    def take_token(self, requestor: Requestor, pan_index: bytes) -> None:
        """Count a request for one payment token.

        Raises:
            Refusal: 8001 with Retry-After.
        """
        rate = requestor.token_rate_limit_per_s
        if not rate:
            return
        now = self._monotonic()
        key = requestor.requestor_id, pan_index  # nobody empties the bucket of another's token
        bucket = self._tokens.get(key)
        if bucket is None:
            bucket = self._tokens[key] = _Bucket(now, float(rate))
            if len(self._tokens) > self._tokens_max:
                self._tokens.popitem(last=False)
        self._tokens.move_to_end(key)
        if not bucket.take(rate, now):
            raise Refusal(
                codes.RATE_LIMIT, f"more than {rate} requests a second for this token", retry_after_s=1
            )
