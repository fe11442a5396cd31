"""A payload explained: every object with its place, its bytes, its name and what it says, and the rules it breaks.

`explain` makes a tree for people and programs. What may not be shown is starred in it already: PANs but for the
first six and last four digits, track 2's discretionary digits, and whatever the dictionary masks as a whole. So a
renderer can't leak them, whether by value, by a template's bytes or in words.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from cpmqr.emv.cpm import TAG_APPLICATION, Payload
from cpmqr.emv.explained import Explained, Explanation, Part
from cpmqr.emv.findings import Finding
from cpmqr.emv.iad import read_iad
from cpmqr.emv.meaning import meaning
from cpmqr.emv.picture import plain
from cpmqr.emv.rules import Examination, examine, validate
from cpmqr.emv.tags import TAGS, name_of
from cpmqr.emv.tlv import DataObject, walk
from cpmqr.emv.track2 import Track2, service_code_meaning
from cpmqr.errors import DecodeError
from cpmqr.model import PAN_DIGITS_MIN, mask_pan

if TYPE_CHECKING:
    from cpmqr.emv.profile import Profile

_SHOWN_HEAD: Final = 6  # PCI DSS 3.4.1: at most the first six and last four digits of a PAN
_SHOWN_TAIL: Final = 4


class _Printable(Explanation, frozen=True):
    """An explanation that `print` draws."""

    def __str__(self) -> str:
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
        return _Printable(examination.valid, "", 0, 0, (), examination.findings)
    source = payload.source
    view = _View(payload, examination.findings, show_pan)
    return _Printable(
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
