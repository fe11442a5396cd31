"""BER-TLV as EMV uses it: a tag says what, a length how many bytes, a value the rest; templates hold more of them.

    85 05 4350563031          tag 85, 5 bytes, "CPV01"
    61 5A 4F 07 …             template 61, 90 bytes, which are themselves data objects
    9F27 01 80                a two-byte tag: its first byte ends in 11111

A tag's sixth bit tells a template from a value, so a reader needs no dictionary to find the tree. What was read
keeps its place and its very bytes: repeated tags, their order and odd lengths all survive.

Source: EMV Book 3 Annex B; ISO/IEC 8825-1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NoReturn

import msgspec

from cpmqr.errors import DecodeError, EncodeError

BYTES_MAX: Final = 65_536  # an authorisation message's ICC data are 255 bytes, a QR holds 2,953
DEPTH_MAX: Final = 8  # a CPM payload is three deep
TAG_BYTES_MAX: Final = 4  # EMV has tags of one and two bytes, some kernels of three
SECTION: Final = "EMV Book 3 Annex B"

_LENGTH_OCTETS_MAX: Final = 4
_TEMPLATE_BIT: Final = 0x20
_LONG_TAG: Final = 0x1F
_ONE_BYTE_TAGS: Final = tuple(f"{byte:02X}" for byte in range(256))
_TWO_BYTE_TAGS: Final = {
    first << 8 | second: f"{first:02X}{second:02X}"
    for first in range(_LONG_TAG, 256, 0x20)
    for second in range(0x80)
}


class DataObject(msgspec.Struct, frozen=True, gc=False):
    """A tag with its value; a template has children as well.

    Attributes:
        tag: upper-case hex.
        value: the bytes after the length; a template's are its children's.
        children: what a template holds, in order; () for a value.
        offset: of the tag's first byte in the binary that it was read from; -1 for one that was built.
        odd_header: tag and length bytes as they were read, where the length was not the shortest; else b"".
    """

    tag: str
    value: bytes
    children: tuple[DataObject, ...] = ()
    offset: int = -1
    odd_header: bytes = b""

    @property
    def is_template(self) -> bool:
        """Tell whether the tag is a template's."""
        return bool(int(self.tag[:2], 16) & _TEMPLATE_BIT)

    @property
    def header(self) -> bytes:
        """Give tag and length bytes."""
        return self.odd_header or bytes.fromhex(self.tag) + length_octets(len(self.value))

    @property
    def raw(self) -> bytes:
        """Give the whole object as bytes, the very ones that it was read from."""
        return self.header + self.value

    @property
    def value_offset(self) -> int:
        """Give the offset of the value's first byte, where the object was read."""
        return self.offset + len(self.header)

    def first(self, tag: str) -> DataObject | None:
        """Give the first child with this tag."""
        for child in self.children:
            if child.tag == tag:
                return child
        return None

    def __repr__(self) -> str:
        # The value stays out: it may be a PAN.
        where = f" at {self.offset}" if self.offset >= 0 else ""
        inside = f" {[child.tag for child in self.children]}" if self.children else ""
        return f"<{self.tag}{where}, {len(self.value)} bytes{inside}>"


def primitive(tag: str, value: bytes) -> DataObject:
    """Build a data object that holds a value.

    Raises:
        EncodeError: `tag` is no tag, or a template's.
    """
    if _checked_tag(tag) & _TEMPLATE_BIT:
        raise EncodeError(f"{tag} is a template's tag", tag=tag, section=SECTION)
    return DataObject(tag, value)


def template(tag: str, *children: DataObject) -> DataObject:
    """Build a template from its children, in their order.

    Raises:
        EncodeError: `tag` is no tag, or not a template's.
    """
    if not _checked_tag(tag) & _TEMPLATE_BIT:
        raise EncodeError(f"{tag} is not a template's tag", tag=tag, section=SECTION)
    return DataObject(tag, build(children), children)


def build(objects: Sequence[DataObject]) -> bytes:
    """Write data objects one after the other.

    What was read goes back as the bytes that it was, odd lengths included.
    """
    return b"".join([item.raw for item in objects])


def parse(data: bytes, *, opaque: frozenset[str] = frozenset()) -> tuple[DataObject, ...]:
    """Read data objects until the bytes end; templates are read into, to the last level.

    Args:
        data: at most 65,536 bytes.
        opaque: tags of templates that stay closed: whatever they hold, they get no children.

    Raises:
        DecodeError: truncated, a child longer than its parent, an indefinite length, no tag, too deep, too long.
    """
    return _Reader(data, _refuse, opaque).read_all()


def parse_leniently(data: bytes) -> tuple[tuple[DataObject, ...], list[DecodeError]]:
    """Read as `parse` does, but let pass what is known from the field; give the objects, and what was let pass.

    Forgiven: a length of 128 or more that stands as one byte (`61 93` for `61 81 93`), as three widely used
    encoders write it, where the bytes leave no doubt.

    Raises:
        DecodeError: anything else that `parse` refuses.
    """
    forgiven: list[DecodeError] = []

    def judge(error: DecodeError, forgivable: bool) -> None:
        if not forgivable:
            raise error
        forgiven.append(error)

    return _Reader(data, judge).read_all(), forgiven


def parse_tolerantly(data: bytes) -> tuple[tuple[DataObject, ...], list[DecodeError]]:
    """Read as much as can be read, for people; give the objects, and everything that `parse` would have refused.

    A value that runs past its parent is cut there; after a fault that hides where the next object begins, the
    rest of that level is left out. Raises nothing.
    """
    faults: list[DecodeError] = []
    return _Reader(data, lambda error, _: faults.append(error)).read_all(), faults


