"""What a payload says about the card, or the digital token that stands for one."""

from __future__ import annotations

from binascii import a2b_hex
from typing import Final

from cpmqr.errors import EncodeError
from cpmqr.model import PAN_DIGITS_MAX, PAN_DIGITS_MIN, mask_pan

DISCRETIONARY_DIGITS_MAX: Final = 17  # what a 13-digit PAN leaves of track 2's 38 digits


class CardData:
    """A card's digits: checked once and turned into bytes once, here. Don't write to it.

    Attributes:
        pan: 13 to 19 digits.
        psn: card sequence number, 2 digits.
        expiry: yymm.
        service_code: 3 digits.
        discretionary: 0 to 17 digits, the end of track 2.
        track2: these as track 2 equivalent data: PAN, D, expiry, service code, discretionary data, F to whole bytes.
        psn_bytes: the PSN as one byte.
        shape: equal for cards whose payloads have the same lengths.

    Raises:
        EncodeError: something is not digits, or too many or too few of them; values are not repeated.

    Source: EMV Book 3 Annex A (57, 5F34); ISO/IEC 7813.
    """

    __slots__ = (
        "discretionary",
        "expiry",
        "pan",
        "psn",
        "psn_bytes",
        "service_code",
        "shape",
        "track2",
    )

    def __init__(self, pan: str, psn: str, expiry: str, service_code: str, discretionary: str) -> None:
        digits = f"{pan}{expiry}{service_code}{psn}{discretionary}"
        if not (digits.isdigit() and digits.isascii()):
            raise EncodeError("card data are digits, nothing else", tag="57", section="EMV Book 3 Annex A")
        if not (
            PAN_DIGITS_MIN <= len(pan) <= PAN_DIGITS_MAX
            and len(psn) == 2
            and len(expiry) == 4
            and "01" <= expiry[2:] <= "12"
            and len(service_code) == 3
            and len(discretionary) <= DISCRETIONARY_DIGITS_MAX
        ):
            raise EncodeError(
                "card data: a PAN of 13 to 19 digits, a PSN of 2, an expiry yymm, a service code of 3, "
                f"at most {DISCRETIONARY_DIGITS_MAX} discretionary digits",
                tag="57",
                section="EMV Book 3 Annex A",
            )
        self.pan = pan
        self.psn = psn
        self.expiry = expiry
        self.service_code = service_code
        self.discretionary = discretionary
        padding = (
            "" if len(pan) + len(discretionary) & 1 == 0 else "F"
        )  # D, expiry and service code are 8 digits
        self.track2 = a2b_hex(f"{pan}D{expiry}{service_code}{discretionary}{padding}")
        self.psn_bytes = a2b_hex(psn)
        self.shape = len(pan) << 8 | len(discretionary)

    @property
    def pan_last4(self) -> str:
        """Give the PAN's last four digits, which a receipt may show."""
        return self.pan[-4:]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CardData) and (other.track2, other.psn) == (self.track2, self.psn)

    def __hash__(self) -> int:
        return hash((self.track2, self.psn))

    def __repr__(self) -> str:
        return f"<card {mask_pan(self.pan)} psn {self.psn}>"
