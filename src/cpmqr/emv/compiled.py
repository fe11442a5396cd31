"""A scheme profile's layout, compiled into an encoder that does the least for each payload.

All that does not change from one QR to the next (tags, lengths, AID, fixed values) becomes constants at compile
time. What is left for each payload is to turn the card's digits into bytes, and one `bytes.join` over constants and
variables in their order. No tree is walked, no length is computed: the lengths follow from the PAN's and the
discretionary data's number of digits, so one template is kept for each such shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Final

import msgspec

from cpmqr.crypto.blocks import EncryptBlocks
from cpmqr.emv.cryptogram import ARQC_BYTES, CryptogramScheme, generate_arqc
from cpmqr.errors import EncodeError
from cpmqr.model import PAN_DIGITS_MAX, PAN_DIGITS_MIN, mask_pan

TRACK2_BYTES_MAX: Final = 19
DISCRETIONARY_DIGITS_MAX: Final = 17  # what a 13-digit PAN leaves of track 2's 38 digits

# A placeholder's width in hex digits; PAN and discretionary data vary from card to card.
CARD_FIELDS: Final = {"pan": 0, "psn": 2, "expiry": 4, "service_code": 3, "discretionary": 0, "pan_last4": 4}
ISSUE_FIELDS: Final = {
    "atc": 4,
    "unpredictable_number": 8,
    "issued_at": 14,
    "dki": 2,
    "cryptogram": 2 * ARQC_BYTES,
}
_BYTE: Final = {spelled: bytes([n]) for n in range(256) for spelled in (f"{n:02X}", f"{n:02x}")}


class CardData(msgspec.Struct, frozen=True):
    """What a payload says about the card (or digital token): checked once, here.

    Attributes:
        pan: 13 to 19 digits.
        psn: card sequence number, 2 digits.
        expiry: yymm.
        service_code: 3 digits.
        discretionary: 0 to 17 digits, the end of track 2.

    Raises:
        EncodeError: something is not digits, or too many or too few of them; values are not repeated.
    """

    pan: str
    psn: str
    expiry: str
    service_code: str
    discretionary: str

    def __post_init__(self) -> None:
        digits = f"{self.pan}{self.psn}{self.expiry}{self.service_code}{self.discretionary}"
        if not (digits.isdigit() and digits.isascii()):
            raise EncodeError("card data are digits, nothing else", tag="57", section="EMV Book 3 Annex A")
        if not (
            PAN_DIGITS_MIN <= len(self.pan) <= PAN_DIGITS_MAX
            and len(self.psn) == 2
            and len(self.expiry) == 4
            and "01" <= self.expiry[2:] <= "12"
            and len(self.service_code) == 3
            and len(self.discretionary) <= DISCRETIONARY_DIGITS_MAX
        ):
            raise EncodeError(
                "card data: a PAN of 13 to 19 digits, a PSN of 2, an expiry yymm, a service code of 3, "
                f"at most {DISCRETIONARY_DIGITS_MAX} discretionary digits",
                tag="57",
                section="EMV Book 3 Annex A",
            )

    @property
    def pan_last4(self) -> str:
        """Give the PAN's last four digits, which a receipt may show."""
        return self.pan[-4:]

    def __repr__(self) -> str:
        return f"<card {mask_pan(self.pan)} psn {self.psn}>"


class Piece(msgspec.Struct, frozen=True):
    """A part of a value: fixed hex digits, or the name of a placeholder."""

    hex_digits: str = ""
    name: str = ""


class Node(msgspec.Struct, frozen=True):
    """A data object of a layout whose parameters are filled in: a value in pieces, or children.

    `pad` is the digit ("F") that fills an odd number of digits up to whole bytes, or "".
    """

    tag: str
    pieces: tuple[Piece, ...] = ()
    children: tuple[Node, ...] = ()
    pad: str = ""


