"""Track 2 equivalent data (57): what the magnetic stripe's second track says, two digits to a byte.

    5350206900000066 D 2007 601 0000000000099 F
    PAN                yymm svc discretionary  fills the last byte

Till, acquirer and issuer still route by it. In consumer-presented mode the PAN is a digital one, and the
discretionary data are the issuer's own. All of it prints masked.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from cpmqr.errors import DecodeError, EncodeError
from cpmqr.model import mask_pan

TRACK2_BYTES_MAX: Final = 19
PAN_DIGITS_MAX: Final = 19
SECTION: Final = "EMV Book 3 Annex A (57)"
_TAG: Final = "57"
_LAYOUT: Final = re.compile(r"([0-9]{1,19})d([0-9]{4})([0-9]{3})([0-9]*)f?").fullmatch


class Track2(msgspec.Struct, frozen=True):
    """Track 2 taken apart.

    Attributes:
        pan: 1 to 19 digits.
        expiry: yymm.
        service_code: 3 digits.
        discretionary: the rest; may be empty.
    """

    pan: str
    expiry: str
    service_code: str
    discretionary: str

    @classmethod
    def from_bytes(cls, value: bytes) -> Track2:
        """Read the value of a 57.

        Raises:
            DecodeError: no D, not digits, over 19 bytes, or expiry and service code are cut short. The message has
                no digits.
        """
        match = _LAYOUT(value.hex())
        if match is None or len(value) > TRACK2_BYTES_MAX:
            raise DecodeError(_why_not(value.hex()), section=SECTION, tag=_TAG)
        return cls(*match.groups())

    def to_bytes(self) -> bytes:
        """Write the value of a 57, filled up with F to whole bytes.

        Raises:
            EncodeError: a part is not so many digits, or all of them pass 19 bytes.
        """
        digits = self.pan + self.expiry + self.service_code + self.discretionary
        if not (digits.isascii() and digits.isdigit() and 0 < len(self.pan) <= PAN_DIGITS_MAX):
            raise EncodeError(
                "track 2 is made of digits, and a PAN of 1 to 19 of them", section=SECTION, tag=_TAG
            )
        if len(self.expiry) != 4 or len(self.service_code) != 3:
            raise EncodeError("an expiry is yymm, a service code 3 digits", section=SECTION, tag=_TAG)
        text = f"{self.pan}D{self.expiry}{self.service_code}{self.discretionary}"
        if len(text) > 2 * TRACK2_BYTES_MAX:
            raise EncodeError(f"over {TRACK2_BYTES_MAX} bytes", section=SECTION, tag=_TAG)
        return bytes.fromhex(text + "F" * (len(text) % 2))

    @property
    def masked(self) -> str:
        """Give it as one may show it: `535020******0066D2007601*************`."""
        return f"{mask_pan(self.pan)}D{self.expiry}{self.service_code}{'*' * len(self.discretionary)}"

    def __repr__(self) -> str:
        return f"<track 2 {self.masked}>"


def is_track2(value: bytes) -> bool:
    """Tell whether `Track2.from_bytes` would read it."""
    return len(value) <= TRACK2_BYTES_MAX and _LAYOUT(value.hex()) is not None


def _why_not(digits: str) -> str:
    """Say what keeps it from being track 2, without its digits."""
    pan, separator, rest = digits.removesuffix("f").partition("d")
    if not separator:
        return "no D between PAN and expiry"
    if not (pan + rest).isdigit():
        return "digits, one D and one F at the end are all it may hold"
    if len(pan) > PAN_DIGITS_MAX or len(digits) > 2 * TRACK2_BYTES_MAX:
        return f"over {TRACK2_BYTES_MAX} bytes, or a PAN of over {PAN_DIGITS_MAX} digits"
    return "the PAN is missing" if not pan else "expiry (yymm) or service code is missing"


_SERVICE_CODE: Final = (
    {
        "1": "international",
        "2": "international, chip",
        "5": "national",
        "6": "national, chip",
        "7": "by agreement only",
        "9": "test",
    },
    {"0": "authorised as usual", "2": "authorised online only", "4": "authorised online, but by agreement"},
    {
        "0": "no restrictions, PIN required",
        "1": "no restrictions",
        "2": "goods and services only",
        "3": "ATM only, PIN required",
        "4": "cash only",
        "5": "goods and services only, PIN required",
        "6": "no restrictions, PIN where there is a PIN pad",
        "7": "goods and services only, PIN where there is a PIN pad",
    },
)


def service_code_meaning(service_code: str) -> str:
    """Say what the three digits allow: where, how it is authorised, for what.

    Source: ISO/IEC 7813.
    """
    return "; ".join(
        meanings.get(digit, f"{digit}: reserved")
        for digit, meanings in zip(service_code, _SERVICE_CODE, strict=False)
    )
