"""What a payload does otherwise than a scheme's profile: objects that lack, objects that are new, other values.

All of it is a warning: a profile says what a scheme usually sends, and schemes change. A placeholder stands for any
value of its kind, a parameter for any value at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from cpmqr.emv.cpm import Payload
from cpmqr.emv.findings import FINDINGS_MAX, Finding, Level, paths
from cpmqr.emv.layout import CARD_FIELDS, ISSUE_FIELDS, PLACEHOLDER, Line
from cpmqr.emv.tlv import DataObject

if TYPE_CHECKING:
    from cpmqr.emv.profile import Profile

_ANY_LENGTH: Final = {"pan": "[0-9]{8,19}", "discretionary": "[0-9]*"}
_VALUE_BYTES_MAX: Final = 252  # what a template can hold; patterns of several parameters take time for more
_RID_BYTES: Final = 5  # of an AID: the scheme as ISO/IEC 7816-5 registers it; the rest is the scheme's own
_SCHEME: Final = "profile-scheme"
_LACKS: Final = "profile-lacks"
_EXTRA: Final = "profile-extra"
_ORDER: Final = "profile-order"
_VALUE: Final = "profile-value"

_Difference = tuple[str, str, DataObject | None]
"""Rule, text, and the object at fault; None for the payload as a whole."""


def differences(profile: Profile, payload: Payload) -> list[Finding]:
    """Give what a payload does otherwise than `profile`; all warnings, in no particular order.

    A payload whose first object is not 85 is compared as it stands.
    """
    compared = chain(_another_scheme(profile, payload), _compare(profile.layout, payload.objects, None))
    found = list(islice(compared, FINDINGS_MAX))
    where = paths(payload.objects, {id(item) for _, _, item in found})
    return [
        Finding(
            Level.WARNING,
            rule,
            text,
            item.offset if item is not None and item.offset >= 0 else None,
            item.tag if item is not None else None,
            where.get(id(item), ""),
            f"profile {profile.name}",
        )
        for rule, text, item in found
    ]


def _another_scheme(profile: Profile, payload: Payload) -> Iterator[_Difference]:
    """Tell where no application is of the profile's scheme: its AID may be a parameter, for which anything goes."""
    names = [item for template in payload.applications if (item := template.template.first("4F")) is not None]
    registered = bytes.fromhex(profile.aid)[:_RID_BYTES]
    if names and not any(name.value.startswith(registered) for name in names):
        yield _SCHEME, f"another scheme's AID: the profile's begins {registered.hex().upper()}", names[0]


def _compare(
    lines: Sequence[Line], objects: Sequence[DataObject], parent: DataObject | None
) -> Iterator[_Difference]:
    """Hold one level against its lines; the n-th object of a tag belongs to the n-th line of that tag."""
    left = list(objects)
    places: list[int] = []
    for line in lines:
        item = next((item for item in left if item.tag == line.tag), None)
        if item is None:
            if not line.optional:
                yield _LACKS, f"{line.tag} is missing", parent
            continue
        left = [other for other in left if other is not item]
        places.append([other is item for other in objects].index(True))
        if line.objects:
            yield from _compare(line.objects, item.children, item)
        elif not _matches(line, item.value):
            yield _VALUE, f"the value of {line.tag} is not as the profile has it", item
    for item in left:
        yield _EXTRA, f"{item.tag} is not in the profile", item
    if places != sorted(places):
        text = f"another order: {' '.join([item.tag for item in objects])}"
        yield _ORDER, text, parent or (objects[0] if objects else None)


def _matches(line: Line, value: bytes) -> bool:
    if len(value) > _VALUE_BYTES_MAX:
        return False
    return (
        _pattern(line).fullmatch(value.hex().upper() if line.value else value.decode("latin-1")) is not None
    )


def _pattern(line: Line) -> re.Pattern[str]:
    """Turn a line's value or text into what it may look like: upper-case hex, or characters."""
    template = line.value or line.text
    pattern = ""
    end = 0
    for match in PLACEHOLDER.finditer(template):
        pattern += _literal(line, template[end : match.start()]) + _anything(match[1])
        end = match.end()
    pattern += _literal(line, template[end:])
    return re.compile(pattern + (f"{line.pad}?" if line.pad else ""), re.DOTALL)


def _literal(line: Line, text: str) -> str:
    return "".join(text.split()).upper() if line.value else re.escape(text)


def _anything(name: str) -> str:
    if name in _ANY_LENGTH:
        return _ANY_LENGTH[name]
    if name in CARD_FIELDS:
        return f"[0-9]{{{CARD_FIELDS[name]}}}"
    return f"[0-9A-F]{{{ISSUE_FIELDS[name]}}}" if name in ISSUE_FIELDS else ".*"
