"""What the gateway tells of itself: lines in the log (`logs.py`), and metrics (`metrics.py`). Nothing secret in either.

Logs are events with named fields, chosen here and nowhere else; a trace number is a wallet's own text, so a run of
digits in it that could be a PAN is masked.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from cpmqr.model import PAN_DIGITS_MIN, mask_pan
from cpmqr.server import logs
from cpmqr.server.metrics import ATC_NEAR_END, Metrics
from cpmqr.service.issue import Reply
from cpmqr.wire import codes

# A run of 13 digits or more, also in groups: "5350 2069 0000 0066".
_PAN_LIKE: Final = re.compile(r"(?<!\d)\d(?:[ .-]?\d){12,}")
OVERLOAD_LINE_EVERY_S: Final = 1.0
_LOAD: Final = frozenset({codes.OVERLOADED, codes.TIMED_OUT, codes.RATE_LIMIT})
_FAULTS: Final = frozenset({codes.KEY_STORE, codes.TIMED_OUT, codes.INTERNAL, codes.OVERLOADED})

Answered = tuple[Reply, float, int | None]
"""A reply, the seconds that it took, and the request time less our clock (None where nobody was authenticated)."""


class Observer:
    """Counts and logs what the gateway does."""

    def __init__(self, *, log_issues: bool) -> None:
        self._log_issues = log_issues
        self._log = structlog.get_logger()
        self.metrics = Metrics()
        self._overload_lines: dict[str, tuple[float, int]] = {}

    @property
    def registry(self) -> CollectorRegistry:
        """Where the metrics of `/v1` and of notifications join."""
        return self.metrics.registry

    def answered(self, answers: Sequence[Answered]) -> None:
        """Count and log answers of the issue path."""
        metrics = self.metrics
        issued = []
        skews: dict[str, list[int]] = {}
        for reply, seconds, skew_s in answers:
            if skew_s is not None:
                skews.setdefault(reply.requestor_id, []).append(skew_s)
            if reply.rslt_cd == codes.OK:
                issued.append((reply, seconds))
            else:
                metrics.by_code[reply.rslt_cd].inc()
                self._refused(reply, seconds)
        metrics.duration.observe_all([seconds for _, seconds, _ in answers])
        for requestor_id, seconds_off in skews.items():
            metrics.skew(requestor_id, seconds_off)
        if issued:
            metrics.by_code[codes.OK].inc(len(issued))
            self._issued(issued)

    def turned_away(self, reply: Reply, count: int) -> None:
        """Count so many that were refused unread, at once and alike, and log that there were some."""
        self.metrics.by_code[reply.rslt_cd].inc(count)
        self._refused(reply, 0.0, count)

    def _refused(self, reply: Reply, seconds: float, count: int = 1) -> None:
        more = self._held_back(reply.rslt_cd, count)
        if more is None:
            return
        log = self._log.error if reply.rslt_cd in _FAULTS else self._log.info
        log(
            "refused",
            code=reply.rslt_cd,
            more=more or None,
            cause=reply.cause,
            requestor_id=reply.requestor_id,
            incident=reply.incident or None,
            ms=round(seconds * 1000, 2),
        )

    def _held_back(self, rslt_cd: str, count: int) -> int | None:
        """Tell how many lines like this one were left out, of these and before them; None where it is left out too.

        An overload consists of refusals: a line for each of them would be a good part of its load.
        """
        if rslt_cd not in _LOAD:
            return 0
        now = time.monotonic()
        next_at, left_out = self._overload_lines.get(rslt_cd, (now, 0))
        if now < next_at:
            self._overload_lines[rslt_cd] = next_at, left_out + count
            return None
        self._overload_lines[rslt_cd] = now + OVERLOAD_LINE_EVERY_S, 0
        return left_out + count - 1

    def _issued(self, issued: Sequence[tuple[Reply, float]]) -> None:
        for reply, _ in issued:
            if reply.atc > ATC_NEAR_END:
                self.metrics.near_end.inc()
            if reply.repeated:
                self.metrics.repeats.inc()
        if not self._log_issues:
            return
        at = logs.time_text(time.time())
        lines = [
            logs.IssuedLine(
                at,
                reply.requestor_id,
                masked(reply.trace_no),
                f"{reply.token_id:016x}",
                reply.atc,
                reply.repeated,
                round(seconds * 1000, 2),
            )
            for reply, seconds in issued
        ]
        logs.write_issued(lines, self._log)

    def batch(self, size: int, waited_s: float, took_s: float) -> None:
        """Note one transaction of the issue path."""
        self.metrics.batch.observe(size)
        self.metrics.queue_wait.observe(waited_s)
        self.metrics.commit.observe(took_s)

    def incident(self, incident: str, error: BaseException) -> None:
        """Log an unexpected error with its traceback: lines of code, no values."""
        self._log.error("incident", incident=incident, exception=logs.where_and_what(error))

    def event(self, name: str, **fields: object) -> None:
        """Log anything else that an operator should see."""
        self._log.info(name, **fields)

    def trouble(self, name: str, **fields: object) -> None:
        """Log what an operator should look after."""
        self._log.warning(name, **fields)


def masked(trace_no: str) -> str:
    """A trace number for the log: what could be a PAN in it is masked."""
    if len(trace_no) < PAN_DIGITS_MIN:
        return trace_no
    return _PAN_LIKE.sub(lambda match: mask_pan(match.group()), trace_no)
