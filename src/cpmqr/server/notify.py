"""The delivery of notifications: from the store's outbox to wallets' servers, at least once (`docs/webhooks.md`).

Each event is taken with a lease, so that several gateways share the work; a gateway that dies keeps no event longer
than that. A delivery that fails is tried again after a pause that doubles, for 24 hours; then it is a dead letter,
which an operator can see and replay.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import httpx
import prometheus_client

from cpmqr.errors import CpmqrError
from cpmqr.server.observe import Observer
from cpmqr.server.receivers import ReceiverRefused, pinned
from cpmqr.server.settings import Webhooks
from cpmqr.service.access import Access
from cpmqr.store.base import AuditStore, Event
from cpmqr.wire import webhook

_LEASE_SLACK_S: Final = 20  # a delivery that takes its whole time, and the commit that settles it
_JITTER: Final = 0.2  # of a pause, either way: receivers that came back are not hit by all at once
_SHARE: Final = 4  # of the deliveries under way at most a fourth go to one requestor
_PUT_OFF_S: Final = 30
_AGENT: Final = "cpmqr"


class DeliveryFailed(Exception):
    """A delivery did not end with a status of 200 to 299; says why, without what the receiver sent."""


class Notifier:
    """Delivers what the outbox holds.

    Args:
        now: seconds since the Unix epoch. uniform: a random number in a range, for jitter.
    """

    def __init__(
        self,
        store: AuditStore,
        access: Access,
        settings: Webhooks,
        observer: Observer,
        now: Callable[[], float] = time.time,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._store = store
        self._access = access
        self._settings = settings
        self._observer = observer
        self._now = now
        self._uniform = uniform
        self._loop_task: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._to: Counter[str] = Counter()
        self._deliveries = prometheus_client.Counter(
            "cpmqr_webhook_deliveries", "Attempts by outcome", ["outcome"], registry=observer.registry
        )

    def start(self) -> None:
        """Begin to deliver, in a task of its own."""
        self._loop_task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Give up what is under way: its lease ends, and another gateway or the next start delivers it."""
        if self._loop_task is not None:
            for task in (self._loop_task, *self._under_way):
                task.cancel()
            await asyncio.gather(self._loop_task, *self._under_way, return_exceptions=True)

    async def _run(self) -> None:
        limits = httpx.Limits(max_keepalive_connections=0)  # pinned to an address that may change
        async with httpx.AsyncClient(
            limits=limits, follow_redirects=False, trust_env=False, timeout=self._settings.timeout_s
        ) as client:
            while True:
                try:
                    taken = await self._take_due(client)
                except CpmqrError as error:
                    self._observer.trouble("outbox not read", why=str(error))
                    taken = 0
                if self._under_way:
                    wait_s = 0 if taken else self._settings.poll_s
                    await asyncio.wait(self._under_way, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                elif not taken:
                    await asyncio.sleep(self._settings.poll_s)

    async def deliver_due(self, client: httpx.AsyncClient) -> int:
        """Deliver what is due now, once each, and wait for it; how many events there were."""
        taken = await self._take_due(client)
        await asyncio.gather(*self._under_way)
        return taken

    async def _take_due(self, client: httpx.AsyncClient) -> int:
        """Take what is due, as far as there is room, and begin to deliver it."""
        room = self._settings.at_once_max - len(self._under_way)
        if room <= 0:
            return 0
        lease_s = int(self._settings.timeout_s) + _LEASE_SLACK_S
        events = await self._store.due_events(int(self._now()), lease_s, room)
        for event in events:
            task = asyncio.create_task(self._settle(client, event))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return len(events)

    async def _settle(self, client: httpx.AsyncClient, event: Event) -> None:
        try:
            if self._to[event.requestor_id] >= max(1, self._settings.at_once_max // _SHARE):
                await self._put_off(event)
                return
            self._to[event.requestor_id] += 1
            try:
                await self._deliver(client, event)
            finally:
                self._to[event.requestor_id] -= 1
        except CpmqrError as error:
            self._observer.trouble("webhook not settled", event_id=event.event_id, why=str(error))
        except Exception as error:
            self._observer.incident(f"webhook {event.event_id}", error)

    async def _put_off(self, event: Event) -> None:
        """One receiver that hangs must not keep the others waiting: what it can't take now is looked at later."""
        await self._store.settle_event(
            event.event_id,
            state="pending",
            next_at_s=int(self._now()) + _PUT_OFF_S,
            attempts=event.attempts,
            last_error=event.last_error,
        )

    async def _deliver(self, client: httpx.AsyncClient, event: Event) -> None:
        attempts = event.attempts + 1
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                await self._post(client, event)
        except DeliveryFailed as failure:
            await self._failed(event, attempts, str(failure))
        except TimeoutError:
            await self._failed(event, attempts, f"no answer within {self._settings.timeout_s:g} s")
        else:
            self._deliveries.labels("delivered").inc()
            await self._store.settle_event(
                event.event_id, state="delivered", next_at_s=event.next_at_s, attempts=attempts, last_error=""
            )

    async def _post(self, client: httpx.AsyncClient, event: Event) -> None:
        principal = self._access.current.principals.get(event.requestor_id)
        if principal is None or not principal.requestor.webhook_url:
            raise DeliveryFailed("the requestor has no webhook_url any more")
        if not principal.webhook_keys:
            raise DeliveryFailed("the requestor has no active key of purpose webhook")
        headers = webhook.sign(principal.webhook_keys, event.event_id, int(self._now()), event.body)
        headers |= {"content-type": "application/json", "user-agent": _AGENT, "accept-encoding": "identity"}
        try:
            where = await pinned(
                principal.requestor.webhook_url, private_allowed=self._settings.private_receivers
            )
            # The body of an answer says nothing that counts, and could be endless: it is not read.
            async with client.stream(
                "POST",
                where.url,
                content=event.body,
                headers={**headers, "host": where.host_header},
                extensions={"sni_hostname": where.host},
            ) as answer:
                status = answer.status_code
        except ReceiverRefused as refused:
            raise DeliveryFailed(str(refused)) from None
        except httpx.TimeoutException:
            raise TimeoutError from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise DeliveryFailed(f"no answer: {type(error).__name__}") from None
        if not 200 <= status <= 299:
            told = " (redirects are not followed)" if 300 <= status <= 399 else ""
            raise DeliveryFailed(f"the receiver answered {status}{told}")

    async def _failed(self, event: Event, attempts: int, why: str) -> None:
        pause_s = pause_after(attempts, self._settings)
        outcome = "failed" if pause_s is not None else "dead"
        self._deliveries.labels(outcome).inc()
        self._observer.trouble(
            "webhook not delivered",
            event_id=event.event_id,
            requestor_id=event.requestor_id,
            attempts=attempts,
            why=why,
            dead=pause_s is None,
        )
        now_s = int(self._now())
        if pause_s is None:
            state, next_at_s = "dead", now_s
        else:
            spread = self._uniform(1 - _JITTER, 1 + _JITTER)
            state, next_at_s = "pending", now_s + max(1, round(pause_s * spread))
        await self._store.settle_event(
            event.event_id, state=state, next_at_s=next_at_s, attempts=attempts, last_error=why
        )


def pause_after(attempts: int, settings: Webhooks) -> float | None:
    """Give the pause after so many failed attempts; None once all pauses together would pass the time for retries.

    With the defaults: 5 s, 10 s, 20 s … 1 h, an attempt each hour from then on, 33 within 24 hours. It counts
    attempts, not hours since the event, so that a replayed event gets as many again.
    """
    waited_s = 0.0
    pause_s = settings.first_pause_s
    for _ in range(attempts - 1):
        waited_s += pause_s
        pause_s = min(pause_s * 2, settings.pause_max_s)
        if waited_s > settings.retry_for_s:
            return None
    return pause_s if waited_s + pause_s <= settings.retry_for_s else None
