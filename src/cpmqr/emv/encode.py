"""From a payload to the bytes of a QR, with every rule obeyed."""

from __future__ import annotations

from typing import Final

from cpmqr.emv.cpm import Payload
from cpmqr.emv.findings import Level
from cpmqr.emv.rules import validate
from cpmqr.errors import EncodeError

# A till puts up with these, so they are warnings; who writes a payload keeps to the rules themselves.
_NOT_WRITTEN: Final = {"common-data-first", "common-data-alone", "order", "skipped", "issuer-url"}


def encode(payload: Payload) -> bytes:
    """Write a payload.

    One that was decoded and not changed gives back its own bytes, faults included: it is the same payload. One that
    was built or changed must obey every rule of CPM 3 and Annex A, also those that a till overlooks.

    Returns:
        The binary; its Base64 text is what the QR holds.

    Raises:
        EncodeError: a rule is broken (the first that was found; errors before what a till overlooks); with tag and
            section.
    """
    if not isinstance(payload, Payload):
        raise EncodeError("encode takes a Payload, such as decode gives")
    if not _as_decoded(payload):
        findings = validate(payload)
        errors = [finding for finding in findings if finding.level is Level.ERROR]
        for finding in errors or [finding for finding in findings if finding.rule in _NOT_WRITTEN]:
            raise EncodeError(finding.text, tag=finding.tag, section=finding.section)
    return payload.raw


def _as_decoded(payload: Payload) -> bool:
    """Tell whether the objects are those of the source, all and in place."""
    return payload.source is not None and payload.source.binary == payload.raw
