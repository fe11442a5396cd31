"""What an explanation is made of: objects as they may be shown, and the rules that they break.

`explain` (explain.py) makes it, stars and all; `picture` draws it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from cpmqr.emv.findings import Finding, Level


class Part(msgspec.Struct, frozen=True):
    """A part of a value that is made of several: name, value as shown, and in words."""

    name: str
    value: str
    meaning: str = ""


class Explained(msgspec.Struct, frozen=True):
    """One data object as it may be shown.

    Attributes:
        tag: upper-case hex. name: of the tag.
        offset: of the tag's first byte. length: of the value, bytes.
        header: tag and length bytes, upper-case hex. value: upper-case hex, starred where it is masked.
        meaning: in words, or "".
        parts: what the value is made of, or ().
        children: a template's objects.
        findings: the rules that this object breaks.
    """

    tag: str
    name: str
    offset: int
    length: int
    header: str
    value: str
    meaning: str
    parts: tuple[Part, ...]
    children: tuple[Explained, ...]
    findings: tuple[Finding, ...]


class Explanation(msgspec.Struct, frozen=True):
    """A whole payload as it may be shown.

    Attributes:
        valid: no error was found.
        encoding: "base64", "base64url", "hex", "binary"; "" where the text could not be read.
        length: bytes.
        text_length: characters of Base64 in the QR.
        objects: as far as they could be read.
        findings: all of them, in the order of the bytes.
    """

    valid: bool
    encoding: str
    length: int
    text_length: int
    objects: tuple[Explained, ...]
    findings: tuple[Finding, ...]

    @property
    def unplaced(self) -> tuple[Finding, ...]:
        """Give the findings that belong to no object that could be read."""
        placed = [finding for item in _all(self.objects) for finding in item.findings]
        return tuple([finding for finding in self.findings if finding not in placed])

    def count(self, level: Level) -> int:
        """Count the findings of a level."""
        return [finding.level for finding in self.findings].count(level)

    def to_dict(self) -> dict[str, Any]:
        """Give what `cpmqr decode --json` prints. Source: contract §9 (ours)."""
        return {
            "valid": self.valid,
            "encoding": self.encoding or None,
            "length": self.length,
            "payload": [_object_dict(item) for item in self.objects],
            "findings": [
                {
                    "level": str(finding.level),
                    "offset": finding.offset,
                    "tag": finding.tag,
                    "rule": finding.rule,
                    "text": finding_text(finding),
                }
                for finding in self.findings
            ],
        }


def finding_text(finding: Finding) -> str:
    """Give a finding as a sentence with its path and section."""
    where = f"{finding.path}: " if finding.path else ""
    return f"{where}{finding.text}{f' [{finding.section}]' if finding.section else ''}"


def _all(objects: Sequence[Explained]) -> Iterator[Explained]:
    for item in objects:
        yield item
        yield from _all(item.children)


def _object_dict(item: Explained) -> dict[str, Any]:
    told: dict[str, Any] = {
        "tag": item.tag,
        "name": item.name,
        "offset": item.offset,
        "length": item.length,
        "value": item.value,
    }
    if item.children:
        told["children"] = [_object_dict(child) for child in item.children]
    words = item.meaning or "; ".join([_part_words(part) for part in item.parts])
    if words:
        told["meaning"] = words
    return told


def _part_words(part: Part) -> str:
    return f"{part.name} {part.value}{f' ({part.meaning})' if part.meaning else ''}"
