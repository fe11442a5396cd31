"""Group commit: who waits with whom, what becomes of each, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpmqr.errors import OutcomeUnknown, Refusal, StoreUnavailable
from cpmqr.service.batch import SWEEP_S, Batcher

LONG_S = 30.0


class Notes:
    """A store that answers n with n * 10, and writes down its batches; `gate` holds it up."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.observed: list[tuple[int, float, float]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.at_once = 0
        self.at_once_max = 0

    async def carry_out(self, intents: Sequence[int]) -> list[int]:
        self.batches.append(list(intents))
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        await asyncio.sleep(0)
        await self.gate.wait()
        self.at_once -= 1
        return [intent * 10 for intent in intents]

    def observe(self, size: int, waited_s: float, took_s: float) -> None:
        self.observed.append((size, waited_s, took_s))


def batcher(
    carry_out: Callable[[Sequence[int]], Awaitable[Sequence[int]]], notes: Notes, **options: Any
) -> Batcher[int, int]:
    given = {"queue_max": 100, "batch_max": 8, "lanes": 1, "wait_max_s": LONG_S, **options}
    return Batcher(carry_out, observe=notes.observe, **given)


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario; what it leaves unawaited or unhandled fails it."""
    faults: list[dict[str, Any]] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        await asyncio.wait_for(scenario(), 10)
        await asyncio.sleep(0)

    asyncio.run(watched())
    assert faults == []


def test_a_lone_request_is_carried_out_at_once_and_alone() -> None:
    async def scenario() -> None:
        notes = Notes()
        assert await batcher(notes.carry_out, notes).submit(7) == 70
        assert notes.batches == [[7]]
        assert [size for size, _, _ in notes.observed] == [1]

    run(scenario)


def test_what_arrives_in_one_round_of_the_loop_goes_together_and_in_order() -> None:
    async def scenario() -> None:
        notes = Notes()
        made = batcher(notes.carry_out, notes)
        outcomes = await asyncio.gather(*[made.submit(number) for number in range(5)])
        assert outcomes == [0, 10, 20, 30, 40]
        assert notes.batches == [[0, 1, 2, 3, 4]]

    run(scenario)


def test_what_arrives_during_a_commit_goes_into_the_next_and_none_is_larger_than_the_limit() -> None:
    async def scenario() -> None:
        notes = Notes()
        notes.gate.clear()
        made = batcher(notes.carry_out, notes)
        first = made.submit(0)
        await asyncio.sleep(0.01)
        later = [made.submit(number) for number in range(1, 20)]
        assert made.waiting == 19
        notes.gate.set()
        assert await asyncio.gather(first, *later) == [number * 10 for number in range(20)]
        assert [len(batch) for batch in notes.batches] == [1, 8, 8, 3]
        assert made.waiting == 0

    run(scenario)


@given(
    numbers=st.lists(st.integers(0, 1000), max_size=60),
    pauses=st.lists(st.booleans(), min_size=60, max_size=60),
    lanes=st.integers(1, 3),
    batch_max=st.integers(1, 5),
)
@settings(max_examples=50)
def test_each_gets_its_own_outcome_however_the_batches_fall(
    numbers: list[int], pauses: list[bool], lanes: int, batch_max: int
) -> None:
    async def scenario() -> None:
        notes = Notes()
        made = batcher(notes.carry_out, notes, lanes=lanes, batch_max=batch_max)
        futures = []
        for number, pause in zip(numbers, pauses, strict=False):
            futures.append(made.submit(number))
            if pause:
                await asyncio.sleep(0)
        assert await asyncio.gather(*futures) == [number * 10 for number in numbers]
        assert sorted(itertools.chain.from_iterable(notes.batches)) == sorted(numbers)
        assert all(len(batch) <= batch_max for batch in notes.batches)
        assert notes.at_once_max <= lanes

    run(scenario)


def test_as_many_transactions_are_on_their_way_at_once_as_there_are_lanes() -> None:
    async def scenario() -> None:
        notes = Notes()
        notes.gate.clear()
        made = batcher(notes.carry_out, notes, lanes=2, batch_max=1)
        futures = [made.submit(number) for number in range(5)]
        await asyncio.sleep(0.01)
        assert notes.at_once == 2
        notes.gate.set()
        await asyncio.gather(*futures)
        assert notes.at_once_max == 2

    run(scenario)


def test_a_few_wait_for_the_transaction_under_way_rather_than_begin_another() -> None:
    async def scenario() -> None:
        notes = Notes()
        notes.gate.clear()
        made = batcher(notes.carry_out, notes, lanes=2, batch_max=10)
        futures = [made.submit(0)]
        await asyncio.sleep(0.01)
        futures.append(made.submit(1))
        await asyncio.sleep(0.01)
        assert notes.at_once == 1
        futures.append(made.submit(2))  # a fifth of a full batch
        await asyncio.sleep(0.01)
        assert notes.at_once == 2
        notes.gate.set()
        assert await asyncio.gather(*futures) == [0, 10, 20]
        assert notes.batches == [[0], [1, 2]]

    run(scenario)


@pytest.mark.parametrize(
    ("lanes", "crowd", "batches"),
    [(2, 90, [30, 30, 30]), (2, 40, [16, 16, 8]), (2, 20, [16, 4]), (1, 90, [90]), (2, 700, [100] * 7)],
    ids=["a third each", "not too few", "a small one", "with one lane all", "never more than the limit"],
)
def test_a_crowd_goes_into_batches_of_a_third(lanes: int, crowd: int, batches: list[int]) -> None:
    """So that database, gateway and wallets each have something to do; in one lane there is nothing to share."""

    async def scenario() -> None:
        notes = Notes()
        made = batcher(notes.carry_out, notes, lanes=lanes, batch_max=100, queue_max=1000)
        await asyncio.gather(*[made.submit(number) for number in range(crowd)])
        assert [len(batch) for batch in notes.batches] == batches

    run(scenario)


def test_who_has_an_outcome_but_no_answer_yet_counts_as_inside() -> None:
    """Else the next batch would be a third of the rest, then of the rest of that."""

    async def scenario() -> None:
        notes = Notes()
        notes.gate.clear()
        made = batcher(notes.carry_out, notes, lanes=2, batch_max=200)
        futures = [made.submit(number) for number in range(30)]
        await asyncio.sleep(0.01)
        futures += [made.submit(number) for number in range(30, 60)]
        notes.gate.set()
        await asyncio.gather(*futures)
        assert [len(batch) for batch in notes.batches] == [16, 20, 20, 4]

    run(scenario)


def test_those_of_a_commit_that_is_given_up_are_told_that_nobody_knows() -> None:
    async def scenario() -> None:
        notes = Notes()
        notes.gate.clear()
        made = batcher(notes.carry_out, notes)
        before = asyncio.all_tasks()
        future = made.submit(1)
        await asyncio.sleep(0.01)
        (lane,) = asyncio.all_tasks() - before
        lane.cancel()
        with pytest.raises(OutcomeUnknown):
            await future
        await made.drain()

    run(scenario)


def test_nobody_waits_for_a_transaction_that_is_stuck() -> None:
    async def scenario() -> None:
        notes = Notes()
        notes.gate.clear()
        made = batcher(notes.carry_out, notes, lanes=2, batch_max=8)
        futures = [made.submit(0)]
        await asyncio.sleep(0.01)
        futures.append(made.submit(1))
        await asyncio.sleep(3 * SWEEP_S)
        assert notes.at_once == 2
        notes.gate.set()
        assert await asyncio.gather(*futures) == [0, 10]

    run(scenario)


def test_a_full_queue_refuses_at_once_with_9001_and_retry_after() -> None:
    async def scenario() -> None:
        notes = Notes()
        notes.gate.clear()
        made = batcher(notes.carry_out, notes, queue_max=3)
        under_way = made.submit(0)
        await asyncio.sleep(0.01)
        waiting = [made.submit(number) for number in (1, 2, 3)]
        with pytest.raises(Refusal) as caught:
            made.submit(4)
        assert (caught.value.rslt_cd, caught.value.retry_after_s) == ("9001", 1)
        notes.gate.set()
        assert await asyncio.gather(under_way, *waiting) == [0, 10, 20, 30]
        assert await made.submit(5) == 50

    run(scenario)


def test_a_request_that_waits_too_long_gets_9001_and_is_never_carried_out() -> None:
    async def scenario() -> None:
        notes = Notes()
        notes.gate.clear()
        made = batcher(notes.carry_out, notes, wait_max_s=0.2)
        first = made.submit(0)
        await asyncio.sleep(0.02)
        waiting = made.submit(1)
        with pytest.raises(OutcomeUnknown):
            await first
        with pytest.raises(Refusal) as caught:
            await waiting
        assert (caught.value.rslt_cd, caught.value.retry_after_s) == ("9001", 1)
        notes.gate.set()
        await made.drain()
        assert notes.batches == [[0]]

    run(scenario)


def test_a_commit_that_takes_too_long_is_an_unknown_outcome_for_all_of_its_batch() -> None:
    async def scenario() -> None:
        notes = Notes()
        notes.gate.clear()
        made = batcher(notes.carry_out, notes, wait_max_s=0.1)
        outcomes = await asyncio.gather(*[made.submit(number) for number in range(3)], return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [OutcomeUnknown] * 3
        notes.gate.set()
        await made.drain()
        assert await made.submit(4) == 40  # the lane lives on

    run(scenario)


def test_a_client_that_has_gone_is_dropped_before_its_transaction() -> None:
    async def scenario() -> None:
        notes = Notes()
        notes.gate.clear()
        made = batcher(notes.carry_out, notes)
        first = made.submit(0)
        await asyncio.sleep(0.01)
        told: dict[int, object] = {}
        made.put(1, partial(told.__setitem__, 1), lambda: False)
        made.put(2, partial(told.__setitem__, 2), lambda: True)
        notes.gate.set()
        assert await first == 0
        await made.drain()
        assert isinstance(told.pop(1), asyncio.CancelledError)
        assert told == {2: 20}
        assert notes.batches == [[0], [2]]

    run(scenario)


def test_a_lane_whose_clients_have_all_gone_goes_on_with_the_next() -> None:
    async def scenario() -> None:
        notes = Notes()
        made = batcher(notes.carry_out, notes, batch_max=2)
        told: list[object] = []
        for number in range(7):
            made.put(number, told.append, lambda: False)
        assert await made.submit(7) == 70
        assert [type(outcome) for outcome in told] == [asyncio.CancelledError] * 7
        assert notes.batches == [[7]]
        assert await made.submit(8) == 80

    run(scenario)


def test_a_request_that_its_own_task_gave_up_is_not_carried_out() -> None:
    async def scenario() -> None:
        notes = Notes()
        notes.gate.clear()
        made = batcher(notes.carry_out, notes)
        first, given_up = made.submit(0), made.submit(1)
        given_up.cancel()
        notes.gate.set()
        assert await first == 0
        assert notes.batches == [[0]]

    run(scenario)


@pytest.mark.parametrize(
    "error", [StoreUnavailable("away"), OutcomeUnknown("lost"), ValueError("a fault of ours")], ids=repr
)
def test_an_error_of_the_store_reaches_every_waiter_and_the_next_batch_goes_on(error: Exception) -> None:
    async def scenario() -> None:
        notes = Notes()
        answers: list[Exception | None] = [error, None]

        async def carry_out(intents: Sequence[int]) -> list[int]:
            failure = answers.pop(0)
            if failure is not None:
                raise failure
            return [intent * 10 for intent in intents]

        made = batcher(carry_out, notes)
        outcomes = await asyncio.gather(*[made.submit(number) for number in range(3)], return_exceptions=True)
        assert outcomes == [error] * 3
        assert await made.submit(4) == 40
        assert [size for size, _, _ in notes.observed] == [3, 1]

    run(scenario)


@pytest.mark.parametrize("surplus", [-1, 1])
def test_a_store_that_answers_another_number_of_outcomes_fails_every_waiter_and_none_hangs(
    surplus: int,
) -> None:
    async def scenario() -> None:
        notes = Notes()

        async def carry_out(intents: Sequence[int]) -> list[int]:
            return [0] * (len(intents) + surplus)

        made = batcher(carry_out, notes)
        outcomes = await asyncio.gather(*[made.submit(number) for number in range(3)], return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [RuntimeError] * 3
        await made.drain()

    run(scenario)


def test_a_waiter_that_fails_keeps_nobody_of_its_batch_from_its_outcome() -> None:
    async def scenario() -> None:
        notes, faults = Notes(), []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        made = batcher(notes.carry_out, notes)

        def fail(_: object) -> None:
            raise ValueError("a fault of the edge's")

        made.put(1, fail)
        assert await made.submit(2) == 20
        assert notes.batches == [[1, 2]]
        assert [type(fault["exception"]) for fault in faults] == [ValueError]

    run(scenario)


def test_nobody_is_told_twice_nor_before_the_loop_comes_round() -> None:
    async def scenario() -> None:
        notes = Notes()
        notes.gate.clear()
        made = batcher(notes.carry_out, notes, wait_max_s=0.1)
        told: list[object] = []
        made.put(1, told.append)
        assert told == []
        await asyncio.sleep(0.1 + 3 * SWEEP_S)
        assert [type(outcome) for outcome in told] == [OutcomeUnknown]
        notes.gate.set()
        await made.drain()
        assert len(told) == 1

    run(scenario)


def test_draining_returns_when_all_that_waits_has_its_outcome() -> None:
    async def scenario() -> None:
        notes = Notes()
        notes.gate.clear()
        made = batcher(notes.carry_out, notes, batch_max=2)
        futures = [made.submit(number) for number in range(7)]
        draining = asyncio.ensure_future(made.drain())
        await asyncio.sleep(0.01)
        assert not draining.done()
        notes.gate.set()
        await draining
        assert [future.result() for future in futures] == [number * 10 for number in range(7)]

    run(scenario)


def test_draining_an_idle_batcher_returns_at_once() -> None:
    async def scenario() -> None:
        notes = Notes()
        await batcher(notes.carry_out, notes).drain()

    run(scenario)


def test_each_batch_is_told_with_its_size_and_how_long_its_eldest_waited() -> None:
    async def scenario() -> None:
        notes = Notes()
        notes.gate.clear()
        made = batcher(notes.carry_out, notes)
        first = made.submit(0)
        await asyncio.sleep(0.01)
        second = made.submit(1)
        await asyncio.sleep(0.05)
        notes.gate.set()
        await asyncio.gather(first, second)
        (size, waited_s, took_s), (_, waited_too_s, _) = notes.observed
        assert size == 1
        assert waited_s < took_s
        assert took_s >= 0.05
        assert waited_too_s >= 0.045

    run(scenario)


def test_the_clock_of_deadlines_stops_when_nothing_waits() -> None:
    async def scenario() -> None:
        notes = Notes()
        made = batcher(notes.carry_out, notes)
        await made.submit(1)
        await asyncio.sleep(0.15)
        assert made._sweeper is None

    run(scenario)
