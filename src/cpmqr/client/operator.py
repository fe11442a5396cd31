"""The operator's client: tokens, requestors' state and credentials, the outbox of notifications.

with Operator.from_sandbox("var/sandbox.json") as operator:
    new = operator.provision_token(requestor_id="42000000066", expiry="3012")
    operator.suspend_token(new.token_id)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Self

from cpmqr.client.config import SANDBOX_FILE
from cpmqr.client.endpoint import Endpoint
from cpmqr.client.v1 import SyncCaller, get, post
from cpmqr.wire import v1


class Operator(SyncCaller):
    """Runs the tokens. Every call raises what `SyncCaller.call` does: `Refused` with the catalogue's code, …"""

    @classmethod
    def from_sandbox(cls, path: str | Path = SANDBOX_FILE) -> Self:
        """Take address and credential from the file that `cpmqr serve --sandbox` writes.

        Raises:
            ConfigError: it can't be read.
        """
        return cls(Endpoint.from_sandbox(path, side="operator"))

    def provision_token(
        self,
        *,
        requestor_id: str,
        expiry: str,
        pan: str | None = None,
        bin_prefix: str | None = None,
        psn: str | None = None,
        service_code: str | None = None,
        discretionary: str | None = None,
        profile: str | None = None,
        funding_ref: str | None = None,
    ) -> v1.ProvisionedToken:
        """Make a token; what is left out is the gateway's to choose. `pan` in the answer is told this once.

        With a PAN given the call is safe to repeat (1003 says that it was done); without one it is sent once.
        """
        body = {
            "requestor_id": requestor_id,
            "expiry": expiry,
            "pan": pan,
            "bin_prefix": bin_prefix,
            "psn": psn,
            "service_code": service_code,
            "discretionary": discretionary,
            "profile": profile,
            "funding_ref": funding_ref,
        }
        return self.call(post(v1.ProvisionedToken, "tokens", body=body, repeatable=False))

    def tokens(
        self, *, requestor_id: str | None = None, state: v1.TokenStateName | None = None
    ) -> Iterator[v1.Token]:
        """Go through all tokens, page by page."""
        after: str | None = None
        while True:
            page = self.token_page(requestor_id=requestor_id, state=state, after=after)
            yield from page.tokens
            if (after := page.after) is None:
                return

    def token_page(
        self,
        *,
        requestor_id: str | None = None,
        state: v1.TokenStateName | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> v1.TokenPage:
        """List tokens; `after` of a page continues it."""
        call = get(v1.TokenPage, "tokens", requestor_id=requestor_id, state=state, after=after, limit=limit)
        return self.call(call)

    def token(self, token_id: str) -> v1.Token:
        """Show a token."""
        return self.call(get(v1.Token, "tokens", token_id))

    def find_token(self, pan: str) -> v1.Token:
        """Find the token of a PAN."""
        return self.call(post(v1.Token, "tokens", "search", body={"pan": pan}))

    def suspend_token(self, token_id: str) -> v1.Token:
        """Suspend a token: nothing is issued for it, and its live QRs do not verify."""
        return self.call(post(v1.Token, "tokens", token_id, "suspend"))

    def resume_token(self, token_id: str) -> v1.Token:
        """Make a suspended token active again."""
        return self.call(post(v1.Token, "tokens", token_id, "resume"))

    def delete_token(self, token_id: str) -> v1.Token:
        """End a token for good."""
        return self.call(post(v1.Token, "tokens", token_id, "delete"))

    def requestor_page(self, *, after: str | None = None, limit: int | None = None) -> v1.RequestorPage:
        """List requestors, authorisers and operators."""
        return self.call(get(v1.RequestorPage, "requestors", after=after, limit=limit))

    def requestor(self, requestor_id: str) -> v1.Requestor:
        """Show one."""
        return self.call(get(v1.Requestor, "requestors", requestor_id))

    def suspend_requestor(self, requestor_id: str) -> v1.Requestor:
        """Refuse all that it asks (2003); its live QRs do not verify."""
        return self.call(post(v1.Requestor, "requestors", requestor_id, "suspend"))

    def resume_requestor(self, requestor_id: str) -> v1.Requestor:
        """Serve it again."""
        return self.call(post(v1.Requestor, "requestors", requestor_id, "resume"))

    def credentials(self, requestor_id: str) -> v1.CredentialList:
        """List its live credentials by name."""
        return self.call(get(v1.CredentialList, "requestors", requestor_id, "credentials"))

    def add_credential(self, requestor_id: str) -> v1.NewCredential:
        """Make a second credential; `authorization` is told this once."""
        return self.call(post(v1.NewCredential, "requestors", requestor_id, "credentials", repeatable=False))

    def revoke_credential(self, requestor_id: str, credential_id: str) -> v1.CredentialList:
        """End a credential; what is left is listed."""
        path = ("requestors", requestor_id, "credentials", credential_id, "revoke")
        return self.call(post(v1.CredentialList, *path, repeatable=False))

    def event_page(
        self,
        *,
        state: v1.EventStateName | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> v1.EventPage:
        """List notifications; state "dead" shows those that were given up."""
        return self.call(get(v1.EventPage, "events", state=state, after=after, limit=limit))

    def replay_event(self, event_id: str) -> v1.Event:
        """Deliver a notification anew."""
        return self.call(post(v1.Event, "events", event_id, "replay"))
