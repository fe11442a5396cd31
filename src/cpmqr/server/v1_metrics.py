"""What is counted and logged of `/v1`: one line for each call, with names chosen here, nothing secret in them."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Histogram

from cpmqr.server.observe import Observer
from cpmqr.service.access import Principal
from cpmqr.service.verify import Verdict
from cpmqr.wire import codes, v1
from cpmqr.wire.operations import Operation

_FAULTS: Final = frozenset({codes.KEY_STORE, codes.TIMED_OUT, codes.INTERNAL, codes.OVERLOADED})


class V1Metrics:
    """Counts and logs the calls of `/v1`."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        registry = observer.registry
        self._answers = Counter(
            "cpmqr_v1_answers",
            "Answers of /v1 by operation and code",
            ["operation", "code"],
            registry=registry,
        )
        self._duration = Histogram(
            "cpmqr_v1_answer_seconds",
            "From a call's headers to its answer",
            ["operation"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
            registry=registry,
        )
        self._forgeries = Counter(
            "cpmqr_forgery_attempts",
            "Verifications of what this gateway never issued: unknown PAN or counter, wrong cryptogram or values",
            registry=registry,
        )

        self._claims = Histogram(
            "cpmqr_claim_batch_size",
            "Verifications in one transaction",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=registry,
        )
        self._claim_wait = Histogram(
            "cpmqr_claim_wait_seconds", "How long a batch's eldest waited", registry=registry
        )
        self._claim_commit = Histogram(
            "cpmqr_claim_commit_seconds", "One transaction of verifications", registry=registry
        )

    def claimed(self, size: int, waited_s: float, took_s: float) -> None:
        """Note one transaction of verifications."""
        self._claims.observe(size)
        self._claim_wait.observe(waited_s)
        self._claim_commit.observe(took_s)

    def answered(
        self, operation: Operation, principal: Principal | None, response: v1.Answer | Verdict, seconds: float
    ) -> None:
        """Note an answer."""
        verdict = response if isinstance(response, Verdict) else None
        if verdict is not None:
            code = verdict.rslt_cd
        else:
            code = response.rslt_cd if isinstance(response, v1.Problem) else codes.OK
        self._answers.labels(operation.name, code).inc()
        self._duration.labels(operation.name).observe(seconds)
        if verdict is not None and verdict.forged:
            self._forgeries.inc()
            self._observer.trouble(
                "forgery attempt", code=code, token_ref=verdict.token_id or None, atc=verdict.atc
            )
        log = self._observer.trouble if code in _FAULTS else self._observer.event
        log(
            "v1",
            operation=operation.name,
            code=code,
            by=principal.requestor.requestor_id if principal else None,
            ms=round(seconds * 1000, 2),
            **_about(response),
        )


def _about(response: v1.Answer | Verdict) -> dict[str, object]:
    if isinstance(response, Verdict):
        return {"token_ref": response.token_id or None, "atc": response.atc, "repeated": response.repeated}
    if isinstance(response, v1.Problem):
        return {"detail": response.detail, "incident": response.incident or None}
    return {}
