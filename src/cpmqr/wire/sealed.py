"""What is sealed and signed: ENC_DATA's plaintext and AAD, and HASH_CRC (contract §3 and §4). All of it ours."""

from __future__ import annotations

import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Final

from cpmqr.crypto.blocks import Mac, hmac_sha256
from cpmqr.errors import Refusal, UnsealError
from cpmqr.model import HashMode, TokenPan
from cpmqr.record import Leaf
from cpmqr.wire import codes
from cpmqr.wire.contract import REQUEST_MEMBERS, Message, korean_time_s

RESPONSE_MEMBERS: Final = (
    "CPMQR_DATA",
    "CRYPTO_KEY_VER",
    "CRYPTO_TYPE",
    "MSG_CD",
    "MSG_VER",
    "QR_DATA_MAPP_VAL",
    "REQUESTOR_ID",
    "RSLT_CD",
    "RSLT_MSG",
    "RSLT_TYPE",
)  # in ascending order; MSG_ID is left out, MSG_CD stands for it

_COVERED: Final = sorted({member.name for member in REQUEST_MEMBERS} - {"HASH_CRC", "ENC_DATA"})
NO_KEY: Final = hmac_sha256(b"")


class Opened(Leaf):
    """What ENC_DATA held.

    Attributes:
        request_time: as sent, 14 digits. request_at_s: the same in seconds since the Unix epoch.
    """

    pan: TokenPan
    request_time: str
    request_at_s: int


def associated_data(requestor_id: str, crypto_key_ver: str, trace_no: str) -> bytes:
    """Give the AAD that binds a sealed request to its requestor, key version and trace number."""
    return f"cpmqrdatareq|{requestor_id}|{crypto_key_ver}|{trace_no}".encode()


def plaintext(pan: str, request_time: str, trace_no: str) -> bytes:
    """Give the text that is sealed: `PAN|yyyymmddHHMMSS|trace|`, with the trailing bar."""
    return f"{pan}|{request_time}|{trace_no}|".encode()


def decode_enc_data(enc_data: str) -> bytes:
    """Undo the Base64 of ENC_DATA.

    Raises:
        UnsealError: not padded Base64 of RFC 4648, in its one canonical form.
    """
    try:
        blob = binascii.a2b_base64(enc_data, strict_mode=True)
    except ValueError as error:
        raise UnsealError(f"ENC_DATA is not padded Base64: {error}") from None
    # Strict mode still takes surplus padding and stray bits in the last character.
    if binascii.b2a_base64(blob, newline=False) != enc_data.encode():
        raise UnsealError("ENC_DATA is not padded Base64: surplus padding, or bits left over at its end")
    return blob


def read_plaintext(opened: bytes, trace_no: str) -> Opened:
    """Split and check an unsealed text.

    Raises:
        Refusal: 3005; the cause says which of the three is wrong, and never a value.
    """
    try:
        parts = [part.strip(" ") for part in opened.decode().split("|")]
    except UnicodeDecodeError:
        raise _wrong("the plaintext is not UTF-8") from None
    if len(parts) != 4 or parts[3]:
        raise _wrong("the plaintext must be PAN|yyyymmddHHMMSS|trace no| with three bars")
    try:
        pan = TokenPan(parts[0])
    except ValueError as error:
        raise _wrong(f"digital PAN: {error}") from None
    request_at_s = korean_time_s(parts[1])
    if request_at_s is None:
        raise _wrong("the request time must be yyyymmddHHMMSS in Korean time, a real date")
    if parts[2] != trace_no.strip(" "):
        raise _wrong("the trace number inside ENC_DATA is not TRNS_TRCE_NO")
    return Opened(pan, parts[1], request_at_s)


def request_lines(members: Mapping[str, str]) -> tuple[str, str]:
    """Give the canonical lines of a request, those before ENC_DATA's and those after it.

    A line is `NAME=VALUE` and a line feed; they ascend by canonical name.
    """
    before, after = _line_writers(tuple(members))
    return before(members), after(members)


_LineWriter = Callable[[Mapping[str, str]], str]


@lru_cache(maxsize=256)  # a wallet sends the same names each time
def _line_writers(sent: tuple[str, ...]) -> tuple[_LineWriter, _LineWriter]:
    before = [name for name in _COVERED if name in sent and name < "ENC_DATA"]
    after = [name for name in _COVERED if name in sent and name > "ENC_DATA"]
    return _line_writer(before), _line_writer(after)


def _line_writer(names: Sequence[str]) -> _LineWriter:
    if not names:
        return lambda members: ""
    template = "".join([f"{name}=%s\n" for name in names])
    values_of = itemgetter(*names)
    return lambda members: template % values_of(members)


def request_text(members: Mapping[str, str]) -> bytes:
    """Give the canonical text of a request, which HASH_CRC covers."""
    return _request_text(request_lines(members), members.get("ENC_DATA"))


def signed_text(lines: tuple[str, str], message: Message) -> bytes:
    """Give the same for a message whose lines are at hand."""
    return _request_text(lines, message.enc_data)


def _request_text(lines: tuple[str, str], enc_data: str | None) -> bytes:
    before, after = lines
    return (f"{before}{after}" if enc_data is None else f"{before}ENC_DATA={enc_data}\n{after}").encode()


def response_text(members: Mapping[str, str]) -> bytes:
    """Give the canonical text of an answer; MSG_ID and HASH_CRC are left out."""
    return "".join([f"{name}={members[name]}\n" for name in RESPONSE_MEMBERS if name in members]).encode()


def content_text(lines: tuple[str, str], opened: Opened) -> bytes:
    """Give what makes two requests the same (contract §5): canonical lines and plaintext, not the ciphertext."""
    before, after = lines
    return f"{before}{after}{opened.pan.reveal()}|{opened.request_time}".encode()


def hash_crc(mode: HashMode, mac: Mac, text: bytes) -> str:
    """Compute HASH_CRC over a canonical text: Base64 of 32 bytes; "" where the mode is off.

    Args:
        mac: HMAC-SHA-256 under the requestor's key; `NO_KEY` where the mode needs none.
    """
    if mode is HashMode.OFF:
        return ""
    digest = mac(text) if mode is HashMode.HMAC_SHA256 else hashlib.sha256(text).digest()
    return binascii.b2a_base64(digest, newline=False).decode()


def hash_crc_equal(sent: str, computed: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(sent.encode(), computed.encode())


def _wrong(cause: str) -> Refusal:
    return Refusal(codes.PLAINTEXT_WRONG, cause)
