"""From what people and cameras bring (Base64, hex, bytes) to the binary payload.

A QR holds Base64 of RFC 4648. Logs and mails add line breaks, web addresses take the URL-safe alphabet, terminals
print hex with blanks: all are read. What damages the text is refused, with the place in it, or forgiven and named.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

import msgspec

from cpmqr.errors import DecodeError

PAYLOAD_BYTES_MAX: Final = 4_096  # a QR holds 2,953 bytes of Base64, which is 2,214 bytes of payload
TEXT_CHARACTERS_MAX: Final = 16_384  # the above in hex with blanks, and to spare
BASE64_START: Final = "hQVDUFY"  # 85 05 "CPV": how the Base64 of every CPM payload begins
SECTION: Final = "CPM 3.2; RFC 4648"

_HEX: Final = re.compile(r"[0-9A-Fa-f\s]+")
_LINE_BREAKS: Final = str.maketrans("", "", "\r\n")
_FOREIGN: Final = re.compile(r"[^A-Za-z0-9+/=]")
_URL_SAFE: Final = str.maketrans("-_", "+/")


class Source(msgspec.Struct, frozen=True):
    """How a payload came.

    Attributes:
        encoding: "base64", "base64url", "hex" or "binary".
        binary: the payload.
        text_length: characters of Base64 that the QR holds, or would hold.
        forgiven: what a lenient reading let pass, in words.
    """

    encoding: str
    binary: bytes
    text_length: int
    forgiven: tuple[str, ...] = ()

    def forgiving(self, *texts: str) -> Source:
        """Give the same with more that was let pass."""
        if not texts:
            return self
        return Source(self.encoding, self.binary, self.text_length, (*self.forgiven, *texts))

    def __repr__(self) -> str:
        return f"<{self.encoding}, {len(self.binary)} bytes>"


def read_source(source: str | bytes, *, lenient: bool = False) -> Source:
    """Turn text or bytes into the binary payload.

    Bytes that begin as the text of a payload does are read as text; other bytes are the payload itself.

    Raises:
        DecodeError: empty, too long, neither Base64 nor hex.
    """
    if isinstance(source, str):
        return _read_text(source, lenient)
    if not isinstance(source, (bytes, bytearray, memoryview)):
        raise DecodeError("a payload is text or bytes")
    binary = bytes(source)
    head = binary[: len(BASE64_START) + 3].lstrip()
    if head.startswith((BASE64_START.encode(), b"8505")) and binary.isascii():
        return _read_text(binary.decode("ascii"), lenient)
    return _checked(Source("binary", binary, _base64_length(binary)))


def _read_text(text: str, lenient: bool) -> Source:
    if len(text) > TEXT_CHARACTERS_MAX:
        raise DecodeError(f"over {TEXT_CHARACTERS_MAX} characters", section=SECTION)
    text = text.strip()
    if not text:
        raise DecodeError("nothing there", section=SECTION)
    if text.startswith(BASE64_START):
        return _checked(_read_base64(text, lenient))
    if _HEX.fullmatch(text) and text.isascii():
        return _checked(_read_hex(text))
    return _checked(_read_base64(text, lenient))


def _checked(source: Source) -> Source:
    if not source.binary:
        raise DecodeError("nothing there", section=SECTION)
    if len(source.binary) > PAYLOAD_BYTES_MAX:
        raise DecodeError(
            f"{len(source.binary)} bytes: over the {PAYLOAD_BYTES_MAX} that any QR could hold",
            section=SECTION,
        )
    return source


def _read_hex(text: str) -> Source:
    digits = "".join(text.split())
    if len(digits) % 2:
        raise DecodeError(f"an odd number of hex digits ({len(digits)})", section=SECTION)
    binary = bytes.fromhex(digits)
    return Source("hex", binary, _base64_length(binary))


def _read_base64(text: str, lenient: bool) -> Source:
    """Read Base64; if `lenient`, mend it first and say how."""
    forgiven: tuple[str, ...] = ()
    encoding = "base64"
    if lenient:
        text, forgiven = _mended(text)
    if not text.isalnum():
        text = text.translate(_LINE_BREAKS)
        if ("-" in text or "_" in text) and "+" not in text and "/" not in text:
            encoding, text = "base64url", text.translate(_URL_SAFE)
            if "=" not in text:
                text += "=" * (-len(text) % 4)  # RFC 4648 §5: the URL-safe form may leave its padding out
    try:
        binary = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # binascii.Error, or text outside ASCII
        raise DecodeError(_why_not_base64(text), section=SECTION) from None
    if len(text) % 4 or text.endswith("==="):
        # Python's strict mode lets padding pass that completes nothing.
        raise DecodeError(_why_not_base64(text), section=SECTION)
    return Source(encoding, binary, len(text), forgiven)


def _mended(text: str) -> tuple[str, tuple[str, ...]]:
    """Take blanks out, cut a second payload off, complete the padding."""
    forgiven: list[str] = []
    text = text.translate(_LINE_BREAKS)
    joined = "".join(text.split())
    if joined != text:
        blanks = len(text) - len(joined)
        forgiven.append(f"{blanks} blank{'s' * (blanks > 1)} inside the Base64 text")
    second = joined.find(BASE64_START, 1)
    if second > 0 and joined.startswith(BASE64_START):
        joined = joined[:second]
        forgiven.append(f"a second payload, pasted behind the first at character {second}")
    if len(joined) % 4 and "=" not in joined:
        joined += "=" * (-len(joined) % 4)
        forgiven.append("the Base64 padding, which is missing")
    return joined, tuple(forgiven)


def _why_not_base64(text: str) -> str:
    """Say what stands in the way, without repeating the text."""
    second = text.find(BASE64_START, 1)
    if second > 0 and text.startswith(BASE64_START):
        return f"two payloads pasted together: the second begins at character {second}"
    foreign = _FOREIGN.search(text)
    if foreign:
        kind = "a blank" if foreign[0].isspace() else "a character that is none of Base64's"
        return f"not Base64: {kind} at character {foreign.start()}"
    padding = text.find("=")
    if 0 <= padding < len(text.rstrip("=")):
        return f"not Base64: padding in mid-text, at character {padding}"
    if len(text) % 4 == 1:
        return f"not Base64: {len(text)} characters can't be whole bytes; one is lost or too many"
    return "not Base64: its padding is missing or wrong"


def _base64_length(binary: bytes) -> int:
    return (len(binary) + 2) // 3 * 4
