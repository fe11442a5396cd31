"""A payload for the till's pane: the explanation of `emv/explain.py`, and its bytes one by one."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from cpmqr.emv.explain import explain
from cpmqr.emv.explained import Explained, finding_text

UNKNOWN_BYTE: Final = "??"


def explained_payload(text: str, today: datetime.date, *, show_pan: bool) -> dict[str, Any]:
    """Explain a payload as `cpmqr decode` does, with the same words.

    Returns:
        valid, encoding, length, text_length; objects as a tree; findings; octets, two hex digits each, starred where
        the explanation is, and `??` where the bytes belong to no object and so nobody knows whether they may be shown.
    """
    explanation = explain(text, show_pan=show_pan, today=today)
    octets = [UNKNOWN_BYTE] * explanation.length
    _fill(octets, explanation.objects)
    return {
        "valid": explanation.valid,
        "encoding": explanation.encoding,
        "length": explanation.length,
        "text_length": explanation.text_length,
        "objects": msgspec.to_builtins(explanation.objects),
        "findings": [
            {"level": str(finding.level), "offset": finding.offset, "text": finding_text(finding)}
            for finding in explanation.findings
        ],
        "octets": octets,
    }


def _fill(octets: list[str], objects: Sequence[Explained]) -> None:
    for item in objects:
        digits = item.header + item.value  # a template's value has its children's stars already
        octets[item.offset : item.offset + len(digits) // 2] = [
            digits[at : at + 2] for at in range(0, len(digits), 2)
        ]
