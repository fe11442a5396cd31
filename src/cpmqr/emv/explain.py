"""A payload explained: every object with its place, its bytes, its name and what it says, and the rules it breaks.

`explain` makes a tree for people and programs. What may not be shown is starred in it already: PANs but for the
first six and last four digits, track 2's discretionary digits, and whatever the dictionary masks as a whole. So a
renderer can't leak them, whether by value, by a template's bytes or in words.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from cpmqr.emv.cpm import TAG_APPLICATION, Payload
from cpmqr.emv.iad import read_iad
from cpmqr.emv.meaning import meaning
from cpmqr.emv.rules import Examination, Finding, Level, examine, validate
from cpmqr.emv.tags import TAGS, name_of
from cpmqr.emv.tlv import DataObject, walk
from cpmqr.emv.track2 import Track2, service_code_meaning
from cpmqr.errors import DecodeError
from cpmqr.model import PAN_DIGITS_MIN, mask_pan

if TYPE_CHECKING:
    from cpmqr.emv.profile import Profile

_SHOWN_HEAD: Final = 6  # PCI DSS 3.4.1: at most the first six and last four digits of a PAN
_SHOWN_TAIL: Final = 4


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

    def __str__(self) -> str:
        from cpmqr.emv.picture import plain

        return plain(self)


def explain(
    payload: Payload | str | bytes,
    *,
    show_pan: bool = False,
    lenient: bool = False,
    profile: Profile | None = None,
    today: datetime.date | None = None,
    more: Callable[[Payload], list[Finding]] | None = None,
) -> Explanation:
    """Explain a payload, right or wrong. Raises nothing.

    Args:
        payload: as for `validate`.
        show_pan: show PAN and track 2 in full.
        lenient: as for `examine`.
        profile: also tell what a scheme's profile does otherwise.
        today: also tell which expiries are past.
        more: gives further findings on the payload, such as `check_cryptograms` does.
    """
    if isinstance(payload, Payload) and (payload.source is None or payload.source.binary != payload.raw):
        payload = payload.raw  # built or changed: its objects have no places yet
    if isinstance(payload, Payload):
        examined = Examination(payload, tuple(validate(payload, profile=profile, today=today)))
    else:
        examined = examine(payload, lenient=lenient, profile=profile, today=today)
    if more is not None and examined.payload is not None:
        examined = Examination(examined.payload, (*examined.findings, *more(examined.payload)))
    return _explanation(examined, show_pan)


def finding_text(finding: Finding) -> str:
    """Give a finding as a sentence with its path and section."""
    where = f"{finding.path}: " if finding.path else ""
    return f"{where}{finding.text}{f' [{finding.section}]' if finding.section else ''}"


def shown_hex(item: DataObject) -> str:
    """Give an object's value in hex as it may be shown: PAN, track 2 and the like starred, inside templates too."""
    digits = list(item.value.hex().upper())
    for inner, at in _places(item, 0):
        for start, end in _masked_digits(inner):
            digits[2 * at + start : 2 * at + end] = "*" * (end - start)
    return "".join(digits)


def _places(item: DataObject, at: int) -> Iterator[tuple[DataObject, int]]:
    """Give an object and all inside it, with the offsets of their values from the first one's."""
    yield item, at
    for child in item.children:
        at += len(child.header)
        yield from _places(child, at)
        at += len(child.value)


def _explanation(examination: Examination, show_pan: bool) -> Explanation:
    payload = examination.payload
    if payload is None or payload.source is None:
        return Explanation(examination.valid, "", 0, 0, (), examination.findings)
    source = payload.source
    view = _View(payload, examination.findings, show_pan)
    return Explanation(
        examination.valid,
        source.encoding,
        len(source.binary),
        source.text_length,
        view.explained(payload.objects, None),
        examination.findings,
    )


