"""A consumer-presented QR's payload: from the scanned text to typed values.

    payload = decode("hQVDUFYwMWFaTwfUEAAAAUAQ…")
    payload.applications[0].aid            # "D4100000014010"
    payload.applications[0].track2.masked  # "535020******0066D2007601*************"
    payload.raw                            # the very bytes

A payload opens with 85 ("CPV01"), then one or two 61: one for each application (a scheme's product) that the
consumer offers. 62 holds what two applications share. 63 inside 61, and 64 inside 62, hold what the till hands on
without looking at it: the cryptogram and what it was computed over.

`decode` refuses what is no CPM payload at all. Whether each value obeys its rules is for `validate` (rules.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from cpmqr.emv import tlv
from cpmqr.emv.text import Source, read_source
from cpmqr.emv.tlv import DataObject
from cpmqr.emv.track2 import Track2
from cpmqr.errors import DecodeError

TAG_FORMAT_INDICATOR: Final = "85"
TAG_APPLICATION: Final = "61"
TAG_COMMON: Final = "62"
TAG_TRANSPARENT: Final = {"61": "63", "62": "64"}
VERSION: Final = b"CPV01"
APPLICATIONS_MAX: Final = 2
ADF_NAME_BYTES_MIN: Final = 5
ADF_NAME_BYTES_MAX: Final = 16


class Application(msgspec.Struct, frozen=True):
    """One application template (61) with what the common data template (62) adds to it.

    A value is looked for in the 61, then in the 62; properties give None where there is none.
    """

    template: DataObject
    common: DataObject | None = None

    def find(self, tag: str) -> DataObject | None:
        """Give the object of the data meant for the till (so not from 63 or 64)."""
        return self.template.first(tag) or (self.common.first(tag) if self.common is not None else None)

    def value(self, tag: str) -> bytes | None:
        """Give a value of the data meant for the till."""
        found = self.find(tag)
        return None if found is None else found.value

    @property
    def adf_name(self) -> bytes | None:
        """Give the ADF name (4F) if a till can use it: 5 to 16 bytes."""
        found = self.template.first("4F")
        if found is None or not ADF_NAME_BYTES_MIN <= len(found.value) <= ADF_NAME_BYTES_MAX:
            return None
        return found.value

    @property
    def aid(self) -> str | None:
        """Give the usable ADF name in upper-case hex."""
        return None if self.adf_name is None else self.adf_name.hex().upper()

    @property
    def label(self) -> str | None:
        """Give the application label (50)."""
        return _text(self.value("50"))

    @property
    def track2(self) -> Track2 | None:
        """Give track 2 equivalent data (57) taken apart; None too where they can't be read."""
        value = self.value("57")
        if value is None:
            return None
        try:
            return Track2.from_bytes(value)
        except DecodeError:
            return None

    @property
    def pan(self) -> str | None:
        """Give the PAN in clear, from 5A, else from track 2."""
        value = self.value("5A")
        if value is not None:
            digits = value.hex().rstrip("f")
            return digits if digits.isdigit() else None
        track2 = self.track2
        return None if track2 is None else track2.pan

    @property
    def psn(self) -> str | None:
        """Give the PAN sequence number (5F34), 2 digits; some wallets put it into 63."""
        value = self.value("5F34") or self.transparent_values.get("5F34")
        return value.hex() if value is not None and len(value) == 1 else None

    @property
    def expiry(self) -> str | None:
        """Give the expiry, yymm, from track 2."""
        track2 = self.track2
        return None if track2 is None else track2.expiry

    @property
    def cardholder_name(self) -> str | None:
        """Give the cardholder's name (5F20)."""
        return _text(self.value("5F20"))

    @property
    def languages(self) -> tuple[str, ...]:
        """Give the preferred languages (5F2D), ISO 639-1, the most wanted first."""
        text = _text(self.value("5F2D")) or ""
        return tuple(text[at : at + 2].lower() for at in range(0, len(text) - 1, 2))

    @property
    def version_number(self) -> int:
        """Give the application version number (9F08); absent means 0010 hex. Source: CPM 5."""
        value = self.value("9F08")
        return 0x0010 if value is None else int.from_bytes(value, "big")

    @property
    def transparent(self) -> bytes:
        """Give the bytes in 63 and 64, as the till hands them on."""
        parts = [self.template.first("63"), self.common.first("64") if self.common is not None else None]
        return b"".join([part.value for part in parts if part is not None])

    @property
    def transparent_values(self) -> Mapping[str, bytes]:
        """Give the values in 63 and 64 by tag, for the issuer; the first where a tag repeats."""
        parts = (self.template.first("63"), self.common.first("64") if self.common is not None else None)
        objects = [item for part in parts if part is not None for item in part.children]
        return {item.tag: item.value for item in reversed(objects)}

    @property
    def cryptogram(self) -> bytes | None:
        """Give the application cryptogram (9F26)."""
        return self.transparent_values.get("9F26")

    @property
    def atc(self) -> int | None:
        """Give the application transaction counter (9F36)."""
        value = self.transparent_values.get("9F36")
        return None if value is None else int.from_bytes(value, "big")

    def __repr__(self) -> str:
        return f"<application {self.aid or 'without a usable AID'}>"


