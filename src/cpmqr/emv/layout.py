"""What a profile's file says of a payload: the lines of its layout, and the names that stand in their values."""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec

# Placeholders and their widths in hex digits; a PAN and discretionary data vary from card to card (0).
CARD_FIELDS: Final = {"pan": 0, "psn": 2, "expiry": 4, "service_code": 3, "discretionary": 0, "pan_last4": 4}
ISSUE_FIELDS: Final = {"atc": 4, "unpredictable_number": 8, "issued_at": 14, "dki": 2, "cryptogram": 16}
FIELD_WORDS: Final = {
    "pan": "1 to 19 digits",
    "psn": "2 digits",
    "expiry": "4 digits, yymm",
    "service_code": "3 digits",
    "discretionary": "the digits at track 2's end, if there are any",
    "pan_last4": "4 digits; if not given, the PAN's end",
    "atc": "4 hex digits: 008B is 139",
    "unpredictable_number": "8 hex digits",
    "issued_at": "14 digits, yyyymmddHHMMSS",
    "dki": "2 hex digits",
    "cryptogram": "16 hex digits",
}
PLACEHOLDER: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_HEX_FIELDS: Final = {"atc", "unpredictable_number", "dki", "cryptogram"}
VALUE_CHARACTERS_MAX: Final = 1024  # two hex digits a byte: the 512 bytes that a reader must manage

# One byte; or, where its lower half says so, two or three.
_TAG: Final = r"^(?!00)(?:[0-9A-F][0-9A-E]|[02468ACE]F|[13579BDF]F(?:[89A-F][0-9A-F])?[0-7][0-9A-F])$"

Tag = Annotated[str, msgspec.Meta(pattern=_TAG)]
Value = Annotated[str, msgspec.Meta(max_length=VALUE_CHARACTERS_MAX)]


class Parameter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A blank of a profile that an issuer fills in once: what it is, and its value where nobody says otherwise."""

    default: Value = ""
    about: str = ""


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A data object of `layout`, as the file has it: with one of value, text or objects.

    Attributes:
        tag: upper-case hex.
        value: hex digits and placeholders. text: ASCII and parameters. objects: what a template holds.
        pad: the digit that fills an odd number of digits up, or "".
        optional: left out where its value is empty.
    """

    tag: Tag
    value: Value = ""
    text: Value = ""
    objects: tuple[Line, ...] = ()
    pad: Annotated[str, msgspec.Meta(pattern="^[0F]?$")] = ""
    optional: bool = False


def is_field_value(name: str, value: str) -> bool:
    """Tell whether a value may stand for a field of card or issue; for another name any may.

    Args:
        name: a field, or a parameter.
        value: digits without blanks.
    """
    width = {**CARD_FIELDS, **ISSUE_FIELDS}.get(name)
    if width is None:
        return True
    length = f"{{{width}}}" if width else "{1,19}" if name == "pan" else "*"
    return re.fullmatch(f"[0-9{'A-Fa-f' if name in _HEX_FIELDS else ''}]{length}", value) is not None