class CompiledProfile:
    """A profile ready to issue payloads. Immutable but for its cache of templates; safe to share.

    Attributes:
        name: the profile's.
        aid: the ADF name in tag 4F, upper-case hex.
        master_key_algorithm: "tdes-112", "aes-128" or "aes-256"; "" where the payload has no cryptogram.
    """

    def __init__(
        self,
        name: str,
        aid: str,
        nodes: Sequence[Node],
        scheme: CryptogramScheme | None,
        cryptogram_input: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.aid = aid
        self.master_key_algorithm = scheme.master_key_algorithm if scheme else ""
        self._nodes = tuple(nodes)
        self._scheme = scheme
        self._input_tags = tuple(cryptogram_input)
        self._shapes: dict[tuple[int, int], _Shape] = {}

    def issue(
        self,
        encrypt: EncryptBlocks,
        card: CardData,
        atc: int,
        unpredictable_number: bytes,
        issued_at: str,
        dki: str,
    ) -> bytes:
        """Make a payload with its cryptogram.

        Args:
            encrypt: ECB under the issuer master key of `dki`, kept by the caller; TDES or AES as
                `master_key_algorithm` says. Not called where the profile has no cryptogram.
            card: the token's data.
            atc: application transaction counter, 0..65535, never used before with this card.
            unpredictable_number: 4 random bytes.
            issued_at: yyyymmddHHMMSS, in the scheme's own time zone.
            dki: derivation key index, 2 hex digits.

        Returns:
            The binary payload; its Base64 text is what the QR holds.

        Raises:
            EncodeError: a value does not fit its place.
        """
        shape = self._shape(card)
        variables = shape.variables(card, atc, unpredictable_number, issued_at, dki)
        if self._scheme is None:
            return shape.payload.fill(variables)
        data = shape.input.fill(variables)
        arqc = generate_arqc(encrypt, card.pan, card.psn, atc, data, self._scheme)
        return shape.payload.fill((*variables, arqc))

    def encode(
        self,
        card: CardData,
        atc: int,
        unpredictable_number: bytes,
        issued_at: str,
        dki: str,
        cryptogram: bytes = b"",
    ) -> bytes:
        """Make a payload around a cryptogram that is given: by an HSM, by a test vector.

        Args: as `issue`; `cryptogram` is 8 bytes, or empty where the profile has none.

        Raises:
            EncodeError: a value does not fit its place.
        """
        if len(cryptogram) != (ARQC_BYTES if self._scheme else 0):
            raise EncodeError("the cryptogram's length is not the profile's", tag="9F26")
        shape = self._shape(card)
        variables = shape.variables(card, atc, unpredictable_number, issued_at, dki)
        return shape.payload.fill((*variables, cryptogram))

    def expected_cryptogram(
        self,
        encrypt: EncryptBlocks,
        card: CardData,
        atc: int,
        unpredictable_number: bytes,
        issued_at: str,
        dki: str,
    ) -> bytes:
        """Give the cryptogram that `issue` would put into the payload, to compare with one received.

        Args and raises: as `issue`; EncodeError too where the profile has no cryptogram.
        """
        scheme = self._need_scheme()
        shape = self._shape(card)
        variables = shape.variables(card, atc, unpredictable_number, issued_at, dki)
        return generate_arqc(encrypt, card.pan, card.psn, atc, shape.input.fill(variables), scheme)

    def cryptogram_over(
        self, encrypt: EncryptBlocks, pan: str, psn: str, values: Mapping[str, bytes]
    ) -> bytes:
        """Give the cryptogram over values as they were received (DE 55, or a decoded payload's template 63).

        Args:
            encrypt: as `issue`.
            pan: digits. psn: 2 digits.
            values: by upper-case tag; the profile's cryptogram input must all be there, and 9F36.

        Raises:
            EncodeError: a value is missing, or the profile has no cryptogram.
        """
        scheme = self._need_scheme()
        for tag in (*self._input_tags, "9F36"):
            if tag not in values:
                raise EncodeError(f"the cryptogram covers {tag}, which is not there", tag=tag)
        data = b"".join([values[tag] for tag in self._input_tags])
        return generate_arqc(encrypt, pan, psn, int.from_bytes(values["9F36"], "big"), data, scheme)

    def check_card(self, card: CardData) -> None:
        """Refuse card data that this profile's layout can't hold, before a token is made of them.

        Raises:
            EncodeError: track 2 would pass 19 bytes, say.
        """
        self._shape(card)

    def _need_scheme(self) -> CryptogramScheme:
        if self._scheme is None:
            raise EncodeError(f"profile {self.name} has no cryptogram", tag="9F26")
        return self._scheme

    def _shape(self, card: CardData) -> _Shape:
        key = (len(card.pan), len(card.discretionary))
        shape = self._shapes.get(key)
        if shape is None:
            shape = self._shapes[key] = _Shape(self._nodes, self._input_tags, card)
        return shape


# A template's parts: constants, or the places of variables, counted from the constants' end.
_PLACE: Final = {"atc": 0, "unpredictable_number": 1, "issued_at": 2, "dki": 3}
_FIRST_RUN: Final = len(_PLACE)
_CRYPTOGRAM: Final = -1  # comes last, so that it can be appended when all else is known


class _Filler:
    """Constants and variables of one template, put in order and joined by two calls into C."""

    def __init__(self, parts: Sequence[bytes | int]) -> None:
        constants = tuple(part for part in parts if isinstance(part, bytes))
        numbers = iter(range(len(constants)))
        order = [
            next(numbers) if isinstance(part, bytes) else part + len(constants) * (part >= 0)
            for part in parts
        ]
        # itemgetter gives a bare item, not a tuple, for a single index: a last, empty constant prevents that.
        self._constants = (*constants, b"")
        order = [place + (place >= len(constants)) for place in order]
        self._pick = itemgetter(*order, len(constants), len(constants))

    def fill(self, variables: tuple[bytes, ...]) -> bytes:
        return b"".join(self._pick(self._constants + variables))


class _Shape:
    """The templates for cards with PANs and discretionary data of one length."""

    def __init__(self, nodes: Sequence[Node], input_tags: Sequence[str], card: CardData) -> None:
        widths = CARD_FIELDS | {"pan": len(card.pan), "discretionary": len(card.discretionary)}
        runs: list[tuple[str, tuple[str, ...]]] = []
        by_tag = {node.tag: node for node in reversed(all_nodes(nodes))}
        self.payload = _Filler(_merge([p for node in nodes for p in _object(node, widths)], runs))
        self.input = _Filler(_merge([p for tag in input_tags for p in _value(by_tag[tag], widths)], runs))
        self._runs = [(text, attrgetter(*fields)) for text, fields in runs]

    def variables(
        self, card: CardData, atc: int, unpredictable_number: bytes, issued_at: str, dki: str
    ) -> tuple[bytes, ...]:
        """Turn an issue's own values into bytes, in the order of `_PLACE`, then the card's runs."""
        try:
            counter = atc.to_bytes(2, "big")
            moment = bytes.fromhex(issued_at)
            index = _BYTE[dki]
        except (ValueError, OverflowError, KeyError):
            raise EncodeError(
                "the ATC is 0 to 65535, the issue time yyyymmddHHMMSS, the key index 2 hex digits"
            ) from None
        if len(unpredictable_number) != 4 or len(moment) != 7 or not issued_at.isdigit():
            raise EncodeError("the unpredictable number is 4 bytes, the issue time 14 digits")
        runs = [bytes.fromhex(text % fields(card)) for text, fields in self._runs]
        return (counter, unpredictable_number, moment, index, *runs)


def all_nodes(nodes: Sequence[Node]) -> list[Node]:
    """List a layout's objects in their order, each template before its children."""
    return [found for node in nodes for found in (node, *all_nodes(node.children))]


def length_octets(length: int) -> bytes:
    """Encode a length as EMV wants it: one byte up to 127, else 81, 82… and the bytes needed.

    Source: EMV Book 3 Annex B2.
    """
    if length < 0x80:
        return bytes((length,))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(octets),)) + octets


