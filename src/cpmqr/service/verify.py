"""The authoriser's question: is this QR ours, fresh and unused; if so, it is used from now on. Needs no HTTP.

 1. The credential is an authoriser's, and live (the edge sees to it)  2001, 2002, 2003
 2. The body, and what it presents of a QR                             1001, 1002, 1003
 3. The issue, by the PAN's blind index and the counter                5003
 4. What was issued, computed anew, against what is presented          5007
 5. The lifetime                                                       5004, and the token's expiry 4004
 6. One transaction: this authorization_id's earlier answer, else the  5001, 5005, 5006, 4002, 4003, 2003
    states of issue, token and requestor; then the issue is used
 7. The answer, from what the transaction stored

Nothing of states and times is told before the cryptogram is found right: 3 and 4 come first. Refusals of 3 to 5 go
through 6 as well, so that their authorization_id keeps its answer, byte for byte, also when the gateway crashed in
between. What can't be read (1 and 2) is not stored, and the authorization_id stays free.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec

from cpmqr.errors import Refusal
from cpmqr.model import TokenPan
from cpmqr.service.access import Access, Principal, Snapshot
from cpmqr.service.batch import Batcher
from cpmqr.service.issue import SECONDS_A_DAY
from cpmqr.service.presented import Presented, differences, read_expected, read_presented
from cpmqr.service.tokens import korean_month, token_ref
from cpmqr.store.base import Claimed, ClaimIntent, Found, Issued, TokenStore, VerificationStore
from cpmqr.wire import codes, v1, webhook
from cpmqr.wire.problem import problem

PayloadOf = Callable[[Snapshot, TokenPan, Issued], bytes]


class Records(VerificationStore, TokenStore, Protocol):
    """What verification reads."""


class Asked(msgspec.Struct, frozen=True):
    """An authoriser's question, its body read."""

    principal: Principal
    request: v1.VerificationRequest
    now_s: int


class Verdict(msgspec.Struct, frozen=True):
    """What is sent, and what may be logged.

    Attributes:
        repeated: this authorization_id had its answer before.
        forged: this gateway never made what was presented.
    """

    rslt_cd: str
    body: v1.Verification | v1.Declined
    token_id: str = ""
    atc: int | None = None
    requestor_id: str = ""
    repeated: bool = False
    forged: bool = False


class _KnownQr(msgspec.Struct, frozen=True):
    token_id: str
    funding_ref: str
    requestor_id: str
    trace_no: str
    atc: int
    issued_at: datetime
    expires_at: datetime
    qr_data_mapp_val: str


class Judgement(msgspec.Struct, frozen=True):
    """What is stored with an authorization_id as JSON, and all that its answer is written from.

    Attributes:
        refused: the code where steps 3 to 5 refuse, else "".
        detail: the exact cause, for people.
        qr: what the QR is; None where the authoriser has not proved that it knows.
    """

    refused: str = ""
    detail: str = ""
    late_by_s: int = 0
    qr: _KnownQr | None = None
    forged: bool = False


class Verifier:
    """Answers authorisers.

    Args:
        payload_of: computes an issue's payload anew, as the main job does (`Issuer.payload`).
        sandbox: whether a refusal names the tags that are wrong.
    """

    def __init__(
        self,
        access: Access,
        store: Records,
        batcher: Batcher[ClaimIntent, Claimed],
        payload_of: PayloadOf,
        *,
        sandbox: bool,
    ) -> None:
        self._access = access
        self._store = store
        self._batcher = batcher
        self._payload_of = payload_of
        self._sandbox = sandbox

    async def verify(self, asked: Asked) -> Verdict:
        """Carry out steps 2 to 7.

        Raises:
            Refusal: the request can't be read (1002, 1003), or its authorization_id belongs to another (5001).
            KeyUnavailable, StoreUnavailable, OutcomeUnknown: nothing is known; the same request may be sent again.
        """
        presented = read_presented(asked.request)  # 2
        snapshot = self._access.current
        found = await self._store.find_issue(snapshot.vault.index(presented.pan), presented.atc)  # 3
        if found is None:
            judgement = await self._unknown(snapshot, presented)
        else:
            judgement = self._judge(snapshot, presented, found, asked.now_s)
        claimed = await self._batcher.submit(_intent(asked, snapshot, presented, found, judgement))  # 6
        if claimed.code == codes.DUPLICATE_TRACE:
            raise Refusal(
                codes.DUPLICATE_TRACE,
                "authorization_id was used before, with another QR; its first answer stands",
            )
        return _verdict(claimed)  # 7

    async def _unknown(self, snapshot: Snapshot, presented: Presented) -> Judgement:
        """There is no such issue: never made, or so old that it was purged. To the sender both are the same."""
        token = await self._store.token_by_index(snapshot.vault.index(presented.pan))
        never_issued = token is None or not 0 < presented.atc <= token.atc
        detail = ""
        if self._sandbox:
            detail = "this PAN has no token here" if token is None else "no QR of this token has this counter"
        return Judgement(codes.NO_QR, detail, forged=never_issued)

    def _judge(self, snapshot: Snapshot, presented: Presented, found: Found, now_s: int) -> Judgement:
        issue, token = found.issue, found.token
        issued = Issued(
            token_id=token.token_id,
            psn=token.psn,
            expiry=token.expiry,
            service_code=token.service_code,
            discretionary=token.discretionary,
            profile=issue.profile,
            dki=issue.dki,
            atc=issue.atc,
            unpredictable_number=issue.unpredictable_number,
            issued_at_s=issue.issued_at_s,
            expires_at_s=issue.expires_at_s,
            repeated=True,
        )
        expected = read_expected(self._payload_of(snapshot, TokenPan(presented.pan), issued))  # 4
        wrong = differences(presented, expected)
        if wrong:
            detail = f"not as issued: {', '.join(wrong)}" if self._sandbox else ""
            return Judgement(codes.CRYPTOGRAM_WRONG, detail, forged=True)
        qr = _known_qr(snapshot, found)
        late_by_s = now_s - issue.expires_at_s  # 5
        if late_by_s > 0:
            return Judgement(codes.QR_EXPIRED, f"{late_by_s} s after its end", late_by_s, qr)
        if token.expiry < korean_month(now_s):
            return Judgement(codes.TOKEN_EXPIRED, "between issue and verification", qr=qr)
        return Judgement(qr=qr)


