"""Group commit: what waits while one transaction is on its way goes into the next one, together.

A lone request starts at once; under load the batch grows by itself to what arrives during a commit. A further
transaction beside the one under way is begun for a good part of a full batch only, since each costs the database as
much as some eight issues, however few are in it (benchmarks/shards.py); or where the one under way takes long, so that
nobody waits for a stuck one. The queue is bounded: past it a caller is refused at once (9001) and knows that nothing
was stored.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from cpmqr.errors import OutcomeUnknown, Refusal
from cpmqr.wire import codes

Intent = TypeVar("Intent")
Outcome = TypeVar("Outcome")

Tell = Callable[[Outcome | BaseException], None]

LANE_SHARE = 5  # a further transaction is begun for a fifth of a full batch
SHARES = 3  # a batch takes a third of all that are inside, where several may be on their way
SHARE_MIN = 16  # but always so many: a smaller one costs the database too much
SWEEP_S = 0.05  # how often deadlines are looked at: one timer for all that wait, not one for each request


class _Waiting(Generic[Intent, Outcome]):
    """One request in the queue or on its way; it is told what came of it once, whoever comes first."""

    __slots__ = ("alive", "deadline", "intent", "tell")

    def __init__(
        self,
        intent: Intent,
        tell: Tell[Outcome],
        deadline: float,
        alive: Callable[[], bool] | None,
    ) -> None:
        self.intent = intent
        self.tell: Tell[Outcome] | None = tell
        self.deadline = deadline
        self.alive = alive

    def settle(self, outcome: Outcome | BaseException) -> None:
        tell, self.tell = self.tell, None
        if tell is None:
            return
        try:
            tell(outcome)
        except Exception as error:  # the others of its batch must hear of theirs all the same
            asyncio.get_running_loop().call_exception_handler(
                {"message": "an outcome could not be handed over", "exception": error}
            )


class Batcher(Generic[Intent, Outcome]):
    """Gather intents from all over one event loop, carry them out in batches, hand out the outcomes.

    Args:
        carry_out: one durable transaction for a batch; outcomes in the order of the intents.
        queue_max: how many may wait; the next one gets 9001.
        batch_max: how many go into one transaction.
        lanes: how many transactions may be on their way at once (1 for SQLite, its connections for PostgreSQL).
        wait_max_s: after so long a request that is still waiting gets 9001, one that is on its way 9003.
        observe: told of each batch: size, seconds that its eldest waited, seconds that it took.
        joining: asked for each intent that joins the queue; gives what is to be called in the place of its `tell`.
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
        joining: Callable[[Intent, Tell[Outcome]], Tell[Outcome]] | None = None,
    ) -> None:
        self._carry_out = carry_out
        self._queue_max = queue_max
        self._batch_max = batch_max
        self._lane_opens_at = max(1, batch_max // LANE_SHARE)
        self._shares = SHARES if lanes > 1 else 1
        self._lanes = lanes
        self._free_lanes = lanes
        self._wait_max_s = wait_max_s
        self._observe = observe
        self._joining = joining
        self._queue: deque[_Waiting[Intent, Outcome]] = deque()
        self._under_way: list[list[_Waiting[Intent, Outcome]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many are in the queue now."""
        return len(self._queue)

    def put(
        self,
        intent: Intent,
        tell: Tell[Outcome],
        alive: Callable[[], bool] | None = None,
    ) -> None:
        """Queue an intent; `tell` is called with its outcome, from the event loop, never from here.

        It is told an exception in the outcome's place: OutcomeUnknown or StoreUnavailable, as the store raised them;
        Refusal 9001 where the time was up and nothing was stored; OutcomeUnknown where it was up and nobody knows;
        CancelledError where the client had gone.

        Args:
            alive: asked before the intent goes into a transaction: one whose client has gone is dropped.

        Raises:
            Refusal: 9001, at once, where the queue is full.
        """
        if len(self._queue) >= self._queue_max:
            raise Refusal(codes.OVERLOADED, "too many requests are waiting", retry_after_s=1)
        if self._joining is not None:
            tell = self._joining(intent, tell)
        loop = asyncio.get_running_loop()
        self._queue.append(_Waiting(intent, tell, time.monotonic() + self._wait_max_s, alive))
        if self._free_lanes == self._lanes or (self._free_lanes and len(self._queue) >= self._lane_opens_at):
            self._open_lane(loop)
        if self._sweeper is None:
            self._sweeper = loop.call_later(SWEEP_S, self._sweep)

    def submit(self, intent: Intent) -> asyncio.Future[Outcome]:
        """Queue an intent; await what comes back for its outcome. One that is given up meanwhile is dropped.

        Raises:
            Refusal: 9001, at once, where the queue is full.
            Refusal, StoreUnavailable, OutcomeUnknown: from the future, as `put` tells them.
        """
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def tell(outcome: Outcome | BaseException) -> None:
            if future.done():
                return
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        self.put(intent, tell, lambda: not future.done())
        return future

    def refuse_waiting(self, keep: int) -> None:
        """Refuse all that wait with 9001, but the `keep` that came last: nothing of them was stored."""
        while len(self._queue) > keep:
            self._queue.popleft().settle(
                Refusal(codes.OVERLOADED, "more requests at once than can be answered soon", retry_after_s=1)
            )

    async def drain(self) -> None:
        """Return when nothing waits and nothing is on its way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
            # One that has ended leaves the set in the loop's next round; from Python 3.12 on, gather does not wait for
            # that by itself, and this would go round for ever.
            await asyncio.sleep(0)

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
        inside = len(self._queue) + sum(map(len, self._under_way))
        most = min(self._batch_max, max(SHARE_MIN, -(-inside // self._shares)))
        while self._queue and len(batch) < most:
            waiting = self._queue.popleft()
            if waiting.alive is None or waiting.alive():
                batch.append(waiting)
            else:
                waiting.settle(asyncio.CancelledError())
        return batch

    async def _carry(self, batch: list[_Waiting[Intent, Outcome]]) -> None:
        loop = asyncio.get_running_loop()
        started = time.monotonic()
        waited_s = self._waited_s(batch[0], started)
        self._under_way.append(batch)
        outcomes: Sequence[Outcome | BaseException] = [OutcomeUnknown("the commit was given up")] * len(batch)
        try:
            outcomes = await self._outcomes([waiting.intent for waiting in batch])
        except Exception as error:
            outcomes = [error] * len(batch)
        finally:
            self._observe(len(batch), waited_s, time.monotonic() - started)
            # In the loop's next round: the next batch is on its way to the database before these become answers.
            loop.call_soon(self._settle, batch, outcomes)

    def _settle(
        self, batch: list[_Waiting[Intent, Outcome]], outcomes: Sequence[Outcome | BaseException]
    ) -> None:
        self._under_way.remove(batch)
        for waiting, outcome in zip(batch, outcomes, strict=True):
            waiting.settle(outcome)

    def _waited_s(self, waiting: _Waiting[Intent, Outcome], now: float) -> float:
        return now - (waiting.deadline - self._wait_max_s)

    async def _outcomes(self, intents: list[Intent]) -> Sequence[Outcome]:
        outcomes = await self._carry_out(intents)
        if len(outcomes) != len(intents):  # a fault of the store's; without this some would wait for ever
            raise RuntimeError(f"{len(outcomes)} outcomes for {len(intents)} intents")
        return outcomes

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        while self._queue and self._queue[0].deadline <= now:
            self._queue.popleft().settle(Refusal(codes.OVERLOADED, "waited too long", retry_after_s=1))
        for batch in self._under_way:
            for waiting in batch:
                if waiting.deadline <= now:
                    waiting.settle(OutcomeUnknown("the commit takes too long"))
        if self._free_lanes and self._queue and self._waited_s(self._queue[0], now) >= SWEEP_S:
            self._open_lane(loop)
        busy = self._queue or self._under_way or self._tasks
        self._sweeper = loop.call_later(SWEEP_S, self._sweep) if busy else None
