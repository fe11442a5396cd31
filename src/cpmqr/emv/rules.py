"""Every rule that a payload can break, told all at once: what, where, how bad, and by which section.

`decode` stops at the first thing that keeps it from reading. This goes on: a wallet's engineer wants to see all that
is wrong with a payload, and a payload that can only be read in part is worth a look as well (`examine`).

An error is what a till, an acquirer or an issuer may refuse; a warning is what they put up with, or should.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from cpmqr.emv import tlv
from cpmqr.emv.conformity import differences
from cpmqr.emv.cpm import (
    ADF_NAME_BYTES_MAX,
    ADF_NAME_BYTES_MIN,
    APPLICATIONS_MAX,
    TAG_APPLICATION,
    TAG_COMMON,
    TAG_FORMAT_INDICATOR,
    VERSION,
    Application,
    Payload,
)
from cpmqr.emv.findings import FINDINGS_MAX, Finding, Level, paths
from cpmqr.emv.tags import FORMATS, TAGS
from cpmqr.emv.text import Source, read_source
from cpmqr.emv.tlv import DataObject
from cpmqr.emv.track2 import PAN_DIGITS_MAX
from cpmqr.errors import DecodeError
from cpmqr.model import luhn_ok

if TYPE_CHECKING:
    from cpmqr.emv.profile import Profile

TEXT_CHARACTERS_EXPECTED: Final = 512  # what a reader must be able to take from a QR
_CENTURY_PIVOT: Final = 80  # years of two digits below it are 20xx (ours; EMV itself turns at 50)


class Examination(msgspec.Struct, frozen=True):
    """A payload as far as it could be read, and what is wrong with it.

    Attributes:
        payload: None where not even bytes could be had from the text.
        findings: errors and warnings, in the order of the bytes.
    """

    payload: Payload | None
    findings: tuple[Finding, ...]

    @property
    def valid(self) -> bool:
        """Tell whether there is no error."""
        return Level.ERROR not in [finding.level for finding in self.findings]


def validate(
    payload: Payload | str | bytes,
    *,
    profile: Profile | None = None,
    today: datetime.date | None = None,
) -> list[Finding]:
    """Give every broken rule.

    Args:
        payload: decoded, built, or as it came: text or bytes, which need not even be readable.
        profile: also say what a scheme's profile does otherwise (warnings).
        today: also say which expiries are past (this room has no clock).

    Returns:
        Findings in the order of the bytes; none means that every rule is obeyed. Raises nothing.
    """
    if not isinstance(payload, Payload):
        return list(examine(payload, profile=profile, today=today).findings)
    found = _Walk(payload, today).findings()
    return _in_order(found, _otherwise(profile, payload)) if found or profile is not None else found


def examine(
    source: str | bytes,
    *,
    lenient: bool = False,
    profile: Profile | None = None,
    today: datetime.date | None = None,
) -> Examination:
    """Read as much as can be read, and say what is wrong. Raises nothing.

    Args:
        source: as for `decode`.
        lenient: what is known from the field and leaves no doubt becomes a warning.
        profile, today: as for `validate`.
    """
    try:
        origin = read_source(source, lenient=lenient)
    except DecodeError as error:
        return Examination(None, (Finding(Level.ERROR, "text", str(error), section=error.section),))
    faults: list[DecodeError]
    if lenient:
        try:
            objects, forgiven = tlv.parse_leniently(origin.binary)
            origin, faults = origin.forgiving(*[str(fault) for fault in forgiven]), []
        except DecodeError:
            objects, faults = tlv.parse_tolerantly(origin.binary)
    else:
        objects, faults = tlv.parse_tolerantly(origin.binary)
    payload = Payload(objects, origin)
    unreadable = [
        Finding(Level.ERROR, "tlv", str(fault), fault.offset, fault.tag, section=fault.section)
        for fault in faults
    ]
    # What was cut short is not worth judging: its one fault has been told.
    cut = {fault.offset for fault in faults}
    lost = {"no-application"} if TAG_APPLICATION in [fault.tag for fault in faults] else set()
    broken = [
        item
        for item in _Walk(payload, today).findings()
        if item.rule not in lost and (item.offset not in cut or item.offset is None)
    ]
    return Examination(payload, tuple(_in_order(unreadable, broken, _otherwise(profile, payload))))


def _in_order(*groups: Iterable[Finding]) -> list[Finding]:
    findings = [finding for group in groups for finding in group]
    findings.sort(key=lambda finding: -1 if finding.offset is None else finding.offset)
    return findings


def _otherwise(profile: Profile | None, payload: Payload) -> list[Finding]:
    return differences(profile, payload) if profile is not None else []


# What `_Walk.values` asks for each object: shortest, longest, a test of the bytes or None.
_LIMITS: Final = {
    tag: (known.length_min, known.length_max, (FORMATS[known.format] or (None,))[0])
    for tag, known in TAGS.items()
}
_ONLY_INSIDE: Final = {"63": "61", "64": "62"}
_WITH_RULES_OF_THEIR_OWN: Final = {*_ONLY_INSIDE, "5F50"}
_FRAME: Final = {TAG_FORMAT_INDICATOR, TAG_APPLICATION, TAG_COMMON}


class _Walk:
    """One walk over a payload; each method notes the findings of one kind."""

    def __init__(self, payload: Payload, today: datetime.date | None) -> None:
        self.payload = payload
        self.today = today
        self.errors_left = FINDINGS_MAX
        self.warnings_left = FINDINGS_MAX
        self.noted: list[tuple[Level, str, str, DataObject | None, str]] = []

    def findings(self) -> list[Finding]:
        objects = self.payload.objects
        self.text(self.payload.source)
        self.frame(objects)
        self.applications(objects)
        self.values(objects, "")
        if not self.noted:
            return []
        where = paths(objects, {id(item) for _, _, _, item, _ in self.noted})
        return [
            Finding(
                level,
                rule,
                text,
                item.offset if item is not None and item.offset >= 0 else None,
                item.tag if item is not None else None,
                where.get(id(item), ""),
                section,
            )
            for level, rule, text, item, section in self.noted
        ]

    def note(self, level: Level, rule: str, text: str, item: DataObject | None, section: str) -> None:
        if level is Level.ERROR:
            self.errors_left -= 1
            left = self.errors_left
        else:
            self.warnings_left -= 1
            left = self.warnings_left
        if left >= 0:
            self.noted.append((level, rule, text, item, section))

    def text(self, source: Source | None) -> None:
        """Judge the text: its length, and what was forgiven."""
        length = source.text_length if source is not None else (len(self.payload.raw) + 2) // 3 * 4
        if length > TEXT_CHARACTERS_EXPECTED:
            text = f"{length} characters of Base64: a reader need only take {TEXT_CHARACTERS_EXPECTED}"
            self.note(Level.WARNING, "text-length", text, None, "CPM 3.2")
        if source is not None:
            for text in source.forgiven:
                self.note(Level.WARNING, "forgiven", text, None, "ours")

    def frame(self, objects: tuple[DataObject, ...]) -> None:
        """Judge the top level: which templates, how many, in which order."""
        tags = [item.tag for item in objects]
        if not tags or tags[0] != TAG_FORMAT_INDICATOR:
            text = "the first object is not 85: a till takes this for no EMV payload"
            self.note(Level.ERROR, "first-object", text, objects[0] if tags else None, "CPM 5.1.2")
        elif objects[0].value != VERSION:
            self.note(Level.ERROR, "version", "85 is not CPV01", objects[0], "CPM 5.1.3")
        if TAG_APPLICATION not in tags:
            self.note(Level.ERROR, "no-application", "no application template (61)", None, "CPM 5.1.3")
        if len(tags) > 2:
            self.count(objects, TAG_APPLICATION, APPLICATIONS_MAX, "too-many-applications")
            self.count(objects, TAG_COMMON, 1, "common-data-twice")
            self.order(objects, tags)
        self.count(objects, TAG_FORMAT_INDICATOR, 1, "format-indicator-twice")

    def count(self, objects: tuple[DataObject, ...], tag: str, most: int, rule: str) -> None:
        same = [item for item in objects if item.tag == tag]
        if len(same) > most:
            text = f"{len(same)} objects {tag}, at most {most}"
            self.note(Level.ERROR, rule, text, same[most], "CPM 3.1")

    def order(self, objects: tuple[DataObject, ...], tags: list[str]) -> None:
        if TAG_COMMON in tags:
            at = tags.index(TAG_COMMON)
            if TAG_APPLICATION in tags[at:]:
                text = "62 stands before a 61"
                self.note(Level.WARNING, "common-data-first", text, objects[at], "CPM 3.1")
            if tags.count(TAG_APPLICATION) == 1:
                text = "62 is for what two applications share, and there is one"
                self.note(Level.WARNING, "common-data-alone", text, objects[at], "CPM 3.1")
        last = max([number for number, tag in enumerate(tags) if tag in _FRAME], default=0)
        for number, tag in enumerate(tags[:last]):
            if tag not in _FRAME:
                text = f"{tag} stands before the last of 85, 61 and 62"
                self.note(Level.WARNING, "order", text, objects[number], "CPM 3.1")

    def values(self, objects: tuple[DataObject, ...], parent: str) -> None:
        """Judge each object by itself: length, format, place."""
        for item in objects:
            tag = item.tag
            limits = _LIMITS.get(tag)
            if limits is None:
                self.unknown(item)
            else:
                shortest, longest, test = limits
                if not shortest <= len(item.value) <= longest or (test is not None and not test(item.value)):
                    self.wrong_value(item)
            if item.odd_header:
                text = "the length takes more bytes than it needs"
                self.note(Level.WARNING, "length-form", text, item, tlv.SECTION)
            if tag in _WITH_RULES_OF_THEIR_OWN:
                self.place_and_url(item, parent)
            if item.children:
                self.values(item.children, tag)

    def unknown(self, item: DataObject) -> None:
        if self.warnings_left > 0:
            text = f"{item.tag} is not in our dictionary; a till keeps it"
            self.note(Level.WARNING, "unknown-tag", text, item, "CPM 5.1.10")

    def wrong_value(self, item: DataObject) -> None:
        if self.errors_left <= 0:
            return
        definition = TAGS[item.tag]
        rule, text = definition.fault(item.value) or ("format", "not what it should be")
        self.note(Level.ERROR, rule, f"{definition.name}: {text}", item, definition.source)

    def place_and_url(self, item: DataObject, parent: str) -> None:
        if item.tag == "5F50":
            if not item.value.startswith((b"tel:", b"mailto:")):
                text = "an issuer URL begins with tel: or mailto:"
                self.note(Level.WARNING, "issuer-url", text, item, "CPM Annex A")
        elif parent != _ONLY_INSIDE[item.tag]:
            text = f"{item.tag} has its place inside {_ONLY_INSIDE[item.tag]} only"
            self.note(Level.ERROR, "place", text, item, "CPM 3.1")

    def applications(self, objects: tuple[DataObject, ...]) -> None:
        """Judge each application together with the common data."""
        common = self.payload.common
        shared = {item.tag: item for item in common.children} if common is not None else {}
        templates = [item for item in objects if item.tag == TAG_APPLICATION]
        usable = 0
        in_both: set[str] = set()
        judged: set[tuple[int, ...]] = set()  # by identity: 62 gives two applications one card
        for template in templates:
            own = {item.tag: item for item in template.children}
            if len(own) < len(template.children):
                self.twice(template)
            name = own.get("4F")
            named = name is not None and ADF_NAME_BYTES_MIN <= len(name.value) <= ADF_NAME_BYTES_MAX
            usable += named
            seen_by_till = {**shared, **own} if shared else own
            cards = [seen_by_till[tag] for tag in ("5A", "57") if tag in seen_by_till]
            same = tuple([id(card) for card in cards])
            if cards and same not in judged:
                judged.add(same)
                self.card(cards, seen_by_till.get("9F25"))
            elif not cards and named:
                text = "neither track 2 (57) nor a PAN (5A): nothing to charge"
                self.note(Level.ERROR, "no-pan", text, template, "CPM Annex A")
            in_both |= shared.keys() & own.keys()
        for tag in in_both:
            text = f"{tag} stands both in a 61 and in 62"
            self.note(Level.ERROR, "in-both", text, shared[tag], "CPM 3.1")
        if usable < len(templates):
            self.skipped(templates, usable)
        if common is not None and len(shared) < len(common.children):
            self.twice(common)

    def skipped(self, templates: list[DataObject], usable: int) -> None:
        if not usable:
            text = "no 61 has an ADF name (4F) of 5 to 16 bytes"
            self.note(Level.ERROR, "no-usable-aid", text, templates[0], "CPM 5.1.4")
            return
        for template in templates:
            if Application(template).adf_name is None:
                text = "a till skips this 61: its ADF name (4F) is missing, or not 5 to 16 bytes"
                self.note(Level.WARNING, "skipped", text, template, "CPM 5.1.4")

    def twice(self, template: DataObject) -> None:
        """Tell which objects repeat in what a till reads; a template that repeats is only odd."""
        seen: set[str] = set()
        for item in template.children:
            if item.tag in seen:
                level = Level.WARNING if item.is_template else Level.ERROR
                text = f"{item.tag} stands twice in this {template.tag}"
                self.note(level, "twice", text, item, "CPM 5.1.10")
            seen.add(item.tag)

    def card(self, cards: Sequence[DataObject], last4: DataObject | None) -> None:
        """Judge what identifies the card, the PAN that a till takes first: Luhn, expiry, last four digits."""
        pans: list[str] = []
        for card in cards:
            is_track2 = card.tag == "57"
            pan, separator, behind = card.value.hex().partition("d" if is_track2 else "f")
            if not (pan.isdigit() and len(pan) <= PAN_DIGITS_MAX and (separator or not is_track2)):
                continue  # `values` has told
            pans.append(pan)
            if pan != pans[0]:
                text = "track 2 has another PAN than 5A, which a till takes"
                self.note(Level.WARNING, "two-pans", text, card, "CPM 6")
            if not luhn_ok(pan) and pans.count(pan) == 1:
                self.note(Level.WARNING, "luhn", "the PAN's check digit is wrong", card, "ISO/IEC 7812-1")
            if self.today is not None and is_track2 and len(behind) >= 4:
                self.expiry(behind[:4], card, self.today)
        if last4 is not None and pans and last4.value.hex() != pans[0][-4:]:
            text = "not the last four digits of this PAN"
            self.note(Level.WARNING, "last4", text, last4, "CPM Annex A")

    def expiry(self, expiry: str, item: DataObject, today: datetime.date) -> None:
        if not expiry.isdigit():
            return  # `values` has told
        year, month = int(expiry[:2]), int(expiry[2:])
        year += 2000 if year < _CENTURY_PIVOT else 1900
        section = "EMV Book 3 A1 (57)"
        if not 1 <= month <= 12:
            self.note(Level.WARNING, "expiry", "the expiry has no such month", item, section)
        elif (year, month) < (today.year, today.month):
            self.note(Level.WARNING, "expired", "the expiry is past", item, section)