class _View:
    """Makes the tree; holds the payload's hex with stars in it, so that every slice of it is masked alike."""

    def __init__(self, payload: Payload, findings: Sequence[Finding], show_pan: bool) -> None:
        self.show_pan = show_pan
        self.digits = list(payload.source.binary.hex().upper() if payload.source else "")
        self.by_place: dict[tuple[int | None, str | None], list[Finding]] = {}
        for finding in findings:
            self.by_place.setdefault((finding.offset, finding.tag), []).append(finding)
        if not show_pan:
            for item in walk(payload.objects):
                for start, end in _masked_digits(item):
                    at = 2 * item.value_offset
                    self.digits[at + start : at + end] = "*" * (end - start)

    def explained(self, objects: Sequence[DataObject], aid: str | None) -> tuple[Explained, ...]:
        return tuple([self.one(item, aid) for item in objects])

    def one(self, item: DataObject, aid: str | None) -> Explained:
        if item.tag == TAG_APPLICATION:
            named = item.first("4F")
            aid = named.value.hex().upper() if named is not None else None
        start = item.value_offset
        return Explained(
            item.tag,
            name_of(item.tag),
            item.offset,
            len(item.value),
            "".join(self.digits[2 * item.offset : 2 * start]),
            "".join(self.digits[2 * start : 2 * (start + len(item.value))]),
            self.words(item),
            self.parts(item, aid),
            self.explained(item.children, aid),
            tuple(self.by_place.get((item.offset, item.tag), ())),
        )

    def words(self, item: DataObject) -> str:
        definition = TAGS.get(item.tag)
        if definition is not None and definition.decoder == "pan" and self.show_pan:
            return f"{item.value.hex().rstrip('f')}"
        return meaning(item.tag, item.value)

    def parts(self, item: DataObject, aid: str | None) -> tuple[Part, ...]:
        if item.tag == "57":
            return self.track2_parts(item.value)
        if item.tag == "9F10":
            return _iad_parts(item.value, aid)
        return ()

    def track2_parts(self, value: bytes) -> tuple[Part, ...]:
        try:
            track2 = Track2.from_bytes(value)
        except DecodeError:
            return ()
        pan = track2.pan if self.show_pan else mask_pan(track2.pan)
        rest = track2.discretionary if self.show_pan else "*" * len(track2.discretionary)
        return (
            Part("PAN", pan, f"{len(track2.pan)} digits"),
            Part("expiry", track2.expiry, f"20{track2.expiry[:2]}-{track2.expiry[2:]}"),
            Part("service code", track2.service_code, service_code_meaning(track2.service_code)),
            Part("discretionary", rest or "none", "the issuer's own" if rest else ""),
        )


def _iad_parts(value: bytes, aid: str | None) -> tuple[Part, ...]:
    read = read_iad(value, aid)
    if not read.fields:
        return ()
    parts = [Part("layout", read.layout)]
    for field in read.fields:
        words = "; ".join([word for word in (field.meaning, "inferred" if field.inferred else "") if word])
        parts.append(Part(field.name, field.value.hex().upper(), words))
    return tuple(parts)


def _masked_digits(item: DataObject) -> Iterator[tuple[int, int]]:
    """Give the ranges of a value's hex digits that may not be shown."""
    definition = TAGS.get(item.tag)
    if definition is None or not definition.mask:
        return
    digits = item.value.hex()
    pan, separator, behind = (
        digits.partition("d") if definition.mask == "track2" else (digits.rstrip("f"), "", "")
    )
    readable = (
        pan.isdigit() and len(pan) >= PAN_DIGITS_MIN and bool(separator) == (definition.mask == "track2")
    )
    if definition.mask == "all" or not readable:
        yield 0, len(digits)
        return
    yield _SHOWN_HEAD, len(pan) - _SHOWN_TAIL
    if separator:
        discretionary = len(pan) + 1 + 7  # D, expiry, service code
        yield min(discretionary, len(digits)), len(digits) - behind.endswith("f")


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
