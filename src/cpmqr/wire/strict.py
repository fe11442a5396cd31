"""Read `/v1`'s JSON and query strings strictly: what is not as `wire/v1.py` says is refused, by name and rule.

Names that a sender made up and values that it sent are repeated only where they can't be secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec

from cpmqr.errors import Refusal
from cpmqr.wire import codes, v1

Body = TypeVar("Body", bound=v1.Body)

BODY_BYTES_MAX: Final = 65_536  # as the PAYGW body's
_NAME_CHARACTERS_MAX: Final = 32

_MISSING: Final = re.compile(r"missing required field `(.+?)`")
_UNKNOWN: Final = re.compile(r"contains unknown field `(.*)`", re.DOTALL)
_INVALID_ENUM: Final = re.compile(r"Invalid (?:enum )?value .*?(?= - at |$)", re.DOTALL)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PLACE: Final = re.compile(r" - at `(\$[^`]*)`$")


def read_body(body: bytes, kind: type[Body]) -> Body:
    """Read a JSON body into its struct.

    Raises:
        Refusal: 1001 for what is no JSON object in UTF-8, or holds a member twice; 1002 names the first member that
            is missing; 1003 names the member that is unknown or wrong, and its rule.
    """
    try:
        # json is stricter than msgspec about twins, and laxer about lone surrogates: both must be content.
        json.loads(body.decode(), object_pairs_hook=_no_twins, parse_constant=_no_constant)
        read = msgspec.json.decode(body, type=kind)
    except UnicodeDecodeError as error:
        raise _malformed(f"the body is not valid UTF-8: byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise _malformed(f"not JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    except msgspec.ValidationError as error:
        raise _refused(str(error), kind) from None
    except RecursionError:
        raise _malformed("nested too deeply") from None
    except (msgspec.DecodeError, ValueError):  # half a surrogate pair; a number of thousands of digits
        raise _malformed("not JSON that can be read") from None
    return _without_controls(read)


def read_query(pairs: Iterable[tuple[str, str]], kind: type[Body]) -> Body:
    """Read a query string's pairs into their struct.

    Raises:
        Refusal: 1003 names the parameter that is unknown, twice there or wrong, and its rule.
    """
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise _wrong(f"{shown(name)}: it stands twice in the query")
        values[name] = value
    try:
        read = msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _refused(str(error), kind) from None
    return _without_controls(read)


def shown(name: str) -> str:
    """Give a name that a sender made up, if it looks like one: a hostile name is not repeated."""
    is_name = name.isascii() and name.replace("_", "").isalpha() and len(name) <= _NAME_CHARACTERS_MAX
    return name if is_name else "(unprintable name)"


def _without_controls(read: Body) -> Body:
    """Refuse control characters in any text: no member has a use for them, and Python's `$` lets a last \\n pass."""
    for name in read.__struct_fields__:
        value = getattr(read, name)
        texts = value if isinstance(value, list) else [value]
        if any(isinstance(text, str) and _CONTROL.search(text) for text in texts):
            raise _wrong(f"{name}: without control characters")
    return read


def _refused(message: str, kind: type[v1.Body]) -> Refusal:
    """Put msgspec's words into ours: which member, which rule, no value."""
    missing = _MISSING.search(message)
    if missing:
        return Refusal(codes.MEMBER_MISSING, f"{missing[1]} is missing")
    unknown = _UNKNOWN.search(_PLACE.sub("", message))
    if unknown:
        known = ", ".join(kind.__struct_fields__) or "none"
        return _wrong(f"{shown(unknown[1])} is not known here; known are: {known}")
    place = _PLACE.search(message)
    if place is None or place[1] == "$":
        return _malformed("the body must be a JSON object")
    rule = _PLACE.sub("", _INVALID_ENUM.sub("not one of the values that it may have", message))
    return _wrong(f"{place[1].removeprefix('$.')}: {rule[:1].lower()}{rule[1:].replace('`', '')}")


def _no_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in names if names.count(name) > 1)
        raise _malformed(f"member {shown(twin)} stands twice in one object")
    return members


def _no_constant(name: str) -> object:
    raise _malformed(f"{name} is not JSON")


def _malformed(cause: str) -> Refusal:
    return Refusal(codes.NOT_THE_FORMAT, cause)


def _wrong(cause: str) -> Refusal:
    return Refusal(codes.MEMBER_WRONG, cause)