class Payload(msgspec.Struct, frozen=True):
    """A payload: its data objects in their order, and typed views of them.

    Attributes:
        objects: the top level, nothing left out.
        source: how it came: the text's encoding, the binary, and whatever a lenient reading forgave; None for a
            payload that was built.
    """

    objects: tuple[DataObject, ...]
    source: Source | None = None

    @property
    def version(self) -> str:
        """Give the payload format indicator, "CPV01"."""
        first = self.objects[0] if self.objects else None
        return first.value.decode("ascii", "replace") if first and first.tag == TAG_FORMAT_INDICATOR else ""

    @property
    def common(self) -> DataObject | None:
        """Give the common data template (62)."""
        for item in self.objects:
            if item.tag == TAG_COMMON:
                return item
        return None

    @property
    def applications(self) -> tuple[Application, ...]:
        """Give the applications, in the consumer's order."""
        common = self.common
        return tuple(Application(item, common) for item in self.objects if item.tag == TAG_APPLICATION)

    @property
    def raw(self) -> bytes:
        """Give the binary; for one that was decoded, the very bytes."""
        return tlv.build(self.objects)

    @property
    def forgiven(self) -> tuple[str, ...]:
        """Say what a lenient reading let pass."""
        return self.source.forgiven if self.source is not None else ()

    def walk(self) -> Iterator[DataObject]:
        """Give every object, each template before its children."""
        return tlv.walk(self.objects)

    def __repr__(self) -> str:
        return f"<CPM payload {list(self.objects)}>"


def decode(source: str | bytes, *, lenient: bool = False) -> Payload:
    """Read a payload.

    Args:
        source: Base64 text (line breaks and the URL-safe alphabet are fine), hex (blanks are fine), or the binary.
        lenient: also read what is known from the field: blanks in Base64, missing padding, two payloads pasted
            together (the first is read), lengths that lack their 81; `payload.forgiven` then says what it was.

    Raises:
        DecodeError: no such text, not BER-TLV, 85 not first, not CPV01, no 61; with offset and section.

    Source: CPM 5.1.1 to 5.1.3; the order of these checks is a till's.
    """
    origin = read_source(source, lenient=lenient)
    if lenient:
        objects, faults = tlv.parse_leniently(origin.binary)
        origin = origin.forgiving(*[str(fault) for fault in faults])
    else:
        objects = tlv.parse(origin.binary)
    payload = Payload(objects, origin)
    check_frame(payload)
    return payload


def check_frame(payload: Payload) -> None:
    """Refuse what a till would not take for a payload.

    Raises:
        DecodeError: 85 not first, not CPV01, or no 61.
    """
    objects = payload.objects
    if not objects or objects[0].tag != TAG_FORMAT_INDICATOR:
        raise DecodeError("the first object is not 85: no EMV payload", offset=0, section="CPM 5.1.2")
    if objects[0].value != VERSION:
        raise DecodeError("85 is not CPV01", offset=0, section="CPM 5.1.3", tag=TAG_FORMAT_INDICATOR)
    if TAG_APPLICATION not in [item.tag for item in objects]:
        raise DecodeError(
            "no application template (61)",
            offset=len(objects[0].raw),
            section="CPM 5.1.3",
            tag=TAG_APPLICATION,
        )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("ascii", "replace")
