"""A wallet's server and the QRs that it has: what became of one, revoking, a batch for offline use.

with IssuedQrs.from_sandbox("var/sandbox.json") as issued:
    state = issued.qr(qr.mapping_value).state
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from cpmqr.client.answer import Answer, read_qr
from cpmqr.client.config import SANDBOX_FILE
from cpmqr.client.endpoint import Endpoint
from cpmqr.client.qrdata import QrData
from cpmqr.client.request import Prepared
from cpmqr.client.settings import Gateway
from cpmqr.client.v1 import SyncCaller, get, post
from cpmqr.errors import CpmqrError, EncodeError, UntrustedAnswer
from cpmqr.wire import codes, envelope, v1


class IssuedQrs(SyncCaller):
    """Looks after a requestor's QRs."""

    @classmethod
    def from_sandbox(cls, path: str | Path = SANDBOX_FILE) -> Self:
        """Take address and credential from the file that `cpmqr serve --sandbox` writes.

        Raises:
            ConfigError: it can't be read.
        """
        return cls(Endpoint.from_sandbox(path, side="requestor"))

    def qr(self, qr_data_mapp_val: str) -> v1.Qr:
        """Tell what became of a QR."""
        return self.call(get(v1.Qr, "qrs", qr_data_mapp_val))

    def revoke(self, qr_data_mapp_val: str) -> v1.Qr:
        """Revoke a QR; revoked already is no error, used already is `Refused` with 5005."""
        return self.call(post(v1.Qr, "qrs", qr_data_mapp_val, "revoke"))

    def revoke_together(self, qr_data_mapp_vals: Sequence[str]) -> v1.Revoked:
        """Revoke up to ten QRs in one transaction; an outcome for each."""
        return self.call(
            post(v1.Revoked, "qrs", "revoke", body={"qr_data_mapp_vals": list(qr_data_mapp_vals)})
        )

    def request_batch(
        self, gateway: Gateway, requests: Sequence[Prepared], *, ttl_s: int = 86_400
    ) -> list[QrData | CpmqrError]:
        """Ask for QRs for offline use.

        Args:
            gateway: the wallet's settings, with which each answer is checked (`Wallet.gateway`).
            requests: up to ten, made by `Wallet.prepare`. Sent again they get the same QRs.
            ttl_s: how long the gateway's offline QRs live.

        Returns:
            For each request its QR, or the error that it would have raised alone.
        """
        if not 1 <= len(requests) <= v1.BATCH_MAX:
            raise EncodeError(f"a batch is 1 to {v1.BATCH_MAX} requests")
        body = {"requests": [request.members for request in requests]}
        batch = self.call(post(v1.Batch, "qrs", "batch", body=body))
        if len(batch.responses) != len(requests):
            raise UntrustedAnswer("the batch has another number of answers than of requests")
        settings = replace(gateway, qr_ttl_s=ttl_s)
        return [
            _qr(members, request, settings)
            for members, request in zip(batch.responses, requests, strict=True)
        ]


def _qr(members: dict[str, str], request: Prepared, gateway: Gateway) -> QrData | CpmqrError:
    """Judge one answer as if it had come alone."""
    code = codes.CODES.get(members.get("RSLT_CD", ""))
    status = code.http_status if code is not None else 200
    try:
        return read_qr(Answer(status, envelope.write("RESPONSE", members)), request.request, gateway)
    except CpmqrError as error:
        return error
