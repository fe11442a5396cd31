"""How many requests are let in: by hand, and in a model of one gateway's event loop under three times its capacity."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable

import pytest

from cpmqr.service.admission import (
    BUSY_MAX,
    CALM_S,
    FREELY_MAX,
    LATE_S,
    LIMIT_MIN,
    TURN_S,
    WAIT_MAX_S,
    Admission,
)

# Seconds of one core, about as measured (benchmarks/steps.py): the HTTP server's share of any request, a refusal's,
# an answer's steps before and after its transaction.
HTTP_S, REFUSE_S, BEFORE_S, AFTER_S = 20e-6, 10e-6, 70e-6, 55e-6
CAPACITY = 1 / (HTTP_S + BEFORE_S + AFTER_S)
BATCH_MAX = 128
NOTICED_S = 0.1

Request = tuple[float, float]
"""When it came, and when it was let in."""


class Loop:
    """An event loop on one core, and a store beside it that takes one batch at a time."""

    def __init__(self, transaction_s: Callable[[int], float]) -> None:
        self.now = 0.0
        self.worked = 0.0
        self.waiting: deque[Request] = deque()
        self.answered: list[tuple[float, float]] = []
        self.refused: list[tuple[float, float]] = []
        self.admission = Admission(lambda: self.now, lambda: self.worked, self._refuse_waiting)
        self._transaction_s = transaction_s
        self._batch: tuple[float, float, list[Request]] | None = None

    def run(self, arrivals: Iterable[float]) -> None:
        coming = deque(arrivals)
        while coming or self.waiting or self._batch:
            ready = []
            while coming and coming[0] <= self.now:
                ready.append(coming.popleft())
            if self._batch and self._batch[0] <= self.now:
                self._finish()
            for came_at in ready:
                self._take(came_at)
            self._begin()
            following = [
                moment for moment in (coming and coming[0], self._batch and self._batch[0]) if moment
            ]
            self.now = max([self.now, *([min(following)] if following else [])])

    def _work(self, seconds: float) -> None:
        self.now += seconds
        self.worked += seconds

    def _take(self, came_at: float) -> None:
        self._work(HTTP_S)
        entered_at = self.admission.enter()
        if entered_at is None:
            self._work(REFUSE_S)
            self.refused.append((came_at, self.now))
            return
        self._work(BEFORE_S)
        self.waiting.append((came_at, entered_at))

    def _begin(self) -> None:
        if self._batch is None and self.waiting:
            batch = [self.waiting.popleft() for _ in range(min(BATCH_MAX, len(self.waiting)))]
            took_s = self._transaction_s(len(batch))
            self._batch = self.now + took_s, took_s, batch

    def _finish(self) -> None:
        assert self._batch is not None
        _, took_s, batch = self._batch
        self._batch = None
        self._begin()
        self.admission.transaction(took_s)
        for came_at, entered_at in batch:
            self._work(AFTER_S)
            self.answered.append((came_at, self.now))
            self.admission.leave(entered_at, answered=True)

    def _refuse_waiting(self, keep: int) -> None:
        while len(self.waiting) > keep:
            came_at, entered_at = self.waiting.popleft()
            self._work(REFUSE_S)
            self.refused.append((came_at, self.now))
            self.admission.leave(entered_at, answered=False)


def arrivals(per_second: float, seconds: float, *, start: float = 0.0) -> list[float]:
    chance, moment, made = random.Random(7), start, []
    while (moment := moment + chance.expovariate(per_second)) < start + seconds:
        made.append(moment)
    return made


def p99_s(ends: Iterable[tuple[float, float]]) -> float:
    latencies = sorted(ended - came for came, ended in ends)
    return latencies[int(0.99 * len(latencies))]


def sqlite(batch: int) -> float:
    return 0.0008 + 15e-6 * batch


def standby_in_another_house(batch: int) -> float:
    return 0.004 + 15e-6 * batch


@pytest.mark.parametrize("transaction_s", [sqlite, standby_in_another_house])
def test_at_three_times_the_capacity_who_is_answered_is_answered_soon_and_who_is_refused_too(
    transaction_s: Callable[[int], float],
) -> None:
    quiet, busy = Loop(transaction_s), Loop(transaction_s)
    quiet.run(arrivals(0.2 * CAPACITY, 2))
    busy.run(arrivals(3 * CAPACITY, 10))
    assert quiet.refused == []
    # It takes a moment to be noticed: those who were let in meanwhile wait for one another.
    assert p99_s([each for each in busy.answered if each[0] > NOTICED_S]) < 5 * p99_s(quiet.answered)
    assert len([each for each in busy.answered if each[0] <= NOTICED_S]) < 2 * FREELY_MAX
    assert p99_s(busy.refused) < WAIT_MAX_S
    assert len(busy.answered) > 0.3 * 10 * CAPACITY  # the rest of the core goes into saying no


def test_what_the_capacity_carries_is_never_refused() -> None:
    loop = Loop(sqlite)
    loop.run(arrivals(0.9 * CAPACITY, 3))
    assert loop.refused == []


def test_a_second_after_an_overload_all_is_as_before() -> None:
    loop = Loop(sqlite)
    loop.run(arrivals(3 * CAPACITY, 2) + arrivals(0.5 * CAPACITY, 2, start=2.0))
    assert [came for came, _ in loop.refused if came > 2.0 + CALM_S] == []
    assert p99_s([each for each in loop.answered if each[0] > 2.0 + CALM_S]) < 0.01
    assert not loop.admission.overloaded


def test_a_crowd_at_one_moment_is_answered_in_full() -> None:
    loop = Loop(sqlite)
    loop.run([1.0] * FREELY_MAX)
    assert loop.refused == []


class ByHand:
    """An admission with a clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.worked = 7.0
        self.kept: list[int] = []
        self.admission = Admission(lambda: self.now, lambda: self.worked, self.kept.append)

    def let_in(self, count: int) -> list[float]:
        moments = [self.admission.enter() for _ in range(count)]
        assert None not in moments
        return [moment for moment in moments if moment is not None]

    def begin_overload(self) -> None:
        self.admission.transaction(0.002)
        entered = self.let_in(FREELY_MAX)
        assert self.admission.enter() is None
        for moment in entered:
            self.admission.leave(moment, answered=False)

    def turn(self, wait_s: float, busy: float = 0.0) -> bool:
        """Answer as many as there may be after `wait_s`, and go on until the limit is looked at; does it grow?"""
        before = self.admission.limit
        entered = self.let_in(before)
        assert self.admission.enter() is None
        self.now += 1.1 * TURN_S
        self.worked += 1.1 * TURN_S * busy
        for _ in entered:
            self.admission.leave(self.now - wait_s, answered=True)
        return self.admission.limit > before