def _object(node: Node, widths: Mapping[str, int]) -> list[Piece]:
    """Give the pieces of a whole object: tag, length, value."""
    value = _value(node, widths)
    length = _width(value, widths) // 2
    if node.tag == "57" and length > TRACK2_BYTES_MAX:
        raise EncodeError(
            f"track 2 of this card would be {length} bytes, {TRACK2_BYTES_MAX} at most",
            tag="57",
            section="EMV Book 3 Annex A",
        )
    return [Piece(node.tag + length_octets(length).hex().upper()), *value]


def _value(node: Node, widths: Mapping[str, int]) -> list[Piece]:
    """Give a value's pieces, padded to whole bytes."""
    if node.children:
        return [piece for child in node.children for piece in _object(child, widths)]
    pieces = list(node.pieces)
    if _width(pieces, widths) % 2:
        if not node.pad:
            raise EncodeError(f"the value of {node.tag} has an odd number of digits", tag=node.tag)
        pieces.append(Piece(node.pad))
    return pieces


def _width(pieces: Sequence[Piece], widths: Mapping[str, int]) -> int:
    """Count hex digits."""
    return sum(
        len(piece.hex_digits) + (widths.get(piece.name) or ISSUE_FIELDS.get(piece.name, 0))
        for piece in pieces
    )


def _merge(pieces: Sequence[Piece], runs: list[tuple[str, tuple[str, ...]]]) -> list[bytes | int]:
    """Join neighbouring constants, and neighbouring card fields with what is between them into runs."""
    parts: list[bytes | int] = []
    group: list[Piece] = []
    for piece in pieces:
        if piece.name not in ISSUE_FIELDS:
            group.append(piece)
            continue
        parts += [*_group(group, runs), _PLACE.get(piece.name, _CRYPTOGRAM)]
        group = []
    return parts + _group(group, runs)


def _group(group: Sequence[Piece], runs: list[tuple[str, tuple[str, ...]]]) -> list[bytes | int]:
    """Turn pieces that stand together into: constant, run of card fields such as `%sD%s%s%sF5F3401%s`, constant."""
    named = [index for index, piece in enumerate(group) if piece.name]
    if not named:
        return _constant("".join([piece.hex_digits for piece in group]))
    first, last = named[0], named[-1] + 1
    head = "".join([piece.hex_digits for piece in group[:first]])
    tail = "".join([piece.hex_digits for piece in group[last:]])
    text = "".join([piece.hex_digits or "%s" for piece in group[first:last]])
    # A run is whole bytes: a lone digit at either side (such as track 2's padding) goes into it.
    head_even, tail_odd = len(head) - len(head) % 2, len(tail) % 2
    text = head[head_even:] + text + tail[:tail_odd]
    runs.append((text, tuple([group[index].name for index in named])))
    return [*_constant(head[:head_even]), _FIRST_RUN + len(runs) - 1, *_constant(tail[tail_odd:])]


def _constant(hex_digits: str) -> list[bytes | int]:
    return [bytes.fromhex(hex_digits)] if hex_digits else []
