"""What each operation of `/v1` does: a body's struct in, the service, an answer's struct out. One method for each row
of `wire/operations.py`, of the same name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from cpmqr.errors import Refusal
from cpmqr.model import Credential, Requestor, Role, Token, TokenPan, TokenState
from cpmqr.service.access import Access, Principal
from cpmqr.service.offline import OfflineCall, OfflineIssuer
from cpmqr.service.qrs import Qrs
from cpmqr.service.requestors import Requestors
from cpmqr.service.tokens import BinRange, TokenOrder, TokenRules, Tokens, read_token_ref, standing, token_ref
from cpmqr.service.verify import Asked, Verdict, Verifier, utc
from cpmqr.store.base import Actor, Event, Store
from cpmqr.wire import codes, v1

Body = TypeVar("Body", bound=v1.Body)


class Ask(msgspec.Struct, frozen=True):
    """One call: who asks, from where, when, and what was read of path, query and body."""

    principal: Principal
    source: str
    now_s: int
    path: Mapping[str, str]
    sent: v1.Body

    @property
    def actor(self) -> Actor:
        """Give who the audit names."""
        return Actor(self.principal.requestor.requestor_id, self.source)

    def read(self, kind: type[Body]) -> Body:
        """Give the body or query; the operations' table says of which kind it is."""
        assert isinstance(self.sent, kind)
        return self.sent


