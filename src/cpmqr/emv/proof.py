"""A payload's cryptograms, checked as its issuer would check them."""

from __future__ import annotations

import hmac
from typing import Final

from cpmqr.crypto.blocks import EncryptBlocks
from cpmqr.emv.compiled import CompiledProfile
from cpmqr.emv.cpm import Application, Payload
from cpmqr.emv.findings import Finding, Level
from cpmqr.errors import EncodeError

_RULE: Final = "cryptogram"
_SECTION: Final = "EMV Book 2 8.1"


def check_cryptograms(profile: CompiledProfile, encrypt: EncryptBlocks, payload: Payload) -> list[Finding]:
    """Give a finding for each application whose cryptogram (9F26) is not the one that the key gives.

    Args:
        profile: says what the cryptogram covers and how keys are derived.
        encrypt: ECB under the issuer master key, as `CompiledProfile.issue` takes it.
        payload: whose applications to check.

    Returns:
        Errors; none means that every application's cryptogram is right. Raises nothing.
    """
    found = [_check(profile, encrypt, application) for application in payload.applications]
    return [finding for finding in found if finding is not None]


def _check(profile: CompiledProfile, encrypt: EncryptBlocks, application: Application) -> Finding | None:
    values = application.transparent_values
    received, pan = values.get("9F26"), application.pan
    if received is None or pan is None:
        return _finding("there is no cryptogram (9F26), or no PAN to check it with", application)
    try:
        expected = profile.cryptogram_over(encrypt, pan, application.psn or "00", values)
    except EncodeError as error:
        return _finding(f"the cryptogram can't be checked: {error}", application)
    if hmac.compare_digest(expected, received):
        return None
    text = "the cryptogram is not the one that this key gives: another key, or changed data"
    return _finding(text, application)


def _finding(text: str, application: Application) -> Finding:
    """Place a finding at the cryptogram, or at the application where it has none."""
    item = application.template
    for part in (application.template.first("63"), application.common and application.common.first("64")):
        item = (part.first("9F26") if part else None) or item
    return Finding(
        Level.ERROR, _RULE, text, item.offset if item.offset >= 0 else None, item.tag, "", _SECTION
    )
