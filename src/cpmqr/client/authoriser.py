"""The authoriser's client: is this QR ours, fresh and unused.

with Authoriser.from_sandbox("var/sandbox.json") as authoriser:
    verdict = authoriser.verify(payload=scanned, authorization_id="A20261123-000017")
    if verdict.result == "approved":
        charge(verdict.funding_ref)
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Final, Self

from cpmqr.client.answer import Answer
from cpmqr.client.config import SANDBOX_FILE
from cpmqr.client.endpoint import Endpoint
from cpmqr.client.v1 import (
    AsyncCaller,
    SyncCaller,
    V1Call,
    body_of,
    get,
    path_of,
    read_answer,
    refusal_of,
)
from cpmqr.errors import UntrustedAnswer
from cpmqr.wire import v1

Verdict = v1.Verification | v1.Declined

_RANDOM_BYTES: Final = 15  # 24 characters of Base32


def new_authorization_id() -> str:
    """Make an authorization_id that no other will have."""
    return "A" + base64.b32encode(os.urandom(_RANDOM_BYTES)).decode()


class Authoriser(SyncCaller):
    """Verifies QRs, and looks after them."""

    @classmethod
    def from_sandbox(cls, path: str | Path = SANDBOX_FILE) -> Self:
        """Take address and credential from the file that `cpmqr serve --sandbox` writes.

        Raises:
            ConfigError: it can't be read.
        """
        return cls(Endpoint.from_sandbox(path, side="authoriser"))

    def verify(
        self,
        *,
        payload: str | None = None,
        track2: str | None = None,
        icc_data: str | None = None,
        authorization_id: str | None = None,
    ) -> Verdict:
        """Verify a QR and consume it.

        Args:
            payload: the QR's text, Base64 or hex; or else
            track2, icc_data: DE 35 (or the hex of tag 57) and DE 55 as hex.
            authorization_id: your name of this authorisation, 1 to 64 printable characters; the same one again gets
                the same answer. Made up where it is not given.

        Returns:
            What the gateway says of the QR; `result` is "approved" or "declined", `rslt_cd` says why.

        Raises:
            Refused: the question itself was refused (1003, 2001, 5001, …).
            Unreachable: no connection was made. OutcomeUnknown: ask again with the same authorization_id.
            UntrustedAnswer: an answer came that is none.
        """
        return self.call(verification(payload, track2, icc_data, authorization_id or new_authorization_id()))

    def qr(self, qr_data_mapp_val: str) -> v1.Qr:
        """Tell what became of a QR.

        Raises:
            Refused: 5003 for none of this gateway's. The others as for `verify`.
        """
        return self.call(get(v1.Qr, "qrs", qr_data_mapp_val))


class AsyncAuthoriser(AsyncCaller):
    """As `Authoriser`, for asyncio and trio."""

    @classmethod
    def from_sandbox(cls, path: str | Path = SANDBOX_FILE) -> Self:
        """As `Authoriser.from_sandbox`."""
        return cls(Endpoint.from_sandbox(path, side="authoriser"))

    async def verify(
        self,
        *,
        payload: str | None = None,
        track2: str | None = None,
        icc_data: str | None = None,
        authorization_id: str | None = None,
    ) -> Verdict:
        """Verify a QR and consume it; as `Authoriser.verify`."""
        return await self.call(
            verification(payload, track2, icc_data, authorization_id or new_authorization_id())
        )

    async def qr(self, qr_data_mapp_val: str) -> v1.Qr:
        """Tell what became of a QR; as `Authoriser.qr`."""
        return await self.call(get(v1.Qr, "qrs", qr_data_mapp_val))


def verification(
    payload: str | None, track2: str | None, icc_data: str | None, authorization_id: str
) -> V1Call[Verdict]:
    """Make the call; safe to repeat, since its authorization_id stays the same."""
    body = {
        "authorization_id": authorization_id,
        "payload": payload,
        "track2": track2,
        "icc_data": icc_data,
    }
    return V1Call("POST", path_of("verifications"), read_verdict, body_of(body))


def read_verdict(came: Answer) -> Verdict:
    """Read an approval or a decline; a refusal of the question itself is raised."""
    if 200 <= came.status <= 299:
        return read_answer(v1.Verification, came)
    try:
        declined = read_answer(v1.Declined, came)
    except UntrustedAnswer:
        raise refusal_of(came) from None
    if declined.result != "declined":
        raise refusal_of(came)
    return declined
