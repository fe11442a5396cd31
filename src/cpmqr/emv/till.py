"""What a till does with a scanned text: is it a payload, is one of its applications ours, what goes to the acquirer.

    till = Till(["A000000333010101", "A000000333010102"])
    result = till.read(text)
    if result.outcome is Outcome.ACCEPTED:
        receipt = result.receipt
        de55 = result.de55({"9F02": amount, "9A": date, …})

A till neither judges values nor looks into the transparent data: it finds an application that it supports, splits
what is meant for it (POI data) from what is meant for the issuer, and hands both on. The amount is not in a QR: the
till asks for it, and the cryptogram was made without it.

Source: CPM 5 and 6.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from cpmqr.emv import tlv
from cpmqr.emv.cpm import (
    ADF_NAME_BYTES_MAX,
    ADF_NAME_BYTES_MIN,
    TAG_APPLICATION,
    TAG_COMMON,
    TAG_FORMAT_INDICATOR,
    TAG_TRANSPARENT,
    VERSION,
)
from cpmqr.emv.text import BASE64_START, read_source
from cpmqr.emv.tlv import DataObject
from cpmqr.emv.track2 import Track2
from cpmqr.errors import ConfigError, DecodeError, EncodeError
from cpmqr.model import mask_pan

AIDS_MAX: Final = 256  # a till supports a handful
DE55_BYTES_MAX: Final = 255  # ISO 8583: LLLVAR, up to 255 bytes
VERSION_NUMBER_DEFAULT: Final = b"\x00\x10"  # 9F08 absent means 0010. Source: CPM 5
# What of the POI data an issuer needs beside the transparent data; the AID goes under 84, as from a card.
_DE55_OWN: Final = ("5F34", "9F08", "9F19", "9F24")


class Outcome(enum.StrEnum):
    """How a scan ends, in the order in which a till finds out."""

    NOT_EMV = "not-emv"
    """No EMV QR at all: another kind of code, perhaps; the till may try its other readers. Source: CPM 5.1.2."""
    ERROR = "error"
    """An EMV QR that can't be used: ask for another. Source: CPM 5.1.3, 5.1.10."""
    NOT_SUPPORTED = "not-supported"
    """A good QR of schemes that this till does not take. Source: CPM 5.1.6."""
    ACCEPTED = "accepted"
    """One application was chosen."""


class Receipt(msgspec.Struct, frozen=True):
    """What a receipt may say.

    Attributes:
        label: the application's name for people (50), or "".
        aid: upper-case hex.
        last4: the PAN's last four digits, from 9F25 where it is there; else of the PAN itself.
        pan_masked: first six and last four digits.
    """

    label: str
    aid: str
    last4: str
    pan_masked: str


class TillResult(msgspec.Struct, frozen=True):
    """What came of a scan.

    Attributes:
        outcome: see `Outcome`; the rest is empty unless it is ACCEPTED.
        reason: why, in words; "" for ACCEPTED.
        section: of the rule that decided.
        aid: the ADF name of the chosen application, upper-case hex.
        supported_aid: the till's own AID that it matched.
        pan: in clear: the till sends it to the acquirer.
        poi: the data meant for the till: the chosen 61 and 62 without 63 and 64, unknown objects included.
        transparent: the bytes in 63 and 64, one after the other.
        version_number: 9F08, or its default; with the AID it chooses the mapping to the authorisation message.
        receipt: what may be printed.
    """

    outcome: Outcome
    reason: str = ""
    section: str = ""
    aid: str = ""
    supported_aid: str = ""
    pan: str = ""
    poi: tuple[DataObject, ...] = ()
    transparent: bytes = b""
    version_number: bytes = VERSION_NUMBER_DEFAULT
    receipt: Receipt | None = None

    def value(self, tag: str) -> bytes | None:
        """Give a value of the POI data."""
        return next((item.value for item in self.poi if item.tag == tag), None)

    @property
    def track2(self) -> bytes | None:
        """Give track 2 equivalent data (57) for DE 35, where the QR has them."""
        return self.value("57")

    def de55(self, terminal: Mapping[str, bytes] | None = None) -> bytes:
        """Give the ICC data of an authorisation message: the terminal's objects, then the QR's.

        The transparent data go in as they came, never parsed. Which objects an acquirer wants differs: filter them
        by handing in fewer, or take `transparent` and `poi` yourself.

        Args:
            terminal: what the till knows, by tag: amount (9F02), currency (5F2A), date (9A), country (9F1A), …

        Raises:
            EncodeError: nothing was accepted, a tag is none, or it would pass 255 bytes.

        Source: CPM 6; ISO 8583 data element 55.
        """
        if self.outcome is not Outcome.ACCEPTED:
            raise EncodeError(f"no application was chosen: {self.outcome}")
        own = [tlv.primitive(tag, value) for tag, value in (terminal or {}).items()]
        ours = [tlv.primitive("84", bytes.fromhex(self.aid))]
        ours += [item for item in self.poi if item.tag in _DE55_OWN]
        own += [item for item in ours if item.tag not in (terminal or {})]
        data = tlv.build(own) + self.transparent
        if len(data) > DE55_BYTES_MAX:
            raise EncodeError(
                f"DE 55 would be {len(data)} bytes, {DE55_BYTES_MAX} at most", section="ISO 8583"
            )
        return data

    def __repr__(self) -> str:
        return (
            f"<{self.outcome}{f' {self.aid}' if self.aid else ''}{f': {self.reason}' if self.reason else ''}>"
        )


