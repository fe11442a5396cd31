"""From a payload to the bytes of a QR, with every rule obeyed."""

from __future__ import annotations

from cpmqr.emv.cpm import Payload
from cpmqr.emv.findings import Level
from cpmqr.emv.rules import validate
from cpmqr.errors import EncodeError


def encode(payload: Payload) -> bytes:
    """Write a payload.

    One that was decoded and not changed gives back its own bytes, faults included: it is the same payload. One that
    was built or changed must obey every rule.

    Returns:
        The binary; its Base64 text is what the QR holds.

    Raises:
        EncodeError: a rule is broken (the first that was found); with tag and section.
    """
    if not _as_decoded(payload):
        for finding in validate(payload):
            if finding.level is Level.ERROR:
                raise EncodeError(finding.text, tag=finding.tag, section=finding.section)
    return payload.raw


def _as_decoded(payload: Payload) -> bool:
    """Tell whether the objects are those of the source, all and in place."""
    return payload.source is not None and payload.source.binary == payload.raw