class Calls:
    """The operations.

    Args:
        profiles: names of the scheme profiles, the default first. ranges: where PANs are made.
    """

    def __init__(
        self,
        store: Store,
        access: Access,
        verifier: Verifier,
        offline: OfflineIssuer,
        *,
        profiles: Sequence[str],
        ranges: Sequence[BinRange],
        crypto_types: Mapping[str, str],
    ) -> None:
        self._store = store
        self._access = access
        self._verifier = verifier
        self._offline = offline
        self._qrs = Qrs(access, store)
        self._requestors = Requestors(store, crypto_types)
        self._profiles = tuple(profiles)
        self._ranges = tuple(ranges)

    async def verify(self, ask: Ask) -> Verdict:
        return await self._verifier.verify(Asked(ask.principal, ask.read(v1.VerificationRequest), ask.now_s))

    async def get_qr(self, ask: Ask) -> v1.Qr:
        return await self._qrs.state(ask.principal, ask.path["qr_data_mapp_val"], ask.now_s)

    async def revoke_qr(self, ask: Ask) -> v1.Qr:
        return await self._qrs.revoke(ask.actor, ask.principal, ask.path["qr_data_mapp_val"], ask.now_s)

    async def revoke_qrs(self, ask: Ask) -> v1.Revoked:
        handles = ask.read(v1.RevokeRequest).qr_data_mapp_vals
        return await self._qrs.revoke_together(ask.actor, ask.principal, handles, ask.now_s)

    async def issue_batch(self, ask: Ask) -> v1.Batch:
        requests = ask.read(v1.BatchRequest).requests
        return v1.Batch(
            await self._offline.issue(OfflineCall(ask.principal, ask.source, ask.now_s, requests))
        )

    async def provision_token(self, ask: Ask) -> v1.ProvisionedToken:
        wish = ask.read(v1.TokenRequest)
        order = TokenOrder(
            requestor_id=wish.requestor_id,
            expiry=wish.expiry,
            pan=read_pan(wish.pan) if isinstance(wish.pan, str) else None,
            bin_prefix=wish.bin_prefix,
            psn=wish.psn,
            service_code=wish.service_code,
            discretionary=wish.discretionary if isinstance(wish.discretionary, str) else None,
            profile=wish.profile,
            funding_ref=wish.funding_ref,
        )
        new = await self._tokens().provision(ask.actor, order, ask.now_s)
        shown = msgspec.structs.asdict(token_answer(new.token, ask.now_s))
        return v1.ProvisionedToken(**shown, pan=new.pan.reveal())

    async def list_tokens(self, ask: Ask) -> v1.TokenPage:
        query = ask.read(v1.TokenQuery)
        page = await self._tokens().page(
            requestor_id=query.requestor_id,
            state=TokenState(query.state) if isinstance(query.state, str) else None,
            after=read_mark(query.after),
            limit=query.limit,
        )
        after = None if page.after is None else token_ref(page.after)
        return v1.TokenPage([token_answer(token, ask.now_s) for token in page.tokens], after)

    async def find_token(self, ask: Ask) -> v1.Token:
        return token_answer(await self._tokens().by_pan(read_pan(ask.read(v1.TokenSearch).pan)), ask.now_s)

    async def get_token(self, ask: Ask) -> v1.Token:
        return token_answer(await self._tokens().get(read_token_ref(ask.path["token_id"])), ask.now_s)

    async def suspend_token(self, ask: Ask) -> v1.Token:
        token_id = read_token_ref(ask.path["token_id"])
        return token_answer(await self._tokens().suspend(ask.actor, token_id, ask.now_s), ask.now_s)

    async def resume_token(self, ask: Ask) -> v1.Token:
        token_id = read_token_ref(ask.path["token_id"])
        return token_answer(await self._tokens().resume(ask.actor, token_id, ask.now_s), ask.now_s)

    async def delete_token(self, ask: Ask) -> v1.Token:
        token_id = read_token_ref(ask.path["token_id"])
        return token_answer(await self._tokens().delete(ask.actor, token_id, ask.now_s), ask.now_s)

    async def list_requestors(self, ask: Ask) -> v1.RequestorPage:
        query = ask.read(v1.PageQuery)
        page = await self._requestors.page(after=query.after, limit=query.limit)
        after = page[-1].requestor_id if len(page) == query.limit else None
        return v1.RequestorPage([requestor_answer(requestor) for requestor in page], after)

    async def get_requestor(self, ask: Ask) -> v1.Requestor:
        return requestor_answer(await self._requestors.get(ask.path["requestor_id"]))

    async def suspend_requestor(self, ask: Ask) -> v1.Requestor:
        requestor_id = ask.path["requestor_id"]
        if requestor_id == ask.principal.requestor.requestor_id:
            raise Refusal(codes.MEMBER_WRONG, "requestor_id: an operator can't suspend itself")
        changed = await self._requestors.suspend(ask.actor, requestor_id, ask.now_s)
        await self._access.refresh()  # here at once; the other gateways within five seconds
        return requestor_answer(changed)

    async def resume_requestor(self, ask: Ask) -> v1.Requestor:
        changed = await self._requestors.resume(ask.actor, ask.path["requestor_id"], ask.now_s)
        await self._access.refresh()
        return requestor_answer(changed)

    async def list_credentials(self, ask: Ask) -> v1.CredentialList:
        requestor = await self._requestors.get(ask.path["requestor_id"])
        return credentials_answer(await self._requestors.credentials(requestor.requestor_id))

    async def add_credential(self, ask: Ask) -> v1.NewCredential:
        requestor = await self._governed(ask)
        new = await self._requestors.add_credential(ask.actor, requestor.requestor_id, ask.now_s)
        await self._access.refresh()
        credential = new.credential
        return v1.NewCredential(credential.credential_id, utc(credential.created_at_s), new.reveal_text())

    async def revoke_credential(self, ask: Ask) -> v1.CredentialList:
        requestor = await self._governed(ask)
        if not await self._requestors.revoke_credential(
            ask.actor, ask.path["credential_id"], ask.now_s, requestor_id=requestor.requestor_id
        ):
            raise Refusal(codes.MEMBER_WRONG, "credential_id: this requestor has no such live credential")
        await self._access.refresh()
        return credentials_answer(await self._requestors.credentials(requestor.requestor_id))

    async def list_events(self, ask: Ask) -> v1.EventPage:
        query = ask.read(v1.EventQuery)
        state = query.state if isinstance(query.state, str) else ""
        events = await self._store.list_events(state=state, after=query.after, limit=query.limit)
        after = events[-1].event_id if len(events) == query.limit else None
        return v1.EventPage([event_answer(event) for event in events], after)

    async def replay_event(self, ask: Ask) -> v1.Event:
        event_id, now_s = (
            ask.path["event_id"],
            int(time.time()),
        )  # the outbox keeps real time, also in the sandbox
        event = await self._store.event(event_id)
        if event is None:
            raise Refusal(codes.MEMBER_WRONG, "event_id: there is no such event")
        again = msgspec.structs.replace(event, state="pending", next_at_s=now_s, attempts=0, last_error="")
        await self._store.settle_event(event_id, state="pending", next_at_s=now_s, attempts=0, last_error="")
        detail = {"requestor_id": event.requestor_id, "state_before": event.state}
        await self._store.audit(ask.actor, "event.replay", event_id, detail, now_s)
        return event_answer(again)

    def _tokens(self) -> Tokens:
        snapshot = self._access.current
        requestors = {
            requestor_id
            for requestor_id, principal in snapshot.principals.items()
            if principal.requestor.role is Role.REQUESTOR
        }
        rules = TokenRules(requestors, self._profiles, self._ranges)
        return Tokens(self._store, snapshot.vault, rules, os.urandom)

    async def _governed(self, ask: Ask) -> Requestor:
        """Give the requestor of a path, if this operator may give out and take away its credentials."""
        requestor = await self._requestors.get(ask.path["requestor_id"])
        is_other_operator = (
            requestor.role is Role.OPERATOR and requestor.requestor_id != ask.principal.requestor.requestor_id
        )
        if is_other_operator:
            raise Refusal(codes.NOT_YOURS, "another operator's credentials are a matter of cpmqr requestor")
        return requestor