def walk(objects: Sequence[DataObject]) -> Iterator[DataObject]:
    """Give every object, each template before its children."""
    for item in objects:
        yield item
        yield from walk(item.children)


def length_octets(length: int) -> bytes:
    """Encode a length in the fewest bytes: itself up to 127, else 81, 82… and the bytes that it needs."""
    if length < 0x80:
        return bytes((length,))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(octets),)) + octets


_Judge = Callable[[DecodeError, bool], None]
"""Raises a fault, or takes note of it so that reading goes on; the flag says that it may be forgiven."""


def _refuse(error: DecodeError, _: bool) -> NoReturn:
    raise error


class _Reader:
    """Walks over one binary; what to do about a fault is its judge's matter."""

    def __init__(self, data: bytes, judge: _Judge, opaque: frozenset[str] = frozenset()) -> None:
        self.data = data[:BYTES_MAX]
        self.judge = judge
        self.opaque = opaque
        if len(data) > BYTES_MAX:
            self.fault(f"over {BYTES_MAX} bytes", BYTES_MAX)

    def read_all(self) -> tuple[DataObject, ...]:
        return self.read(0, len(self.data), 1)

    def read(self, position: int, end: int, depth: int) -> tuple[DataObject, ...]:
        """Read the objects in `data[position:end]`."""
        data = self.data
        objects: list[DataObject] = []
        while position < end:
            first = data[position]
            at = position + 1
            if first & _LONG_TAG != _LONG_TAG:
                tag = _ONE_BYTE_TAGS[first]
            else:
                tag = _TWO_BYTE_TAGS.get(first << 8 | data[at], "") if at < end else ""
                at += 1
            if not tag or not first:
                tag, at = self.rare_tag(position, end)
                if not tag:
                    break
            if at >= end:
                self.fault("no length follows", position, tag)
                break
            length = data[at]
            value_at = at + 1
            odd_header = b""
            if length >= 0x80:
                length, value_at = self.long_length(position, tag, at, end)
                if length < 0:
                    break
                if data[at:value_at] != length_octets(length):
                    odd_header = data[position:value_at]
            value_end = value_at + length
            if value_end > end:
                self.fault(f"length {length} runs past the end ({end - value_at} bytes left)", position, tag)
                value_end = end
                odd_header = data[position:value_at]  # as written, though the value is cut
            children: tuple[DataObject, ...] = ()
            if first & _TEMPLATE_BIT and tag not in self.opaque:
                if depth <= DEPTH_MAX:
                    children = self.read(value_at, value_end, depth + 1)
                else:
                    self.fault(f"templates nested more than {DEPTH_MAX} deep", position, tag)
            objects.append(DataObject(tag, data[value_at:value_end], children, position, odd_header))
            position = value_end
        return tuple(objects)

    def rare_tag(self, position: int, end: int) -> tuple[str, int]:
        """Read a tag of three bytes or more, and the offset behind it; "" where there is none."""
        first = self.data[position]
        stop = position + 2
        while stop < end and self.data[stop - 1] & 0x80:
            stop += 1
        if not first:
            # BER's end of contents, which indefinite lengths need; padding in card files, but not in a payload.
            self.fault("00 is no tag", position)
        elif stop > end or self.data[stop - 1] & 0x80:
            self.fault("the tag does not end", position)
        elif stop - position > TAG_BYTES_MAX:
            self.fault(f"a tag of more than {TAG_BYTES_MAX} bytes", position)
        else:
            return self.data[position:stop].hex().upper(), stop
        return "", position

    def long_length(self, position: int, tag: str, at: int, end: int) -> tuple[int, int]:
        """Read a length whose first byte is 80 or more, and the offset behind it; -1 where there is none."""
        first = self.data[at]
        if first == 0x80:
            self.fault("indefinite length (80)", position, tag)
            return -1, at
        value_at = at + 1 + (first & 0x7F)
        fits_as_one_byte = at + 1 + first <= end
        if first & 0x7F <= _LENGTH_OCTETS_MAX and value_at <= end:
            length = int.from_bytes(self.data[at + 1 : value_at], "big")
            if value_at + length <= end or not fits_as_one_byte:
                return length, value_at
        if not fits_as_one_byte:
            self.fault(f"{first:02X} is no length that fits", position, tag)
            return -1, at
        self.fault(
            f"{first:02X} is no length; read as {first} it fits: the issuer left out 81",
            position,
            tag,
            forgivable=True,
        )
        return first, at + 1

    def fault(self, text: str, offset: int, tag: str | None = None, *, forgivable: bool = False) -> None:
        where = f": tag {tag} at byte {offset}" if tag else f" at byte {offset}"
        self.judge(DecodeError(text + where, offset=offset, section=SECTION, tag=tag), forgivable)


def _checked_tag(tag: str) -> int:
    """Give a tag's first byte.

    Raises:
        EncodeError: it would not be read back as this one tag.
    """
    try:
        octets = bytes.fromhex(tag)
        read = parse(octets + b"\x00")
    except ValueError:
        _refuse_tag(tag)
    if len(read) != 1 or read[0].tag != tag:
        _refuse_tag(tag)
    return octets[0]


def _refuse_tag(tag: str) -> NoReturn:
    raise EncodeError(f"{tag[:8]!r} is no tag in upper-case hex", section=SECTION)
