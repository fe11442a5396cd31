"""The tag dictionary: what each data object is called, how long it may be, of what it is made, who says so.

The dictionary itself is `tags.csv`, a line for each tag. Length ranges are those of the cited book; where a tag is a
scheme's own, its length is left open. Unknown tags are no fault: schemes add theirs, and a till keeps them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from importlib import resources
from types import MappingProxyType
from typing import Final

import msgspec

from cpmqr.emv.track2 import PAN_DIGITS_MAX, is_track2

_PRINTABLE: Final = bytes(range(0x20, 0x7F))
_PAN: Final = re.compile(rf"[0-9]{{1,{PAN_DIGITS_MAX}}}f*").fullmatch
_UPPER_AND_DIGITS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class TagDefinition(msgspec.Struct, frozen=True):
    """A line of the dictionary.

    Attributes:
        tag: upper-case hex.
        name: as the book spells it.
        format: "b", "n" (packed digits), "cn" (digits, F behind them), "an", "ans", or a narrower one of ours.
        length_min, length_max: bytes.
        mask: "pan", "track2" or "all" where the value is not to be shown in full; else "".
        decoder: how `meaning.py` reads it for people; "" where the bytes say it all.
        source: book and section.
    """

    tag: str
    name: str
    format: str
    length_min: int
    length_max: int
    mask: str
    decoder: str
    source: str

    def fault(self, value: bytes) -> tuple[str, str] | None:
        """Say what is wrong with a value: ("length" or "format", a sentence without the value); None if nothing."""
        if not self.length_min <= len(value) <= self.length_max:
            return "length", f"{len(value)} bytes, not {self._lengths()}"
        check = FORMATS[self.format]
        if check is None or check[0](value):
            return None
        return "format", check[1]

    def _lengths(self) -> str:
        if self.length_min == self.length_max:
            return str(self.length_min)
        return f"{self.length_min} to {self.length_max}"


FORMATS: Final[Mapping[str, tuple[Callable[[bytes], bool], str] | None]] = {
    "b": None,
    "n": (lambda value: value.hex().isdigit(), "not packed decimal digits"),
    "cn": (lambda value: value.hex().rstrip("f").isdigit(), "not decimal digits with F behind them"),
    "pan": (
        lambda value: _PAN(value.hex()) is not None,
        f"not a PAN of 1 to {PAN_DIGITS_MAX} digits with F behind it",
    ),
    "an": (bytes.isalnum, "not letters and digits"),
    "an-upper": (
        lambda value: not value.translate(None, _UPPER_AND_DIGITS),
        "not upper-case letters and digits",
    ),
    "ans": (lambda value: not value.translate(None, _PRINTABLE), "not printable ASCII"),
    "ans-space": (lambda value: value.replace(b" ", b"0").isalnum(), "not letters, digits and spaces"),
    "languages": (
        lambda value: value.isalpha() and len(value) % 2 == 0,
        "not pairs of letters, each an ISO 639-1 code",
    ),
    "track2": (is_track2, "not PAN, D, expiry, service code, discretionary digits, F to whole bytes"),
}
"""By name: a test of the bytes (None: any will do), and the words for its failure."""


def _load() -> Mapping[str, TagDefinition]:
    text = resources.files("cpmqr.emv").joinpath("tags.csv").read_text("utf-8")
    rows = csv.DictReader(text.splitlines())
    return MappingProxyType(
        {
            row["tag"]: TagDefinition(
                row["tag"],
                row["name"],
                row["format"],
                int(row["min"]),
                int(row["max"]),
                row["mask"],
                row["decoder"],
                row["source"],
            )
            for row in rows
        }
    )


TAGS: Final[Mapping[str, TagDefinition]] = _load()
"""All known tags, by their upper-case hex."""


def name_of(tag: str) -> str:
    """Give a tag's name; an unknown one's class says at least whose it is."""
    definition = TAGS.get(tag)
    if definition is not None:
        return definition.name
    private = int(tag[:2], 16) & 0xC0 == 0xC0 if tag else False
    return "Private to its issuer" if private else "Unknown"