def read_pan(digits: str) -> TokenPan:
    """Read a PAN.

    Raises:
        Refusal: 1003, with the rule.
    """
    try:
        return TokenPan(digits)
    except ValueError as error:
        raise Refusal(codes.MEMBER_WRONG, f"pan: {error}") from None


def read_mark(after: str) -> int:
    """Read the mark that continues a list of tokens.

    Raises:
        Refusal: 1003.
    """
    try:
        return read_token_ref(after) if after else 0
    except Refusal:
        raise Refusal(codes.MEMBER_WRONG, "after: take it from the page before") from None


def token_answer(token: Token, now_s: int) -> v1.Token:
    """Show a token, its PAN masked."""
    return v1.Token(
        token_id=token_ref(token.token_id),
        requestor_id=token.requestor_id,
        pan_masked=token.pan_masked,
        psn=token.psn,
        expiry=token.expiry,
        service_code=token.service_code,
        profile=token.profile,
        state=token.state.value,
        standing=standing(token, now_s),  # type: ignore[arg-type]
        atc=token.atc,
        funding_ref=token.funding_ref,
        created_at=utc(token.created_at_s),
    )


def requestor_answer(requestor: Requestor) -> v1.Requestor:
    """Show a requestor's settings."""
    return v1.Requestor(
        requestor_id=requestor.requestor_id,
        name=requestor.name,
        role=requestor.role.value,
        suspended=requestor.suspended,
        sandbox=requestor.sandbox,
        hash_crc=requestor.hash_crc.value,
        crypto_types=list(requestor.crypto_types),
        networks=list(requestor.networks),
        rate_limit_per_s=requestor.rate_limit_per_s,
        token_rate_limit_per_s=requestor.token_rate_limit_per_s,
        webhook_url=requestor.webhook_url,
        created_at=utc(requestor.created_at_s),
    )


def credentials_answer(credentials: Sequence[Credential]) -> v1.CredentialList:
    """Show credentials by their names."""
    return v1.CredentialList(
        [v1.Credential(credential.credential_id, utc(credential.created_at_s)) for credential in credentials]
    )


def event_answer(event: Event) -> v1.Event:
    """Show a notification."""
    return v1.Event(
        event_id=event.event_id,
        requestor_id=event.requestor_id,
        kind=event.kind,
        state=event.state,  # type: ignore[arg-type]
        created_at=utc(event.created_at_s),
        next_at=utc(event.next_at_s),
        attempts=event.attempts,
        last_error=event.last_error,
        body=msgspec.json.decode(event.body, type=dict),
    )