def test_one_more_than_there_may_be_is_refused_and_those_that_wait_with_it() -> None:
    hand = ByHand()
    entered = hand.let_in(FREELY_MAX)
    assert hand.admission.enter() is None
    assert (hand.admission.overloaded, hand.kept) == (True, [LIMIT_MIN])
    assert hand.admission.in_flight == FREELY_MAX
    for moment in entered:
        hand.admission.leave(moment, answered=False)
    assert hand.admission.in_flight == 0


def test_those_who_are_refused_as_an_overload_begins_do_not_end_it_by_leaving() -> None:
    now, entered = 100.0, list[float]()

    def refuse_waiting(keep: int) -> None:
        while len(entered) > FREELY_MAX // 2:
            admission.leave(entered.pop(), answered=False)

    admission = Admission(lambda: now, lambda: 0.0, refuse_waiting)
    for _ in range(FREELY_MAX):
        moment = admission.enter()
        assert moment is not None
        entered.append(moment)
    now += 1.5
    assert admission.enter() is None
    assert admission.overloaded
    assert admission.enter() is None


def test_a_store_that_hangs_lets_nobody_in_until_it_answers() -> None:
    hand = ByHand()
    entered = hand.let_in(FREELY_MAX)
    for _ in range(50):
        hand.now += 0.1
        assert hand.admission.enter() is None
    assert hand.kept == [LIMIT_MIN]  # those that wait are refused once
    for moment in entered:
        hand.admission.leave(moment, answered=True)
    hand.let_in(LIMIT_MIN)


def test_an_overload_that_nobody_notices_any_more_is_over() -> None:
    hand = ByHand()
    entered = hand.let_in(FREELY_MAX)
    assert hand.admission.enter() is None
    for moment in entered:
        hand.admission.leave(moment, answered=True)
    hand.now += CALM_S
    hand.let_in(FREELY_MAX)
    assert not hand.admission.overloaded


def test_a_quick_gateway_may_have_more_under_way_than_a_slow_one() -> None:
    hand = ByHand()
    for _ in range(40):  # 10,000 answers a second
        for moment in hand.let_in(int(10_000 * TURN_S)) if hand.admission.limit >= 500 else hand.let_in(250):
            hand.admission.leave(moment, answered=True)
        hand.now += TURN_S if hand.admission.limit >= 500 else TURN_S / 2
        hand.admission.leave(hand.let_in(1)[0], answered=True)
    assert hand.admission.limit == pytest.approx(10_000 * WAIT_MAX_S, rel=0.1)


@pytest.mark.parametrize(
    ("took_s", "wait_s", "grows"),
    [(0.002, 0.005, True), (0.002, 0.007, False), (0.01, 0.005, True), (0.01, 0.009, False)],
    ids=["soon", "late", "soon though transactions take long", "that they take long is no excuse at once"],
)
def test_an_overload_lets_more_in_while_answers_take_little_more_than_the_quickest_transactions(
    took_s: float, wait_s: float, grows: bool
) -> None:
    hand = ByHand()
    hand.begin_overload()
    for _ in range(10):
        hand.admission.transaction(took_s)
    assert hand.turn(wait_s) is grows


@pytest.mark.parametrize(
    ("busy", "late_s", "grows"),
    [(BUSY_MAX - 0.05, 0.0, True), (BUSY_MAX + 0.02, 0.0, False), (0.1, 5 * LATE_S, False)],
    ids=["it rests a little", "it never rests", "it rests, and yet comes round late"],
)
def test_an_overload_lets_more_in_while_the_event_loop_rests_a_little_and_is_in_time(
    busy: float, late_s: float, grows: bool
) -> None:
    hand = ByHand()
    hand.begin_overload()
    hand.admission.late(late_s)
    turns = [hand.turn(0.001, busy) for _ in range(6)]  # how busy it is counts by and by
    assert turns[-1] is grows


def test_a_database_that_has_become_slower_for_good_is_believed_in_the_end() -> None:
    slower = 0.0

    def moved_away(batch: int) -> float:
        return sqlite(batch) + slower

    loop = Loop(moved_away)
    loop.run(arrivals(0.5 * CAPACITY, 1))
    slower = 0.004
    loop.run(arrivals(3 * CAPACITY, 6, start=loop.now))
    assert len([each for each in loop.answered if each[0] > loop.now - 2]) > 0.3 * 2 * CAPACITY
