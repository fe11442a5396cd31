"""A scheme profile's layout, compiled into an encoder that does the least for each payload.

Three steps, each as seldom as can be:

1. for cards of one *shape* (so many digits of PAN and of discretionary data): tags, lengths and fixed values of the
   layout become constants. Lengths depend on nothing else;
2. for one second and key index: these too become constants (a busy gateway issues many QRs in a second);
3. for each payload: constants and variables are put in order and joined, by two calls into C.

So no tree is walked and no length is computed while a wallet waits. What was tried, and what it gave, is in
`docs/performance-toolkit.md`.
"""

from __future__ import annotations

from binascii import a2b_hex
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Final

from cpmqr.crypto.blocks import EncryptBlocks
from cpmqr.emv.card import CardData
from cpmqr.emv.cryptogram import ARQC_BYTES, CryptogramScheme, generate_arqc
from cpmqr.emv.layout import CARD_FIELDS, ISSUE_FIELDS
from cpmqr.emv.tlv import length_octets
from cpmqr.emv.track2 import TRACK2_BYTES_MAX
from cpmqr.errors import EncodeError
from cpmqr.record import Frozen

__all__ = ["CardData", "CompiledProfile", "Node", "Piece"]

_TRACK2_PIECES: Final = ("pan", "D", "expiry", "service_code", "discretionary")  # `CardData.track2`
_TEMPLATES_MAX: Final = 64  # shapes times seconds; more are of no use, since seconds pass
_KEY_INDEX: Final = {spelled: bytes([n]) for n in range(256) for spelled in (f"{n:02X}", f"{n:02x}")}


class Piece(Frozen):
    """A part of a value: fixed hex digits, or the name of a placeholder."""

    hex_digits: str = ""
    name: str = ""


class Node(Frozen):
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
        self._shapes: dict[int, _Shape] = {}
        self._templates: dict[tuple[int, str, str], _Template] = {}
        self._cryptogram_bytes = ARQC_BYTES if scheme else 0

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
        if self._scheme is None:
            return self.encode(card, atc, unpredictable_number, issued_at, dki)
        template = self._template(card, issued_at, dki)
        values = template.values(card, atc, unpredictable_number)
        data = b"".join(template.signed(values))
        arqc = generate_arqc(encrypt, card.pan, card.psn, atc, data, self._scheme)
        return b"".join(template.payload((*values[:_CRYPTOGRAM_AT], arqc, *values[_CRYPTOGRAM_AT + 1 :])))

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
        template = self._template(card, issued_at, dki)
        if len(cryptogram) != self._cryptogram_bytes:
            raise _wrong_width()
        return b"".join(template.payload(template.values(card, atc, unpredictable_number, cryptogram)))

    def expected_cryptogram(
        self,
        encrypt: EncryptBlocks,
        card: CardData,
        atc: int,
        unpredictable_number: bytes,
        issued_at: str,
        dki: str,
    ) -> bytes:
        """Give the cryptogram that `issue` puts into the payload, to compare with one received.

        Args and raises: as `issue`; EncodeError too where the profile has no cryptogram.
        """
        scheme = self._need_scheme()
        template = self._template(card, issued_at, dki)
        data = b"".join(template.signed(template.values(card, atc, unpredictable_number)))
        return generate_arqc(encrypt, card.pan, card.psn, atc, data, scheme)

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
        shape = self._shapes.get(card.shape)
        if shape is None:
            shape = self._shapes[card.shape] = _Shape(self._nodes, self._input_tags, card)
        return shape

    def _template(self, card: CardData, issued_at: str, dki: str) -> _Template:
        """Give the template for this shape, second and key index; it is made once and kept."""
        key = (card.shape, issued_at, dki)
        template = self._templates.get(key)
        if template is None:
            if len(self._templates) >= _TEMPLATES_MAX:
                self._templates.clear()
            template = self._templates[key] = self._shape(card).at(issued_at, dki)
        return template


class _Run(Frozen):
    """Card fields that make whole bytes together, as a text: `%sD%s%s0F`."""

    text: str
    fields: tuple[str, ...]


_Part = bytes | str | _Run
"""A part of a template: a constant, the name of a field, or card fields in a layout of the profile's own."""

# Variables that nearly every layout has, in the order in which `CompiledProfile` lines them up. Runs come after
# them, constants last: so a variable's place depends on nothing.
_VARIABLES: Final = ("atc", "unpredictable_number", "track2", "psn", "cryptogram")
_CRYPTOGRAM_AT: Final = _VARIABLES.index("cryptogram")
_Picker = Callable[[tuple[bytes, ...]], tuple[bytes, ...]]


def _wrong_width() -> EncodeError:
    return EncodeError(
        "the ATC is 0 to 65535, the unpredictable number 4 bytes, the cryptogram the profile's"
    )


