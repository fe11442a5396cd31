"""What a wallet's server does with QRs beside asking for one: see what became of it, revoke it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from cpmqr.errors import Refusal
from cpmqr.model import IssueState, Role
from cpmqr.service.access import Access, Principal
from cpmqr.service.tokens import token_ref
from cpmqr.service.verify import mapping_value, utc
from cpmqr.store.base import Actor, Found, VerificationStore
from cpmqr.wire import codes, v1

_THERE_IS_NONE: Final = "no QR of this requestor has this QR_DATA_MAPP_VAL"


class Qrs:
    """Looks up and revokes issues by their handle. To whom a QR does not belong, there is none (5003)."""

    def __init__(self, access: Access, store: VerificationStore) -> None:
        self._access = access
        self._store = store

    async def state(self, principal: Principal, handle: str, now_s: int) -> v1.Qr:
        """Tell what became of a QR, to its requestor or an authoriser.

        Raises:
            Refusal: 5003.
        """
        found = await self._find(principal, handle)
        return self._describe(found, found.issue.state, now_s)

    async def revoke(self, actor: Actor, principal: Principal, handle: str, now_s: int) -> v1.Qr:
        """Revoke a QR; revoked already is no error.

        Raises:
            Refusal: 5003, or 5005 where it was used.
        """
        found = await self._find(principal, handle)
        (state,) = await self._revoke(actor, principal, [_key(found)], now_s)
        if state is None:
            raise Refusal(codes.NO_QR, _THERE_IS_NONE)
        if state is IssueState.USED:
            raise Refusal(codes.QR_USED, "it can't be revoked any more")
        return self._describe(found, state, now_s)

    async def revoke_together(
        self, actor: Actor, principal: Principal, handles: Sequence[str], now_s: int
    ) -> v1.Revoked:
        """Revoke several QRs in one transaction; an outcome for each, in their order."""
        keys = [self._read(handle) for handle in handles]
        named = [key for key in keys if key is not None]
        states = iter(await self._revoke(actor, principal, named, now_s) if named else [])
        return v1.Revoked(
            [
                _revoked(handle, next(states) if key is not None else None)
                for handle, key in zip(handles, keys, strict=True)
            ]
        )

    async def _revoke(
        self, actor: Actor, principal: Principal, keys: Sequence[tuple[int, int]], now_s: int
    ) -> list[IssueState | None]:
        return await self._store.revoke_issues(actor, principal.requestor.requestor_id, keys, now_s)

    async def _find(self, principal: Principal, handle: str) -> Found:
        key = self._read(handle)
        found = await self._store.issue_of(*key) if key is not None else None
        if found is None or not _may_see(principal, found):
            raise Refusal(codes.NO_QR, _THERE_IS_NONE)
        return found

    def _read(self, handle: str) -> tuple[int, int] | None:
        pointer = self._access.current.vault.read_mapping_value(handle)
        return None if pointer is None or pointer[0] >> 63 else pointer[:2]

    def _describe(self, found: Found, state: IssueState, now_s: int) -> v1.Qr:
        issue = found.issue
        shown: Literal["issued", "used", "expired", "revoked"] = state.value
        if state is IssueState.ISSUED and now_s > issue.expires_at_s:
            shown = "expired"
        return v1.Qr(
            qr_data_mapp_val=mapping_value(self._access.current, found),
            state=shown,
            token_id=token_ref(issue.token_id),
            requestor_id=issue.requestor_id,
            trace_no=issue.trace_no,
            atc=issue.atc,
            profile=issue.profile,
            issued_at=utc(issue.issued_at_s),
            expires_at=utc(issue.expires_at_s),
            used_at=None if issue.used_at_s is None else utc(issue.used_at_s),
        )


def _may_see(principal: Principal, found: Found) -> bool:
    requestor = principal.requestor
    return requestor.role is Role.AUTHORISER or requestor.requestor_id == found.issue.requestor_id


def _key(found: Found) -> tuple[int, int]:
    return found.issue.token_id, found.issue.atc


def _revoked(handle: str, state: IssueState | None) -> v1.RevokedQr:
    code = _NOT_REVOKED.get(state, codes.OK)
    return v1.RevokedQr(handle, code, codes.CODES[code].rslt_msg)


_NOT_REVOKED: Final = {None: codes.NO_QR, IssueState.USED: codes.QR_USED}
