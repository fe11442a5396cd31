"""QRs for a wallet that must work without a network: several requests in one call, with a longer lifetime.

Each request is what the main job takes as REQUEST, sealed and signed for itself under its own trace number, and each
answer what it gives as RESPONSE. So the steps are those of `service/issue.py`, and a request that is sent again gets
its first QR. Ours: `docs/decisions/offline-batch.md`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from cpmqr.crypto.suites import Entropy
from cpmqr.errors import CpmqrError, Refusal
from cpmqr.service.access import Principal
from cpmqr.service.batch import Batcher
from cpmqr.service.faults import refusal_of
from cpmqr.service.issue import UNPREDICTABLE_NUMBER_BYTES, Call, Issuer, Prepared, korean_text
from cpmqr.service.limits import RateLimits
from cpmqr.store.base import IssueIntent, IssueOutcome
from cpmqr.wire import codes, contract, envelope, sealed

# Set before the content that a trace number stands for: the same request to the main job is another one.
_CONTENT_PREFIX: Final = b"offline\n"


class OfflineCall(msgspec.Struct, frozen=True):
    """A batch as the edge hands it over: who asks, from where, when, and the REQUESTs."""

    principal: Principal
    source: str
    now_s: int
    requests: Sequence[Mapping[str, str]]

    def __repr__(self) -> str:
        return f"<offline call, {len(self.requests)} requests>"


class OfflineIssuer:
    """Issues QRs for offline use.

    Args:
        issuer: the main job, whose steps are run. batcher, limits, entropy: those that it has.
        ttl_s: a QR's lifetime; 0 where the deployment has no such QRs.
    """

    def __init__(
        self,
        issuer: Issuer,
        batcher: Batcher[IssueIntent, IssueOutcome],
        limits: RateLimits,
        entropy: Entropy,
        ttl_s: int,
    ) -> None:
        self._issuer = issuer
        self._batcher = batcher
        self._limits = limits
        self._entropy = entropy
        self._ttl_s = ttl_s

    async def issue(self, call: OfflineCall) -> list[dict[str, str]]:
        """Issue a QR for each request; the RESPONSE of each, in their order.

        Raises:
            Refusal: none was issued: the first's; 1003, two have one trace number; 1004, not offered here.
        """
        if not self._ttl_s:
            raise Refusal(codes.UNKNOWN_MESSAGE, "this gateway issues no QRs for offline use")
        _refuse_twins(call.requests)
        outcomes = await asyncio.gather(*[self._one(call, members) for members in call.requests])
        refused = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
        if len(refused) == len(outcomes):
            raise refused[0]
        return [
            self._refused(members, outcome) if isinstance(outcome, Refusal) else outcome
            for members, outcome in zip(call.requests, outcomes, strict=True)
        ]

    async def _one(self, call: OfflineCall, members: Mapping[str, str]) -> dict[str, str] | Refusal:
        try:
            prepared = self._prepare(call, members)
            outcome = await self._batcher.submit(prepared.intent)
            return envelope.read_response(self._issuer.finish(prepared, outcome).body).members
        except CpmqrError as error:
            refusal = refusal_of(error)
            if refusal is None:
                raise
            return refusal

    def _prepare(self, call: OfflineCall, members: Mapping[str, str]) -> Prepared:
        """Carry out the main job's steps 3 to 7."""
        issuer, principal = self._issuer, call.principal
        sent = envelope.Envelope(envelope.REQID, envelope.VERSION, dict(members))
        message = contract.read_message(sent, issuer.rules.dnf_profiles)
        issuer.check_requestor(principal, message, call.source)
        self._limits.take(principal.requestor)
        issuer.check_crypto(principal, message)
        lines = sealed.request_lines(message.members)
        issuer.check_hash(principal, message, lines)
        opened = issuer.open_enc_data(principal, message)
        return Prepared(principal, message, opened.pan, self._intent(call, message, lines, opened))

    def _intent(
        self, call: OfflineCall, message: contract.Message, lines: tuple[str, str], opened: sealed.Opened
    ) -> IssueIntent:
        vault, rules = self._issuer.access.current.vault, self._issuer.rules
        pan_index = vault.index(opened.pan.reveal())
        self._limits.take_token(call.principal.requestor, pan_index)
        return IssueIntent(
            requestor_id=message.requestor_id,
            trace_no=message.trace_no,
            digest=vault.digest(_CONTENT_PREFIX + sealed.content_text(lines, opened)),
            pan_index=pan_index,
            unpredictable_number=self._entropy(UNPREDICTABLE_NUMBER_BYTES),
            issued_at_s=call.now_s,
            expires_at_s=call.now_s + self._ttl_s,
            month=korean_text(call.now_s)[2:6],
            stale=abs(call.now_s - opened.request_at_s) > rules.window_s,
            profile=rules.dnf_profiles.get(message.dnf_dv, ""),
            app_dv=message.app_dv,
        )

    def _refused(self, members: Mapping[str, str], refusal: Refusal) -> dict[str, str]:
        call = Call(b"", None, "", 0)
        call.sent = dict(members)
        return envelope.read_response(self._issuer.refuse(call, refusal).body).members


def _refuse_twins(requests: Sequence[Mapping[str, str]]) -> None:
    trace_nos = [members.get("TRNS_TRCE_NO") or members.get("TRNS_TRACE_NO") for members in requests]
    named = [trace_no for trace_no in trace_nos if trace_no]
    if len(set(named)) < len(named):
        raise Refusal(codes.MEMBER_WRONG, "requests: each needs a trace number of its own")