def _known_qr(snapshot: Snapshot, found: Found) -> _KnownQr:
    """Give what an approval says of a QR."""
    issue, token = found.issue, found.token
    return _KnownQr(
        token_id=token_ref(token.token_id),
        funding_ref=token.funding_ref,
        requestor_id=issue.requestor_id,
        trace_no=issue.trace_no,
        atc=issue.atc,
        issued_at=utc(issue.issued_at_s),
        expires_at=utc(issue.expires_at_s),
        qr_data_mapp_val=mapping_value(snapshot, found),
    )


def mapping_value(snapshot: Snapshot, found: Found) -> str:
    """Give the QR_DATA_MAPP_VAL of an issue, the same as its first answer had."""
    issue = found.issue
    return snapshot.vault.mapping_value(issue.token_id, issue.atc, issue.issued_at_s // SECONDS_A_DAY)


def utc(at_s: int) -> datetime:
    """Give a stored time as `/v1` shows it."""
    return datetime.fromtimestamp(at_s, UTC)


def _intent(
    asked: Asked, snapshot: Snapshot, presented: Presented, found: Found | None, judgement: Judgement
) -> ClaimIntent:
    return ClaimIntent(
        authoriser_id=asked.principal.requestor.requestor_id,
        authorization_id=asked.request.authorization_id,
        digest=snapshot.vault.digest(b"verification " + presented.content),
        now_s=asked.now_s,
        token_id=found.issue.token_id if found else None,
        atc=found.issue.atc if found else None,
        refused=judgement.refused,
        answer=msgspec.json.encode(judgement),
        event_body=b"" if judgement.refused or judgement.qr is None else _notice(judgement.qr, asked.now_s),
    )


def _notice(qr: _KnownQr, now_s: int) -> bytes:
    used_at = utc(now_s)
    used = webhook.QrUsed(
        qr_data_mapp_val=qr.qr_data_mapp_val,
        requestor_id=qr.requestor_id,
        trace_no=qr.trace_no,
        token_id=qr.token_id,
        atc=qr.atc,
        issued_at=qr.issued_at,
        used_at=used_at,
    )
    return msgspec.json.encode(webhook.Notice(webhook.QR_USED, used_at, used))


def _verdict(claimed: Claimed) -> Verdict:
    """Write the answer: only from what was stored, so that it is the same each time."""
    judgement = msgspec.json.decode(claimed.answer, type=Judgement)
    qr = judgement.qr
    known: dict[str, Any] = msgspec.structs.asdict(qr) if qr is not None else {}
    body: v1.Verification | v1.Declined
    if claimed.code == codes.OK:
        body = v1.Verification(result="approved", rslt_cd=codes.OK, **known)
    else:
        known.pop("funding_ref", None)  # nothing is charged
        detail = (
            judgement.detail
            if claimed.code == judgement.refused
            else _DECIDED_IN_THE_STORE.get(claimed.code, "")
        )
        late_by_s = judgement.late_by_s
        body = problem(v1.Declined, claimed.code, detail, result="declined", late_by_s=late_by_s, **known)
    return Verdict(
        claimed.code,
        body,
        token_id=qr.token_id if qr else "",
        atc=qr.atc if qr else None,
        requestor_id=qr.requestor_id if qr else "",
        repeated=claimed.repeated,
        forged=judgement.forged and not claimed.repeated,
    )


_DECIDED_IN_THE_STORE: Final = {
    codes.QR_USED: "by another authorization_id",
    codes.REQUESTOR_SUSPENDED: "the one that the QR was issued to",
}
