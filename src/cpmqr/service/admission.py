"""How many requests may be under way: all of them, until that would make everybody wait; then as many as are quick.

A queue that is only bounded by its length is full for as long as there is too much to do, and then all who are
answered have waited for the whole of it. So the bound depends on what is measured: once a request that comes now would
wait longer than `WAIT_MAX_S`, most of what waits is refused, and from then on only so many are let in that they are
answered in about the time that a transaction takes, and that the event loop comes round in time and rests a little:
requests wait in the sockets too, where nobody sees them. When nobody has been refused for a while, all is as before.

Whoever is refused is told at once, before anything of its request is read: an overload consists of refusals
(`server/direct.py`). See docs/decisions/overload.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

# That many at once are nobody's overload: a crowd at one moment, or a test with many wallets.
FREELY_MAX: Final = 512
WAIT_MAX_S: Final = 0.05  # ten times what an answer takes when there is little to do
TURN_S: Final = 0.05  # how often the limit is looked at
LIMIT_MIN: Final = 2
QUICK_S: Final = 0.002  # what an answer may take in an overload beside its transactions…
TRANSACTIONS: Final = 2  # …which are the one under way, and its own, each at its quickest
FORGOTTEN: Final = 0.01  # the share of the difference by which a slower transaction moves the quickest
LATE_S: Final = 0.0005  # how late the event loop may be on average: nobody sees a request before
BUSY_MAX: Final = 0.95  # a loop that never rests has everybody wait for everybody
CALM_S: Final = 1.0  # without a refusal, then an overload is over; as long as Retry-After has clients wait


class Admission:
    """Counts requests in and out.

    Args:
        now: seconds of a clock that only goes forward.
        worked: seconds of processor time that the event loop's thread has had.
        refuse_waiting: told, when an overload begins, to refuse all that wait but so many.
    """

    def __init__(
        self,
        now: Callable[[], float],
        worked: Callable[[], float],
        refuse_waiting: Callable[[int], None],
    ) -> None:
        self._now = now
        self._worked = worked
        self._refuse_waiting = refuse_waiting
        self.in_flight = 0
        self.overloaded = False
        self.limit = FREELY_MAX
        self._rate = 0.0  # answers a second, of late
        self._quickest_s = 0.0
        self._late_s = 0.0
        self._busy = 0.0  # the share of the time in which the event loop works, of late
        self._turn_at, self._worked_s = now(), worked()
        self._answered = 0
        self._waited_s = 0.0
        self._refused_at = 0.0

    def enter(self) -> float | None:
        """Let a request in, and give the moment, to be handed to `leave`; None where it has to be refused."""
        if self.turn_away():
            return None
        self.in_flight += 1
        return self._now()

    def turn_away(self) -> bool:
        """Tell whether a request has to be refused; where it has, it counts as refused."""
        if self.in_flight < self.limit:
            return False
        now = self._now()
        if self._may_enter(now):
            return False
        self._refused_at = now
        return True

    def leave(self, entered_at: float, *, answered: bool) -> None:
        """Count a request out; `answered` is False if it was refused for want of time."""
        self.in_flight -= 1
        now = self._now()
        if answered:
            self._answered += 1
            self._waited_s += now - entered_at
        if now - self._turn_at >= TURN_S:
            self._turn(now)

    def transaction(self, took_s: float) -> None:
        """Note how long a transaction took.

        Of late the quickest counts, not the mean: the more are let in the longer a transaction takes, and a mean would
        then let in more.
        """
        slower_s = self._quickest_s + FORGOTTEN * (took_s - self._quickest_s)
        self._quickest_s = min(took_s, slower_s) if self._quickest_s else took_s

    def late(self, seconds: float) -> None:
        """Note by how much the event loop missed a moment: that is what a request waits before it can `enter`.

        It tells more than how busy the loop is where others want its processor, or a thread of ours its interpreter.
        """
        self._late_s += 0.3 * (seconds - self._late_s)

    def _may_enter(self, now: float) -> bool:
        """Tell whether a request may enter although the limit is reached; with it an overload begins and ends."""
        if self.overloaded:
            if now - self._refused_at < CALM_S:
                return False
            self._end_overload()
            return self.in_flight < self.limit
        self.overloaded = True
        self._refused_at = now  # before those leave who are refused now: they look at it
        self.limit = max(LIMIT_MIN, round(self._rate * QUICK_S))
        self._refuse_waiting(self.limit)
        return False

    def _turn(self, now: float) -> None:
        seconds = now - self._turn_at
        rate, mean_s = self._answered / seconds, self._waited_s / max(1, self._answered)
        worked_s = self._worked()
        busy = (worked_s - self._worked_s) / seconds
        self._turn_at, self._worked_s, self._answered, self._waited_s = now, worked_s, 0, 0.0
        self._rate += 0.3 * (rate - self._rate)
        self._busy += 0.5 * (busy - self._busy)
        if not self.overloaded:
            self.limit = max(FREELY_MAX, round(self._rate * WAIT_MAX_S))
        elif now - self._refused_at >= CALM_S:
            self._end_overload()
        elif self._late_s > LATE_S or self._busy > BUSY_MAX or mean_s > self._quick_s:
            self.limit = max(LIMIT_MIN, round(self.limit * 0.85))
        else:
            self.limit += max(1, self.limit // 8)

    def _end_overload(self) -> None:
        self.overloaded = False
        self.limit = max(FREELY_MAX, round(self._rate * WAIT_MAX_S))

    @property
    def _quick_s(self) -> float:
        return QUICK_S + TRANSACTIONS * self._quickest_s
