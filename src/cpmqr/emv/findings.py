"""What a judge of payloads says: a broken rule, its place, and how bad it is."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from cpmqr.emv.tlv import DataObject

FINDINGS_MAX: Final = (
    200  # of each level: a payload of 4 KiB can break thousands of rules; nobody reads them all
)


class Level(enum.StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    WARNING = "warning"


class Finding(msgspec.Struct, frozen=True):
    """One broken rule.

    Attributes:
        level: error or warning.
        rule: its stable name, such as "no-pan".
        text: a sentence, without values.
        offset: of the object's first byte in the binary; None where no place can be named.
        tag: upper-case hex, or None.
        path: from the top, such as "61/63/9F26"; "" where it is the payload as a whole.
        section: of EMVCo's CPM specification ("CPM …") or of an EMV book.
    """

    level: Level
    rule: str
    text: str
    offset: int | None = None
    tag: str | None = None
    path: str = ""
    section: str = ""


def paths(objects: Sequence[DataObject], wanted: Collection[int], prefix: str = "") -> dict[int, str]:
    """Give the paths of some objects, such as "61/63/9F26"; "61[2]/4F" where a tag repeats among its siblings.

    `wanted` and the answer know objects by their `id`.
    """
    told: dict[int, str] = {}
    often = Counter([item.tag for item in objects])
    seen: dict[str, int] = {}
    for item in objects:
        seen[item.tag] = seen.get(item.tag, 0) + 1
        if item.children or id(item) in wanted:
            number = f"[{seen[item.tag]}]" if often[item.tag] > 1 else ""
            path = told[id(item)] = f"{prefix}{item.tag}{number}"
            told |= paths(item.children, wanted, f"{path}/") if item.children else {}
    return told
