"""Group commit: what waits while one transaction is on its way goes into the next one, together.

A lone request starts at once; under load the batch grows by itself to what arrives during a commit. A further
transaction beside the one under way is begun for a good part of a full batch only, since each costs the database as
much as some eight issues, however few are in it (benchmarks/shards.py); or where the one under way takes long, so that
nobody waits for a stuck one. The queue is bounded: past it a caller is refused at once (9001) and knows that nothing
was stored.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from cpmqr.errors import OutcomeUnknown, Refusal
from cpmqr.wire import codes

Intent = TypeVar("Intent")
Outcome = TypeVar("Outcome")

LANE_SHARE = 4  # a further transaction is begun for a quarter of a full batch
SWEEP_S = 0.05  # how often deadlines are looked at: one timer for all that wait, not one for each request


class _Waiting(Generic[Intent, Outcome]):
    """One request in the queue or on its way."""

    __slots__ = ("alive", "deadline", "future", "intent")

    def __init__(
        self,
        intent: Intent,
        future: asyncio.Future[Outcome],
        deadline: float,
        alive: Callable[[], bool] | None,
    ) -> None:
        self.intent = intent
        self.future = future
        self.deadline = deadline
        self.alive = alive


class Batcher(Generic[Intent, Outcome]):
    """Gather intents from many tasks of one event loop, carry them out in batches, hand out the outcomes.

    Args:
        carry_out: one durable transaction for a batch; outcomes in the order of the intents.
        queue_max: how many may wait; the next one gets 9001.
        batch_max: how many go into one transaction.
        lanes: how many transactions may be on their way at once (1 for SQLite, its connections for PostgreSQL).
        wait_max_s: after so long a request that is still waiting gets 9001, one that is on its way 9003.
        observe: told of each batch: size, seconds that its eldest waited, seconds that it took.
    """

    def __init__(
        self,
        carry_out: Callable[[Sequence[Intent]], Awaitable[Sequence[Outcome]]],
        *,
        queue_max: int,
        batch_max: int,
        lanes: int,
        wait_max_s: float,
        observe: Callable[[int, float, float], None],
    ) -> None:
        self._carry_out = carry_out
        self._queue_max = queue_max
        self._batch_max = batch_max
        self._lane_opens_at = max(1, batch_max // LANE_SHARE)
        self._lanes = lanes
        self._free_lanes = lanes
        self._wait_max_s = wait_max_s
        self._observe = observe
        self._queue: deque[_Waiting[Intent, Outcome]] = deque()
        self._under_way: list[list[_Waiting[Intent, Outcome]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many are in the queue now."""
        return len(self._queue)

    def submit(self, intent: Intent, alive: Callable[[], bool] | None = None) -> asyncio.Future[Outcome]:
        """Queue an intent; await what comes back for its outcome.

        `alive` is asked before the intent goes into a transaction: one whose client has gone is dropped.

        Raises:
            Refusal: 9001, at once, where the queue is full; 9003 from the future where the time is up and the
                outcome is unknown; 9001 from it where the time is up and nothing was stored.
            StoreUnavailable, OutcomeUnknown: from the future, as the store raised it.
        """
        if len(self._queue) >= self._queue_max:
            raise Refusal(codes.OVERLOADED, "too many requests are waiting", retry_after_s=1)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        self._queue.append(_Waiting(intent, future, loop.time() + self._wait_max_s, alive))
        if self._free_lanes == self._lanes or (self._free_lanes and len(self._queue) >= self._lane_opens_at):
            self._open_lane(loop)
        if self._sweeper is None:
            self._sweeper = loop.call_later(SWEEP_S, self._sweep)
        return future

    def refuse_waiting(self, keep: int) -> None:
        """Refuse all that wait with 9001, but the `keep` that came last: nothing of them was stored."""
        while len(self._queue) > keep:
            waiting = self._queue.popleft()
            if not waiting.future.done():
                waiting.future.set_exception(Refusal(codes.OVERLOADED, "too many requests", retry_after_s=1))

    async def drain(self) -> None:
        """Return when nothing waits and nothing is on its way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _open_lane(self, loop: asyncio.AbstractEventLoop) -> None:
        self._free_lanes -= 1
        # A task starts in the loop's next round: what else is read in this one joins the batch.
        task = loop.create_task(self._run_lane())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_lane(self) -> None:
        try:
            while batch := self._next_batch():
                await self._carry(batch)
        finally:
            self._free_lanes += 1

    def _next_batch(self) -> list[_Waiting[Intent, Outcome]]:
        batch: list[_Waiting[Intent, Outcome]] = []
        while self._queue and len(batch) < self._batch_max:
            waiting = self._queue.popleft()
            if waiting.future.done():
                continue
            if waiting.alive is not None and not waiting.alive():
                waiting.future.cancel()
                continue
            batch.append(waiting)
        return batch

    async def _carry(self, batch: list[_Waiting[Intent, Outcome]]) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        waited_s = self._waited_s(batch[0], started)
        self._under_way.append(batch)
        try:
            outcomes = await self._outcomes([waiting.intent for waiting in batch])
        except Exception as error:
            for waiting in batch:
                if not waiting.future.done():
                    waiting.future.set_exception(error)
        else:
            for waiting, outcome in zip(batch, outcomes, strict=True):
                if not waiting.future.done():
                    waiting.future.set_result(outcome)
        finally:
            self._under_way.remove(batch)
            self._observe(len(batch), waited_s, loop.time() - started)

    def _waited_s(self, waiting: _Waiting[Intent, Outcome], now: float) -> float:
        return now - (waiting.deadline - self._wait_max_s)

    async def _outcomes(self, intents: list[Intent]) -> Sequence[Outcome]:
        outcomes = await self._carry_out(intents)
        if len(outcomes) != len(intents):  # a fault of the store's; without this some would wait for ever
            raise RuntimeError(f"{len(outcomes)} outcomes for {len(intents)} intents")
        return outcomes

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._queue and self._queue[0].deadline <= now:
            waiting = self._queue.popleft()
            if not waiting.future.done():
                waiting.future.set_exception(Refusal(codes.OVERLOADED, "waited too long", retry_after_s=1))
        for batch in self._under_way:
            for waiting in batch:
                if waiting.deadline <= now and not waiting.future.done():
                    waiting.future.set_exception(OutcomeUnknown("the commit takes too long"))
        if self._free_lanes and self._queue and self._waited_s(self._queue[0], now) >= SWEEP_S:
            self._open_lane(loop)
        busy = self._queue or self._under_way or self._tasks
        self._sweeper = loop.call_later(SWEEP_S, self._sweep) if busy else None
