"""One call, from request to QR, as a generator: it yields what to do next, and is sent what came of it.

It does no I/O and knows no clock: a synchronous driver and an asynchronous one run the very same steps.

    yields Send(prepared, timeout_s)  and is sent an Answer, or a Failure
    yields Pause(seconds)             and is sent None
    returns QrData, or raises Refused, UntrustedAnswer, Unreachable or OutcomeUnknown

What is tried again, and how it ends when patience does (retries are the same request: number, time and content):

    no connection                          again           Unreachable
    a certificate that is not trusted      no              Unreachable
    lost after sending: timeout, reset     again           OutcomeUnknown
    HTTP 5xx without an answer of PAYGW    again           OutcomeUnknown
    9003, 9999 (same number)               again           OutcomeUnknown, from the Refused
    8001, 9001, 9002 (Retry-After), 429    after the wait  Refused; OutcomeUnknown if an earlier attempt was in doubt
    any other refusal                      no              Refused
    an answer that can't be trusted        no              UntrustedAnswer
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Generator
from dataclasses import dataclass

from cpmqr.client.answer import Answer, read_members, read_qr
from cpmqr.client.qrdata import QrData
from cpmqr.client.request import Prepared, Request, Sealer
from cpmqr.crypto.suites import Entropy
from cpmqr.errors import CpmqrError, OutcomeUnknown, Refused, Unreachable
from cpmqr.wire import codes


@dataclass(frozen=True, slots=True)
class Send:
    """Send this, and wait for its answer at most `timeout_s`."""

    prepared: Prepared
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for a while."""

    seconds: float


class Failed(enum.Enum):
    """Why there is no answer; the value is for people."""

    NO_CONNECTION = "no connection"
    NOT_TRUSTED = "the certificate is not trusted"
    LOST = "the connection broke before the answer was there"
    TIMED_OUT = "no answer in time"


@dataclass(frozen=True, slots=True)
class Failure:
    """There is no answer. `detail` names the kind of error, and no value."""

    kind: Failed
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind.value} ({self.detail})" if self.detail else self.kind.value


@dataclass(frozen=True, slots=True)
class Attempt:
    """What an observer is told after each attempt: for logs, metrics and messages to people.

    Attributes:
        number: 1 for the first. trace_no: the same each time.
        http_status, rslt_cd: of the answer; None and "" where there is none.
        problem: why it is no QR, in words without values; "" where it is one.
        pause_s: until the next attempt; None if this was the last.
        answer: as it came, or None; its body does not print.
    """

    number: int
    trace_no: str
    http_status: int | None
    rslt_cd: str
    problem: str
    pause_s: float | None
    answer: Answer | None


Observer = Callable[[Attempt], None]
Steps = Generator[Send | Pause, Answer | Failure | None, QrData]


def exchange(
    sealer: Sealer,
    request: Request,
    *,
    monotonic_s: Callable[[], float],
    entropy: Entropy,
    observe: Observer | None = None,
) -> Steps:
    """Run one call.

    Args:
        monotonic_s: seconds on a clock that never goes back.
        entropy: gives n fresh random bytes, for nonces and for the pauses.

    Raises:
        Refused, UntrustedAnswer, Unreachable, OutcomeUnknown: see the table at the head of this file.
    """
    gateway = sealer.gateway
    deadline_s = monotonic_s() + gateway.deadline_s
    in_doubt = False
    number = 0
    while True:
        number += 1
        # A floor, so that a pause which ends at the deadline still leaves an attempt that can be made.
        left_s = max(deadline_s - monotonic_s(), 0.001)
        came = yield Send(sealer.seal(request, entropy), min(gateway.timeout_s, left_s))
        assert came is not None  # a driver answers each Send
        try:
            qr = _judge(came, request, sealer)
        except CpmqrError as error:
            problem = error
        else:
            _tell(observe, number, request, came, "", None)
            return qr
        in_doubt = in_doubt or _leaves_doubt(problem)
        pause_s = None
        if number < gateway.attempts_max and _may_help(problem, came):
            pause_s = _pause_s(problem, number, sealer, entropy)
            if monotonic_s() + pause_s >= deadline_s:
                pause_s = None
        _tell(observe, number, request, came, str(problem), pause_s)
        if pause_s is None:
            raise _last_word(problem, in_doubt, request)
        yield Pause(pause_s)


def _judge(came: Answer | Failure, request: Request, sealer: Sealer) -> QrData:
    if isinstance(came, Answer):
        return read_qr(came, request, sealer.gateway)
    if came.kind in (Failed.NO_CONNECTION, Failed.NOT_TRUSTED):
        raise Unreachable(f"the gateway can't be reached: {came}")
    raise OutcomeUnknown(str(came))


def _leaves_doubt(problem: CpmqrError) -> bool:
    """Tell whether the gateway may have issued all the same."""
    if isinstance(problem, Refused):
        code = codes.CODES.get(problem.rslt_cd)
        if code is not None:
            return code.retry is codes.Retry.SAME_NUMBER
        return problem.http_status >= 500
    return isinstance(problem, OutcomeUnknown)


def _may_help(problem: CpmqrError, came: Answer | Failure) -> bool:
    if isinstance(came, Failure):
        return came.kind is not Failed.NOT_TRUSTED
    return isinstance(problem, Refused) and problem.retryable


def _pause_s(problem: CpmqrError, number: int, sealer: Sealer, entropy: Entropy) -> float:
    """Draw the pause: full jitter, so that wallets which failed together do not come back together."""
    gateway = sealer.gateway
    longest_s = min(gateway.pause_max_s, gateway.first_pause_s * float(2 ** (number - 1)))
    share = int.from_bytes(entropy(4), "big") / 2**32
    jitter_s = longest_s * share
    named_s = problem.retry_after_s if isinstance(problem, Refused) else None
    return jitter_s if named_s is None else named_s + jitter_s


def _last_word(problem: CpmqrError, in_doubt: bool, request: Request) -> CpmqrError:
    """Give the error of the whole call: as long as a QR may have been issued, nothing less says so."""
    if not in_doubt or not (isinstance(problem, (OutcomeUnknown, Unreachable)) or _is_retryable(problem)):
        return problem
    unknown = OutcomeUnknown(
        f"whether a QR was issued is not known: {problem}; repeat with the same trace number and time",
        trace_no=request.trace_no,
        request_time=request.request_time,
    )
    if isinstance(problem, Refused):
        unknown.__cause__ = problem
    return unknown


def _is_retryable(problem: CpmqrError) -> bool:
    return isinstance(problem, Refused) and problem.retryable


def _tell(
    observe: Observer | None,
    number: int,
    request: Request,
    came: Answer | Failure,
    problem: str,
    pause_s: float | None,
) -> None:
    if observe is None:
        return
    answer = came if isinstance(came, Answer) else None
    members = read_members(answer) if answer else None
    observe(
        Attempt(
            number,
            request.trace_no,
            answer.status if answer else None,
            (members or {}).get("RSLT_CD", "")[:16],
            problem,
            pause_s,
            answer,
        )
    )
