"""The picture of a payload: bytes on the left with their offsets, the tree and what it says on the right.

`rows` lays it out once for all: `plain` joins them for a pipe or a log, the command colours them for a terminal.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import zip_longest
from typing import Final

import msgspec

from cpmqr.emv.explained import Explained, Explanation, finding_text
from cpmqr.emv.findings import Finding, Level

WIDTH: Final = 120
BYTES_A_LINE: Final = 8
BYTES_A_NARROW_LINE: Final = 4
NARROW: Final = 104  # below it half the bytes stand in a line, so that the words have room
_TEXT_WIDTH_MIN: Final = 24
_OFFSET_WIDTH: Final = 7
_HEADER_WIDTH: Final = 10  # two tag bytes and one of length are the rule; more go to a second line


class Row(msgspec.Struct, frozen=True):
    """A line of the picture, in columns.

    Attributes:
        offset: of the object, or "".
        header: tag and length bytes, padded. octets: some bytes of the value, padded.
        guide: the tree's lines. tag: where the row names an object. text: the rest.
        aside: what the value means, where it fits behind the name.
        kind: "name", "meaning", "part", "error" or "warning"; decides a colour.
    """

    offset: str
    header: str
    octets: str
    guide: str
    tag: str
    text: str
    kind: str
    aside: str = ""

    def __str__(self) -> str:
        return (
            f"{self.offset}{self.header}{self.octets}{self.guide}{self.tag}{self.text}{self.aside}".rstrip()
        )


def rows(explanation: Explanation, width: int = WIDTH) -> Iterator[Row]:
    """Lay out a payload's objects; lines are broken to `width` columns, 80 or more."""
    sheet = _Sheet(width)
    for item in explanation.objects:
        yield from sheet.object_rows(item, "", "")


def heading(explanation: Explanation) -> str:
    """Give the first line: what it is, how long, whether it is valid."""
    if not explanation.encoding:
        return "No payload: the text could not be read"
    errors, warnings = explanation.count(Level.ERROR), explanation.count(Level.WARNING)
    told = [_number(errors, "error")] * bool(errors) + [_number(warnings, "warning")] * bool(warnings)
    verdict = ("valid" if explanation.valid else "NOT VALID") + (f": {', '.join(told)}" if told else "")
    return (
        f"EMV CPM payload, {explanation.length} bytes"
        f" ({explanation.text_length} characters of Base64, read from {explanation.encoding}): {verdict}"
    )


def plain(explanation: Explanation, width: int = WIDTH) -> str:
    """Draw a payload in plain text."""
    lines = [heading(explanation), ""]
    lines += [str(row) for row in rows(explanation, width)]
    if explanation.unplaced:
        lines += [""] * bool(explanation.objects)
        lines += [f"{mark(finding)} {finding_text(finding)}" for finding in explanation.unplaced]
    return "\n".join(lines)


def mark(finding: Finding) -> str:
    """Give the sign that stands before a finding."""
    return "✗" if finding.level is Level.ERROR else "!"


class _Sheet:
    """The paper: how wide it is, and how many bytes stand in a line of it."""

    def __init__(self, width: int) -> None:
        self.bytes_a_line = BYTES_A_LINE if width >= NARROW else BYTES_A_NARROW_LINE
        left = _OFFSET_WIDTH + _HEADER_WIDTH + 3 * self.bytes_a_line + 1
        self.width = max(width - left, _TEXT_WIDTH_MIN)

    def row(
        self, columns: tuple[str, str, str], guide: str, tag: str, text: str, kind: str, aside: str = ""
    ) -> Row:
        offset, header, octets = columns
        return Row(
            f"{offset:>5}".ljust(_OFFSET_WIDTH),
            header.ljust(_HEADER_WIDTH),
            octets.ljust(3 * self.bytes_a_line + 1),
            guide,
            tag,
            text,
            kind,
            aside,
        )

    def object_rows(self, item: Explained, guide: str, branch: str) -> Iterator[Row]:
        """Give an object's rows, then its children's."""
        inner = guide + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
        below = inner + ("│  " if item.children else "   ")
        size = f", {_number(item.length, 'byte')}" if item.children or not item.length else ""
        room = max(self.width - len(guide + branch + item.tag) - 2, _TEXT_WIDTH_MIN)
        names = textwrap.wrap(item.name + size, room)
        aside = f": {item.meaning}" if item.meaning else ""
        if len(names) > 1 or len(names[0] + aside) > room:
            aside = ""
        texts = [(name, "name") for name in names[1:]]
        texts += _texts(item, max(self.width - len(below), _TEXT_WIDTH_MIN), meaning_told=bool(aside))
        octets = [] if item.children else self.octet_lines(item.value)
        headers = textwrap.wrap(_spaced(item.header), _HEADER_WIDTH - 1)
        columns = (str(item.offset), headers[0], octets[0] if octets else "")
        yield self.row(columns, guide + branch, item.tag, f"  {names[0]}", "name", aside)
        for header, octet, said in zip_longest(headers[1:], octets[1:], texts, fillvalue=None):
            text, kind = said or ("", "")
            yield self.row(("", header or "", octet or ""), below, "", text, kind)
        final = len(item.children) - 1
        for number, child in enumerate(item.children):
            yield from self.object_rows(child, inner, "└─ " if number == final else "├─ ")

    def octet_lines(self, value: str) -> list[str]:
        step = 2 * self.bytes_a_line
        return [_spaced(value[at : at + step]) for at in range(0, len(value), step)]


def _texts(item: Explained, width: int, *, meaning_told: bool) -> Iterator[tuple[str, str]]:
    """Give what stands below an object's name, each line with its kind."""
    if item.meaning and not meaning_told:
        yield from [(line, "meaning") for line in textwrap.wrap(item.meaning, width)]
    column = max([len(part.name) for part in item.parts], default=0)
    for part in item.parts:
        line = f"{part.name:<{column}}  {part.value}{f'  {part.meaning}' if part.meaning else ''}"
        indent = " " * min(column + 2, width // 2)
        yield from [(text, "part") for text in textwrap.wrap(line, width, subsequent_indent=indent)]
    for finding in item.findings:
        text = f"{mark(finding)} {finding.text} [{finding.section}]"
        yield from [(line, str(finding.level)) for line in textwrap.wrap(text, width, subsequent_indent="  ")]


def _spaced(digits: str) -> str:
    return " ".join([digits[at : at + 2] for at in range(0, len(digits), 2)])


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
