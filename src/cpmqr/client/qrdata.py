"""What a wallet gets: the QR, drawn as it is needed, and what is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cpmqr.emv.cpm import Payload
    from cpmqr.emv.qr import ErrorLevel


@dataclass(frozen=True, slots=True)
class QrData:
    """An issued QR. Its repr shows neither the payload nor the handle.

    Attributes:
        base64: CPMQR_DATA, to be drawn as it is.
        mapping_value: QR_DATA_MAPP_VAL, the handle of this issue; "" where the gateway gives none.
        requestor_id, trace_no, request_time: of the request that it answers.
        issued_at: aware, UTC; from the payload where its scheme carries the time, else the request's.
        expires_at: aware, UTC.
        payload: the payload, decoded and found valid.
        http_status: of the answer.
        members: RESPONSE's members as they came.
    """

    base64: str = field(repr=False)
    mapping_value: str = field(repr=False)
    requestor_id: str
    trace_no: str
    request_time: str
    issued_at: datetime
    expires_at: datetime
    payload: Payload = field(repr=False)
    http_status: int
    members: Mapping[str, str] = field(repr=False)

    def svg(self, *, error: ErrorLevel = "M", border: int = 4, scale: int = 4) -> str:
        """Draw as an SVG document; see `cpmqr.emv.qr.svg`."""
        from cpmqr.emv import qr

        return qr.svg(self.base64, error=error, border=border, scale=scale)

    def png(self, *, error: ErrorLevel = "M", border: int = 4, scale: int = 8) -> bytes:
        """Draw as a PNG; see `cpmqr.emv.qr.png`."""
        from cpmqr.emv import qr

        return qr.png(self.base64, error=error, border=border, scale=scale)

    def terminal(
        self,
        *,
        error: ErrorLevel = "L",
        border: int = 4,
        colour: bool = True,
        light_terminal: bool = False,
    ) -> str:
        """Draw for a terminal; see `cpmqr.emv.qr.terminal`."""
        from cpmqr.emv import qr

        return qr.terminal(
            self.base64, error=error, border=border, colour=colour, light_terminal=light_terminal
        )
