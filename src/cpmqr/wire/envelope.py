"""The envelope: JSON bytes in, members out, and back (contract §1).

Reading has two paths with one meaning. The fast one is a single pass of msgspec into the shape of a good message.
Whatever it does not take, and whatever might hide a member twice, goes through the slow one, which finds out
exactly what is wrong. A message that the fast path takes, the slow one takes too, with the same members: a test
holds them against each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal

import msgspec

from cpmqr.errors import Refusal
from cpmqr.record import Frozen
from cpmqr.wire import codes, shape

BODY_BYTES_MAX: Final = 65_536  # contract §1
REQID: Final = "cpmqrdatareq"
VERSION: Final = "1.0"
CHARSETS: Final = ("utf-8", "euc-kr")

Kind = Literal["REQUEST", "RESPONSE"]


class Envelope(Frozen):
    """What stood in PAYGW.

    `members` are as sent, both spellings. In a request each value is a string, but for what `not_strings` names:
    members whose JSON value was something else.
    """

    reqid: str
    version: str
    members: dict[str, str]
    not_strings: Mapping[str, str] = {}


_encode = msgspec.json.Encoder().encode

# PAYGW, REQID and its value, VERSION and its value, REQUEST: six strings around the members.
_STRINGS_AROUND: Final = 6


def read_request(body: bytes, charset: str = "utf-8") -> Envelope:
    """Read a request's envelope. Whose and which version it is, `check` tells, once the members can be echoed.

    Raises:
        Refusal: 1001 for what is no JSON or no envelope.
    """
    if charset != "utf-8":
        body = _recode(body, charset)
    try:
        paygw = shape.read_request(body).PAYGW
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_slowly(body, "REQUEST")
    # Each string of the text has two quotes, and a quote within a string is escaped. So a text with just the quotes
    # of the strings that came out can hold no member twice: the twin, which msgspec drops, would add its own.
    if body.count(b'"') != 2 * (_STRINGS_AROUND + 2 * len(paygw.REQUEST)):
        return _read_slowly(body, "REQUEST")
    return Envelope(paygw.REQID, paygw.VERSION, paygw.REQUEST)


def read_response(body: bytes) -> Envelope:
    """Read an answer's envelope, as a client does.

    Raises:
        Refusal: 1001, 1004 or 1005, as for a request.
    """
    answer = _read_slowly(body, "RESPONSE")
    check(answer)
    return answer


def check(envelope: Envelope) -> None:
    """Refuse an envelope of another message or version.

    Raises:
        Refusal: 1004 for an unknown REQID, 1005 for an unknown VERSION.
    """
    if envelope.reqid != REQID:
        raise Refusal(codes.UNKNOWN_MESSAGE, f"REQID must be {REQID}")
    if envelope.version != VERSION:
        raise Refusal(codes.UNKNOWN_VERSION, f"VERSION must be {VERSION}")


def write(kind: Kind, members: Mapping[str, str]) -> bytes:
    """Put members into an envelope: compact JSON in UTF-8."""
    return _encode({"PAYGW": {"REQID": REQID, "VERSION": VERSION, kind: members}})


@lru_cache(maxsize=64)  # a wallet sends the same one each time
def charset_of(content_type: str) -> str:
    """Read a Content-Type header; return the charset, "utf-8" or "euc-kr".

    Raises:
        Refusal: 1007 if it is not application/json, or in another charset.
    """
    media_type, *parameters = (part.strip() for part in content_type.lower().split(";"))
    if media_type != "application/json":
        sent = "no Content-Type" if not content_type else "another Content-Type"
        raise Refusal(
            codes.CONTENT_TYPE, f"{sent} was sent; send Content-Type: application/json; charset=utf-8"
        )
    charset = "utf-8"
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset":
            charset = value.strip().strip('"')
    if charset in ("utf8", "utf-8"):
        return "utf-8"
    if charset in ("euc-kr", "euckr", "ks_c_5601-1987"):
        return "euc-kr"
    raise Refusal(codes.CONTENT_TYPE, "charset must be utf-8 (or euc-kr, declared)")


def _recode(body: bytes, charset: str) -> bytes:
    try:
        return body.decode(charset).encode()
    except UnicodeDecodeError as error:
        raise _malformed(f"the body is not valid {charset}: byte {error.start}") from None


def _read_slowly(body: bytes, kind: Kind) -> Envelope:
    try:
        # Strict on purpose: json would take UTF-16, a BOM and lone surrogates, and keep the last of two members.
        tree = json.loads(
            body.decode(), object_pairs_hook=_no_twins, parse_constant=_no_constant, parse_int=float
        )
    except UnicodeDecodeError as error:
        raise _malformed(f"the body is not valid UTF-8: byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise _malformed(
            f"not JSON: {error.msg.removesuffix(' at')} at line {error.lineno} column {error.colno}"
        ) from None
    except RecursionError:
        raise _malformed("nested too deeply") from None
    paygw = _object(tree, "the body", "PAYGW")
    message = _object(paygw, "PAYGW", kind)
    reqid, version = (_string(paygw, name) for name in ("REQID", "VERSION"))
    if _has_lone_surrogate(message):
        raise _malformed("a member holds half of a surrogate pair")
    members = {name: value for name, value in message.items() if isinstance(value, str)}
    not_strings = {name: _json_type(value) for name, value in message.items() if not isinstance(value, str)}
    return Envelope(reqid, version, members, not_strings)


def _object(holder: object, where: str, name: str) -> dict[str, object]:
    if not isinstance(holder, dict):
        raise _malformed(f"{where} must be a JSON object")
    if name not in holder:
        raise _malformed(f'{where} must hold "{name}": {{…}}')
    inner = holder[name]
    if not isinstance(inner, dict):
        raise _malformed(f"{name} must be a JSON object")
    return inner


def _string(holder: dict[str, object], name: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str):
        raise _malformed(f"PAYGW must hold {name} as a string")
    return value


def _no_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members: dict[str, object] = {}
    for name, value in pairs:
        if name in members:
            raise _malformed(f"member {_shown(name)} stands twice in one object")
        members[name] = value
    return members


def _no_constant(name: str) -> object:
    raise _malformed(f"{name} is not JSON")


def _has_lone_surrogate(message: dict[str, object]) -> bool:
    texts = (text for pair in message.items() for text in pair if isinstance(text, str))
    return any(0xD800 <= ord(character) <= 0xDFFF for text in texts for character in text)


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    return "a number" if isinstance(value, float) else "an array" if isinstance(value, list) else "an object"


def _shown(name: str) -> str:
    """A member's name, if it looks like one: a hostile name is not repeated."""
    return (
        name
        if len(name) <= 20 and name.isascii() and name.replace("_", "").isalpha()
        else "(unprintable name)"
    )


def _malformed(cause: str) -> Refusal:
    return Refusal(codes.NOT_THE_FORMAT, cause)
