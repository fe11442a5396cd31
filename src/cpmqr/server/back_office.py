"""All that a gateway has beside the main job: `/v1`, `/openapi.json`, and the delivery of notifications."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from cpmqr.emv.compiled import CompiledProfile
from cpmqr.server.notify import Notifier
from cpmqr.server.observe import Observer
from cpmqr.server.openapi import document
from cpmqr.server.settings import Settings
from cpmqr.server.v1 import V1
from cpmqr.server.v1_calls import Calls
from cpmqr.server.v1_metrics import V1Metrics
from cpmqr.service.access import Access
from cpmqr.service.batch import Batcher
from cpmqr.service.issue import Issuer
from cpmqr.service.limits import RateLimits
from cpmqr.service.offline import OfflineIssuer
from cpmqr.service.tokens import BinRange
from cpmqr.service.verify import Verifier
from cpmqr.store.base import Claimed, ClaimIntent, IssueIntent, IssueOutcome, Store

SANDBOX_RANGES: Final = (BinRange("535020"), BinRange("620000"))  # as its seeded tokens


class BackOffice:
    """Made from the main job's own parts.

    Args:
        issuer, batcher, limits: the main job, its group commit, its rate limits.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        access: Access,
        issuer: Issuer,
        batcher: Batcher[IssueIntent, IssueOutcome],
        limits: RateLimits,
        profiles: Mapping[str, CompiledProfile],
        observer: Observer,
    ) -> None:
        storage, sandbox = settings.storage, settings.sandbox
        metrics = V1Metrics(observer)
        self._claims: Batcher[ClaimIntent, Claimed] = Batcher(
            store.claim,
            queue_max=storage.queue_max,
            batch_max=storage.batch_max,
            lanes=storage.lanes if storage.database else 1,
            wait_max_s=storage.wait_max_s,
            observe=metrics.claimed,
        )
        calls = Calls(
            store,
            access,
            Verifier(access, store, self._claims, issuer.payload, sandbox=sandbox),
            OfflineIssuer(issuer, batcher, limits, os.urandom, settings.issuing.offline_ttl_s),
            profiles=list(profiles),
            ranges=settings.provisioning.ranges or (SANDBOX_RANGES if sandbox else ()),
            crypto_types=settings.crypto_types,
        )
        self._v1 = V1(
            calls,
            access,
            RateLimits(time.monotonic),
            metrics,
            observer.incident,
            time.time,
            os.urandom,
            sandbox=sandbox,
        )
        webhooks = settings.webhooks
        if sandbox:
            webhooks = msgspec.structs.replace(webhooks, private_receivers=True)
        self._notifier = Notifier(store, access, webhooks, observer)

    def routes(self) -> list[BaseRoute]:
        """Give the routes of `/v1` and `/openapi.json`."""
        body = document()

        async def openapi(_: Request) -> Response:
            return Response(body, media_type="application/json")

        return [*self._v1.routes(), Route("/openapi.json", openapi)]

    def start(self) -> None:
        """Begin to deliver notifications."""
        self._notifier.start()

    async def stop(self) -> None:
        """Finish the verifications that wait; the store is still open."""
        await self._notifier.stop()
        await self._claims.drain()