class _Shape:
    """A layout for cards whose PANs and discretionary data are of one length."""

    def __init__(self, nodes: Sequence[Node], input_tags: Sequence[str], card: CardData) -> None:
        widths = CARD_FIELDS | {"pan": len(card.pan), "discretionary": len(card.discretionary)}
        by_tag = {node.tag: node for node in reversed(all_nodes(nodes))}
        payload = [part for node in nodes for part in _object_parts(node, widths)]
        signed = [part for tag in input_tags for part in _value_parts(by_tag[tag], widths)]
        runs = list(dict.fromkeys([part for part in (*payload, *signed) if isinstance(part, _Run)]))
        place = {part: number for number, part in enumerate((*_VARIABLES, *runs))}
        # What is left: a constant, a place among the variables, or a field that becomes a constant in `at`.
        self._payload = [place.get(part, part) for part in payload]
        self._input = [place.get(part, part) for part in signed]
        self._runs = tuple([(run.text, attrgetter(*run.fields)) for run in runs])

    def at(self, issued_at: str, dki: str) -> _Template:
        """Make the template for one second and key index."""
        index = _KEY_INDEX.get(dki)
        if index is None:
            raise EncodeError("the key index is 2 hex digits", tag="9F10")
        if len(issued_at) != 14 or not (issued_at.isascii() and issued_at.isdigit()):
            raise EncodeError("the issue time is yyyymmddHHMMSS", tag="9F10")
        known = {"issued_at": a2b_hex(issued_at), "dki": index}
        constants = [b""]
        base = len(_VARIABLES) + len(self._runs)
        payload = _order(self._payload, known, constants, base)
        signed = _order(self._input, known, constants, base)
        return _Template(tuple(constants), payload, signed, self._runs)


class _Template:
    """What is left to do for one payload: put variables and constants in order, and join them.

    Attributes:
        constants: what does not change. payload, signed: pick from `variables + runs + constants`.
        runs: card fields in a layout of the profile's own; () for most profiles.
    """

    __slots__ = ("constants", "payload", "runs", "signed")

    def __init__(
        self,
        constants: tuple[bytes, ...],
        payload: _Picker,
        signed: _Picker,
        runs: tuple[tuple[str, Callable[[CardData], object]], ...],
    ) -> None:
        self.constants = constants
        self.payload = payload
        self.signed = signed
        self.runs = runs

    def values(
        self, card: CardData, atc: int, unpredictable_number: bytes, cryptogram: bytes = b""
    ) -> tuple[bytes, ...]:
        """Line up what `payload` and `signed` pick from."""
        try:
            counter = atc.to_bytes(2)
        except OverflowError:
            raise _wrong_width() from None
        if len(unpredictable_number) != 4:
            raise _wrong_width()
        variables = (counter, unpredictable_number, card.track2, card.psn_bytes, cryptogram)
        if not self.runs:
            return variables + self.constants
        return (*variables, *[a2b_hex(text % fields(card)) for text, fields in self.runs], *self.constants)


def _order(
    parts: Sequence[bytes | str | int | _Run], known: Mapping[str, bytes], constants: list[bytes], base: int
) -> _Picker:
    """Make a picker, joining constants that stand side by side and adding them to `constants`."""
    order: list[int] = []
    constant = b""
    for part in parts:
        if isinstance(part, int):
            if constant:
                order.append(base + len(constants))
                constants.append(constant)
                constant = b""
            order.append(part)
        elif isinstance(part, bytes):
            constant += part
        elif isinstance(part, str):
            constant += known[part]
    if constant:
        order.append(base + len(constants))
        constants.append(constant)
    # itemgetter gives a bare item for one place and none for no place: the empty constant fills up to two.
    return itemgetter(*order, *[base] * max(0, 2 - len(order)))


def all_nodes(nodes: Sequence[Node]) -> list[Node]:
    """List a layout's objects in their order, each template before its children."""
    return [found for node in nodes for found in (node, *all_nodes(node.children))]


def _object_parts(node: Node, widths: Mapping[str, int]) -> list[_Part]:
    """Give the parts of a whole object: tag and length, then its value."""
    length = _object_length(node, widths)
    if node.tag == "57" and length > TRACK2_BYTES_MAX:
        raise EncodeError(
            f"track 2 of this card would be {length} bytes, {TRACK2_BYTES_MAX} at most",
            tag="57",
            section="EMV Book 3 Annex A",
        )
    return [bytes.fromhex(node.tag) + length_octets(length), *_value_parts(node, widths)]


def _object_length(node: Node, widths: Mapping[str, int]) -> int:
    """Give a value's length in bytes, padding included."""
    if node.children:
        inner = [_object_length(child, widths) for child in node.children]
        tags = [len(child.tag) // 2 for child in node.children]
        return sum(inner) + sum(tags) + sum([len(length_octets(length)) for length in inner])
    return (_digit_count(node.pieces, widths) + 1) // 2


def _digit_count(pieces: Sequence[Piece], widths: Mapping[str, int]) -> int:
    return sum(
        [len(piece.hex_digits) + widths.get(piece.name, ISSUE_FIELDS.get(piece.name, 0)) for piece in pieces]
    )


def _value_parts(node: Node, widths: Mapping[str, int]) -> list[_Part]:
    """Give a value's parts; digits that stand together make one constant or one run of card fields."""
    if node.children:
        return [part for child in node.children for part in _object_parts(child, widths)]
    pieces = list(node.pieces)
    if _digit_count(pieces, widths) % 2:
        if not node.pad:
            raise EncodeError(f"the value of {node.tag} has an odd number of digits", tag=node.tag)
        pieces.append(Piece(node.pad))
    if node.pad == "F" and [piece.hex_digits or piece.name for piece in node.pieces] == list(_TRACK2_PIECES):
        return ["track2"]
    parts: list[_Part] = []
    digits: list[Piece] = []
    for piece in pieces:
        if piece.name in ISSUE_FIELDS:
            parts += [*_digits_part(digits), piece.name]
            digits = []
        else:
            digits.append(piece)
    return parts + _digits_part(digits)


def _digits_part(pieces: Sequence[Piece]) -> list[_Part]:
    names = tuple([piece.name for piece in pieces if piece.name])
    if names == ("psn",) and len(pieces) == 1:
        return ["psn"]
    text = "".join([piece.hex_digits or "%s" for piece in pieces])
    if names:
        return [_Run(text, names)]
    return [bytes.fromhex(text)] if text else []
