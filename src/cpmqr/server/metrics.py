"""What Prometheus is told: all metrics but those of `/v1` and of notifications, with bounded labels.

With several workers each writes its numbers into files of a folder that they share, and whichever worker is asked
adds them up: a scrape tells of all of them. The supervisor names the folder in `PROMETHEUS_MULTIPROC_DIR`, which
prometheus_client reads when it is imported.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    multiprocess,
)

from cpmqr.wire import codes

FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
ATC_NEAR_END: Final = 60_000
_ANSWER_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_STORE_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_BATCH_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
# Seconds by which a request's time lies after our clock; outside ±300, the default window, it is refused.
_SKEW_BUCKETS: Final = (-300, -120, -30, -10, -3, 3, 10, 30, 120, 300)
SKEW_REQUESTORS_MAX: Final = 1_000  # each costs a dozen time series; further ones are counted together
_OTHERS: Final = "others"

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each one, which nobody asks for


class Tally(Histogram):
    """A histogram that takes the values of a whole round of the event loop at once, for a fraction of the price."""

    def observe_all(self, values: Sequence[float]) -> None:
        """Count each value, as `observe` would one after the other."""
        counts = [0] * len(self._buckets)
        for value in values:
            counts[bisect_left(self._upper_bounds, value)] += 1
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)
        self._sum.inc(sum(values))


class Metrics:
    """The numbers of one process, and how they are shown."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        answers = self._counter("cpmqr_answers", "Answers of the issue path by code", "code")
        self.by_code = {code: answers.labels(code) for code in codes.CODES}
        self.repeats = self._counter("cpmqr_repeats", "Retries that got their first answer again")
        self.near_end = self._counter(
            "cpmqr_atc_near_end",
            f"Issues of tokens whose counter is over {ATC_NEAR_END} of 65535: replace them soon",
        )
        self.duration = self._histogram(
            "cpmqr_answer_seconds",
            "From a request's last byte to its answer; not of those refused unread",
            _ANSWER_BUCKETS,
        )
        self.batch = self._histogram("cpmqr_batch_size", "Intents in one transaction", _BATCH_BUCKETS)
        self.queue_wait = self._histogram(
            "cpmqr_queue_wait_seconds", "How long a batch's eldest waited", _STORE_BUCKETS
        )
        self.commit = self._histogram(
            "cpmqr_commit_seconds", "One transaction of the issue path", _STORE_BUCKETS
        )
        self.waiting = self._gauge("cpmqr_queue_waiting", "Intents that wait for a transaction", "livesum")
        self.in_flight = self._gauge("cpmqr_in_flight", "Requests under way", "livesum")
        self.in_flight_max = self._gauge(
            "cpmqr_in_flight_max", "Requests that may be under way; it falls in an overload", "livesum"
        )
        self.connections_in_use = self._gauge(
            "cpmqr_connections_in_use", "Database connections at work", "livesum"
        )
        self.connections_max = self._gauge(
            "cpmqr_connections_max", "Database connections that there may be; 0 without a pool", "livesum"
        )
        self.ready = self._gauge("cpmqr_ready", "1 while every worker takes requests", "livemin")
        self.directory_version = self._gauge(
            "cpmqr_directory_version",
            "Version of the directory in memory; the oldest of the workers'",
            "livemin",
        )
        self._skew = Tally(
            "cpmqr_request_skew_seconds",
            "Request time less the gateway's clock, by requestor",
            ["requestor"],
            buckets=_SKEW_BUCKETS,
            registry=self.registry,
        )
        self._skews: dict[str, Tally] = {}
        self._samplers: list[Callable[[], None]] = []

    def skew(self, requestor_id: str, seconds: Sequence[int]) -> None:
        """Note how far the times of requests lay from the clock.

        Args:
            requestor_id: of a requestor who was authenticated, so that nobody else makes labels up.
        """
        known = self._skews.get(requestor_id)
        if known is None:
            name = requestor_id if len(self._skews) < SKEW_REQUESTORS_MAX else _OTHERS
            known = self._skews.setdefault(name, self._skew.labels(name))
        known.observe_all(seconds)

    def sample_with(self, sampler: Callable[[], None]) -> None:
        """Have gauges set by this before each exposition, and from time to time."""
        self._samplers.append(sampler)

    def sample(self) -> None:
        """Bring the gauges up to date; other workers' expositions see them as they were at the last call."""
        for sampler in self._samplers:
            sampler()

    def exposition(self) -> bytes:
        """Write all metrics in Prometheus' text format; with several workers, the sum of all."""
        self.sample()
        if FOLDER_VARIABLE not in os.environ:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Tally:
        return Tally(name, text, buckets=buckets, registry=self.registry)

    def _gauge(self, name: str, text: str, mode: str) -> Gauge:
        return Gauge(name, text, registry=self.registry, multiprocess_mode=mode)  # type: ignore[arg-type]
