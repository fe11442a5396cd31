"""What a wallet must find in a payload before it draws it."""

from __future__ import annotations

import binascii
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cpmqr.errors import DecodeError, UntrustedAnswer
from cpmqr.wire import contract

if TYPE_CHECKING:
    from cpmqr.emv.cpm import Payload

# The AID of the page's sample; its IAD holds the issue time as 7 bytes of BCD in Korean time before the last byte.
_AID_WITH_TIME: Final = bytes.fromhex("D4100000014010")
_IAD_BYTES: Final = 20
_TIME_IN_IAD: Final = slice(12, 19)


def read(base64_text: str) -> Payload:
    """Decode CPMQR_DATA and hold it against every rule.

    Raises:
        UntrustedAnswer: no padded Base64, no payload, or a payload that breaks a rule; says which, and where.
    """
    from cpmqr.emv import cpm, rules
    from cpmqr.emv.findings import Level

    try:
        # The text itself is what gets drawn: a blank that a lenient reader forgives would be in the QR.
        binascii.a2b_base64(base64_text, strict_mode=True)
    except ValueError:
        raise UntrustedAnswer("CPMQR_DATA is not padded Base64") from None
    try:
        payload = cpm.decode(base64_text)
    except DecodeError as error:
        raise UntrustedAnswer(f"CPMQR_DATA is no CPM payload: {error}") from None
    for finding in rules.validate(payload):
        if finding.level is Level.ERROR:
            raise UntrustedAnswer(f"CPMQR_DATA breaks a rule: {finding.text}")
    return payload


def pans_of(payload: Payload) -> set[str]:
    """Give each PAN that a payload states, in 57 and in 5A of each application."""
    stated = {application.pan for application in payload.applications}
    stated |= {application.track2.pan for application in payload.applications if application.track2}
    return {pan for pan in stated if pan is not None}


def issued_at(payload: Payload) -> datetime | None:
    """Read the issue time out of a payload whose scheme puts it there; aware, UTC. None for other schemes."""
    for application in payload.applications:
        iad = application.transparent_values.get("9F10", b"")
        if (application.adf_name or b"").startswith(_AID_WITH_TIME) and len(iad) == _IAD_BYTES:
            time = contract.korean_time(iad[_TIME_IN_IAD].hex())
            return time.astimezone(UTC) if time else None
    return None