class Till:
    """A till that supports some AIDs.

    Args:
        aids: supported AIDs in the merchant's order of preference, hex or bytes, 5 to 16 bytes each. An AID also
            stands for the longer ones that begin with it.

    Raises:
        ConfigError: none, or one that is no AID.
    """

    def __init__(self, aids: Sequence[str | bytes]) -> None:
        if isinstance(aids, str | bytes) or not isinstance(aids, Sequence) or not 0 < len(aids) <= AIDS_MAX:
            raise ConfigError(f"a till supports 1 to {AIDS_MAX} AIDs")
        self.aids = tuple([_aid(aid) for aid in aids])

    def read(self, source: str | bytes) -> TillResult:
        """Do what a till does with a scanned text. Raises nothing: every outcome is a result.

        Args:
            source: the text of the QR; hex or the binary payload will do as well.
        """
        try:
            objects = _parse(source)
        except DecodeError as error:
            return TillResult(Outcome.NOT_EMV, str(error), error.section or "CPM 5.1.1")
        if not objects or objects[0].tag != TAG_FORMAT_INDICATOR:
            return TillResult(Outcome.NOT_EMV, "the first object is not 85", "CPM 5.1.2")
        if objects[0].value != VERSION:
            return TillResult(Outcome.ERROR, "85 is not CPV01", "CPM 5.1.3")
        templates = [item for item in objects if item.tag == TAG_APPLICATION]
        if not templates:
            return TillResult(Outcome.ERROR, "no application template (61)", "CPM 5.1.3")
        chosen = self._choose(templates)
        if chosen is None:
            return TillResult(Outcome.NOT_SUPPORTED, "no application of a supported AID", "CPM 5.1.6")
        common = next((item for item in objects if item.tag == TAG_COMMON), None)
        return _accepted(*chosen, common)

    def _choose(self, templates: Sequence[DataObject]) -> tuple[DataObject, bytes] | None:
        """Give the template that the merchant prefers among those that match, and the AID that it matched."""
        for aid in self.aids:
            for template in templates:
                name = template.first("4F")
                if name is not None and _usable(name.value) and name.value.startswith(aid):
                    return template, aid
        return None


def _accepted(template: DataObject, supported: bytes, common: DataObject | None) -> TillResult:
    parts = [(template, TAG_TRANSPARENT["61"])] + ([(common, TAG_TRANSPARENT["62"])] if common else [])
    poi = tuple([item for part, transparent in parts for item in part.children if item.tag != transparent])
    seen: set[str] = set()
    for item in poi:
        if item.tag in seen and not item.is_template:
            return TillResult(Outcome.ERROR, f"{item.tag} stands twice in the POI data", "CPM 5.1.10")
        seen.add(item.tag)
    values = {item.tag: item.value for item in reversed(poi)}
    pan = _pan(values)
    if pan is None:
        return TillResult(Outcome.ERROR, "neither a PAN (5A) nor track 2 (57) that can be read", "CPM 6")
    last4 = values["9F25"].hex() if "9F25" in values else pan[-4:]
    label = values.get("50", b"").decode("ascii", "replace")
    aid = values["4F"].hex().upper()
    return TillResult(
        outcome=Outcome.ACCEPTED,
        aid=aid,
        supported_aid=supported.hex().upper(),
        pan=pan,
        poi=poi,
        transparent=b"".join(
            [item.value for part, transparent in parts for item in part.children if item.tag == transparent]
        ),
        version_number=values.get("9F08", VERSION_NUMBER_DEFAULT),
        receipt=Receipt(label, aid, last4, mask_pan(pan)),
    )


def _parse(source: str | bytes) -> tuple[DataObject, ...]:
    """Read the text; 63 and 64 stay closed."""
    if isinstance(source, str) and not source.strip().startswith((BASE64_START, "85")):
        raise DecodeError(f"the text does not begin {BASE64_START}", section="CPM 5.1.1")
    return tlv.parse(read_source(source).binary, opaque=frozenset(TAG_TRANSPARENT.values()))


def _pan(values: Mapping[str, bytes]) -> str | None:
    """Give the PAN from 5A, else from track 2."""
    if "5A" in values:
        digits = values["5A"].hex().rstrip("f")
        return digits if digits.isdigit() else None
    try:
        return Track2.from_bytes(values.get("57", b"")).pan
    except DecodeError:
        return None


def _usable(name: bytes) -> bool:
    return ADF_NAME_BYTES_MIN <= len(name) <= ADF_NAME_BYTES_MAX


def _aid(aid: str | bytes) -> bytes:
    try:
        octets = bytes.fromhex(aid) if isinstance(aid, str) else bytes(aid)
    except ValueError:
        raise ConfigError("an AID is 5 to 16 bytes in hex, such as A000000333010101") from None
    if not _usable(octets):
        raise ConfigError(f"an AID is 5 to 16 bytes, not {len(octets)}")
    return octets
