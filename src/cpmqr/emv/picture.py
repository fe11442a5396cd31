"""The picture of a payload: bytes on the left with their offsets, the tree and what it says on the right.

`rows` lays it out once for all: `plain` joins them for a pipe or a log, the command colours them for a terminal.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import zip_longest
from typing import Final

import msgspec

from cpmqr.emv.explain import Explained, Explanation, finding_text
from cpmqr.emv.rules import Finding, Level

WIDTH: Final = 120
BYTES_A_LINE: Final = 8
_TEXT_WIDTH_MIN: Final = 24
_HEADER_WIDTH: Final = 9  # "9F10 81 93" is rare; two tag bytes and one of length are the rule
_OCTETS_WIDTH: Final = 3 * BYTES_A_LINE - 1


class Row(msgspec.Struct, frozen=True):
    """A line of the picture, in columns.

    Attributes:
        offset: four digits, or "".
        header: tag and length bytes. octets: up to eight bytes of the value.
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

    @property
    def left(self) -> str:
        """Give the columns before the tree, padded."""
        return f"{self.offset:>5}  {self.header:<{_HEADER_WIDTH}} {self.octets:<{_OCTETS_WIDTH}}  "


def rows(explanation: Explanation, width: int = WIDTH) -> Iterator[Row]:
    """Lay out a payload's objects; texts are broken to `width` columns."""
    left = len(Row("", "", "", "", "", "", "").left)
    for item in explanation.objects:
        yield from _object_rows(item, "", "", max(width - left, _TEXT_WIDTH_MIN))


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
    lines += [
        f"{row.left}{row.guide}{row.tag}{row.text}{row.aside}".rstrip() for row in rows(explanation, width)
    ]
    if explanation.unplaced:
        lines += [""] * bool(explanation.objects)
        lines += [f"{mark(finding)} {finding_text(finding)}" for finding in explanation.unplaced]
    return "\n".join(lines)


def mark(finding: Finding) -> str:
    """Give the sign that stands before a finding."""
    return "✗" if finding.level is Level.ERROR else "!"


def _object_rows(item: Explained, guide: str, branch: str, width: int) -> Iterator[Row]:
    """Give an object's rows, then its children's."""
    inner = guide + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
    below = inner + ("│  " if item.children else "   ")
    size = f", {_number(item.length, 'byte')}" if item.children or not item.length else ""
    name = f"  {item.name}{size}"
    aside = f": {item.meaning}" if item.meaning else ""
    if len(guide + branch + item.tag + name + aside) > width:
        aside = ""
    texts = _texts(item, width - len(below), meaning_told=bool(aside))
    octets = [] if item.children else _octet_lines(item.value)
    headers = textwrap.wrap(_spaced(item.header), _HEADER_WIDTH)
    first = octets[0] if octets else ""
    yield Row(str(item.offset), headers[0], first, guide + branch, item.tag, name, "name", aside)
    for header, octet, said in zip_longest(headers[1:], octets[1:], texts):
        text, kind = said or ("", "")
        yield Row("", header or "", octet or "", below, "", text, kind)
    final = len(item.children) - 1
    for number, child in enumerate(item.children):
        step = "└─ " if number == final else "├─ "
        yield from _object_rows(child, inner, step, width)


def _texts(item: Explained, width: int, *, meaning_told: bool) -> Iterator[tuple[str, str]]:
    """Give what stands below an object's name, each line with its kind."""
    width = max(width, _TEXT_WIDTH_MIN)
    if item.meaning and not meaning_told:
        yield from [(line, "meaning") for line in textwrap.wrap(item.meaning, width)]
    column = max([len(part.name) for part in item.parts], default=0)
    for part in item.parts:
        line = f"{part.name:<{column}}  {part.value}{f'  {part.meaning}' if part.meaning else ''}"
        yield from [
            (text, "part") for text in textwrap.wrap(line, width, subsequent_indent=" " * (column + 2))
        ]
    for finding in item.findings:
        text = f"{mark(finding)} {finding.text} [{finding.section}]"
        yield from [(line, str(finding.level)) for line in textwrap.wrap(text, width, subsequent_indent="  ")]


def _octet_lines(value: str) -> list[str]:
    step = 2 * BYTES_A_LINE
    return [_spaced(value[at : at + step]) for at in range(0, len(value), step)]


def _spaced(digits: str) -> str:
    return " ".join([digits[at : at + 2] for at in range(0, len(digits), 2)])


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
