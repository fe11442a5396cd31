"""What an authoriser presents of a QR: the whole payload, or what an authorisation message really carries of it."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from cpmqr.emv import cpm, tlv
from cpmqr.errors import DecodeError, Refusal
from cpmqr.model import PAN_DIGITS_MAX, PAN_DIGITS_MIN, mask_pan
from cpmqr.wire import codes, v1

TAG_AID: Final = "4F"
TAG_TRACK2: Final = "57"
TAG_PAN: Final = "5A"
TAG_CRYPTOGRAM: Final = "9F26"
TAG_ATC: Final = "9F36"

# Without these a message says too little of its QR: cryptogram, counter, and what the cryptogram covers.
REQUIRED: Final = (TAG_CRYPTOGRAM, TAG_ATC, "9F37", "9F10", "82")
# A terminal names the application by 84 (DF Name) or 9F06; the QR by 4F.
_AID_IN_A_MESSAGE: Final = ("84", "9F06")
_WHOLE_PAYLOAD: Final = "payload"
_TRACK2: Final = re.compile(r"([0-9]{1,19})[D=]([0-9]{7,})")


class Presented(msgspec.Struct, frozen=True):
    """A QR as it is presented.

    Attributes:
        pan: digits, whatever they are: the Luhn check would only tell a guesser more.
        values: by upper-case tag; 57 as `PAN D …` in hex digits without padding.
        payload: the whole payload, where that came; else b"".
        content: what makes two presentations the same.
    """

    pan: str
    atc: int
    values: Mapping[str, bytes]
    payload: bytes
    content: bytes

    def __repr__(self) -> str:
        return f"<presented {mask_pan(self.pan)} atc {self.atc}>"


def read_presented(request: v1.VerificationRequest) -> Presented:
    """Read what a request presents.

    Raises:
        Refusal: 1002, neither `payload` nor `track2` and `icc_data`; 1003, both, or what can't be read.
    """
    if isinstance(request.payload, str):
        if isinstance(request.track2, str) or isinstance(request.icc_data, str):
            raise _wrong("payload: give it, or track2 and icc_data, not both")
        return _of_payload(request.payload)
    if not isinstance(request.track2, str) or not isinstance(request.icc_data, str):
        missing = "payload" if request.track2 is request.icc_data else "track2 or icc_data"
        raise Refusal(codes.MEMBER_MISSING, f"{missing} is missing: give payload, or track2 and icc_data")
    return _of_message(request.track2, request.icc_data)


def read_expected(payload: bytes) -> Presented:
    """Read a payload that this gateway made itself."""
    return _of_application(payload)


def differences(presented: Presented, expected: Presented) -> list[str]:
    """Name the tags whose values are not those that were issued; each comparison takes constant time.

    A whole payload must be the issued one to the last byte. A message need not carry all of it, and what a terminal
    adds of its own (amount, date, country) is not ours to judge.
    """
    wrong = [
        tag
        for tag, value in expected.values.items()
        if tag in presented.values and not hmac.compare_digest(presented.values[tag], value)
    ]
    if presented.payload:
        if not hmac.compare_digest(presented.payload, expected.payload):
            wrong.append(_WHOLE_PAYLOAD)
    else:
        wrong += [tag for tag in REQUIRED if tag not in expected.values]  # issued without: nothing proves it
    return wrong


def _of_payload(text: str) -> Presented:
    try:
        payload = cpm.decode(text)
    except DecodeError as error:
        raise _wrong(f"payload: {error}") from None
    return _of_application(payload.raw)


def _of_application(binary: bytes) -> Presented:
    """Read the first application that has a PAN and a counter: a payload of ours has just one."""
    payload = cpm.decode(binary)
    for application in payload.applications:
        pan, atc = application.pan, application.atc
        if pan is not None and atc is not None and _is_pan(pan):
            objects = [application.template, *([application.common] if application.common else [])]
            return Presented(pan, atc, _values(objects), payload.raw, b"payload " + payload.raw)
    raise _wrong("payload: it has no PAN (57 or 5A) with a counter (9F36), so it names no issue")


def _of_message(track2: str, icc_data: str) -> Presented:
    pan, digits = _read_track2(track2)
    try:
        icc = bytes.fromhex(icc_data)
    except ValueError:
        raise _wrong("icc_data: hex digits, two for each byte") from None
    try:
        objects = tlv.parse(icc)
    except DecodeError as error:
        raise _wrong(f"icc_data: {error}") from None
    values = {**_values(objects, twins_allowed=False), TAG_TRACK2: digits}
    for tag in REQUIRED:
        if tag not in values:
            raise _wrong(f"icc_data: {tag} is missing")
    for tag in _AID_IN_A_MESSAGE:
        if tag in values:
            values.setdefault(TAG_AID, values[tag])
    atc = int.from_bytes(values[TAG_ATC], "big")
    if len(values[TAG_ATC]) != 2:
        raise _wrong("icc_data: 9F36 has 2 bytes")
    return Presented(pan, atc, values, b"", b"message " + digits + b" " + icc)


def _read_track2(text: str) -> tuple[str, bytes]:
    """Read DE 35 (with = or D, with or without sentinels) or the hex of tag 57; give PAN and bare digits."""
    bare = text.upper().removeprefix(";").removesuffix("?").removesuffix("F").replace("=", "D")
    match = _TRACK2.fullmatch(bare)
    if match is None or not _is_pan(match[1]):
        raise _wrong("track2: PAN, = or D, expiry (yymm), service code and discretionary digits")
    return match[1], bare.encode()


def _values(objects: Sequence[tlv.DataObject], *, twins_allowed: bool = True) -> dict[str, bytes]:
    values: dict[str, bytes] = {}
    for item in tlv.walk(objects):
        if item.is_template:
            continue
        if item.tag in values and not twins_allowed:
            raise _wrong(f"icc_data: {item.tag} stands twice")
        values.setdefault(item.tag, item.value)
    if TAG_TRACK2 in values:
        values[TAG_TRACK2] = values[TAG_TRACK2].hex().upper().removesuffix("F").encode()
    return values


def _is_pan(digits: str) -> bool:
    return PAN_DIGITS_MIN <= len(digits) <= PAN_DIGITS_MAX


def _wrong(cause: str) -> Refusal:
    return Refusal(codes.MEMBER_WRONG, cause)
