"""A payload from values: a profile's layout filled in by tag or by name, for tests, tills and demonstrations.

The gateway issues by `CompiledProfile`, where every value is known and checked beforehand. Here a person says some of
them, the profile's defaults say others, and what lacks is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from cpmqr.emv.cpm import Payload
from cpmqr.emv.layout import CARD_FIELDS, ISSUE_FIELDS, PLACEHOLDER, Line
from cpmqr.emv.profile import Profile
from cpmqr.emv.tlv import DataObject, primitive, template
from cpmqr.errors import EncodeError

TAG_SHOWN: Final = 12  # less than a PAN, should somebody have put one before the =
VALUES_MAX: Final = 256  # a layout has at most 64 objects, and some names beside them


def compose(profile: Profile, values: Mapping[str, Sequence[str]]) -> Payload:
    """Fill a profile's layout in.

    Args:
        profile: whose layout and defaults.
        values: by tag (upper-case hex) the object's whole value in hex, or by name (a card's or an issue's field, a
            parameter of the profile) the digits or the text that its placeholder stands for. Several values of one
            tag go to its objects in their order.

    Returns:
        A payload that was built; `encode` checks it against every rule.

    Raises:
        EncodeError: a value is missing, unknown, or no hex; says which.
    """
    if sum([len(given) for given in values.values()]) > VALUES_MAX:
        raise EncodeError(f"over {VALUES_MAX} values")
    composer = _Composer(profile, values)
    payload = Payload(composer.objects(profile.layout))
    composer.refuse_unused()
    return payload


class _Composer:
    """Fills lines, and remembers which values were used."""

    def __init__(self, profile: Profile, values: Mapping[str, Sequence[str]]) -> None:
        self.profile = profile
        self.left = {name: list(given) for name, given in values.items()}
        self.names = {name: given[-1] for name, given in values.items() if given}
        if "pan" in self.names:
            self.names.setdefault("pan_last4", self.names["pan"][-4:])
        self.used: set[str] = set()

    def objects(self, lines: Sequence[Line]) -> tuple[DataObject, ...]:
        found = [self.object(line) for line in lines]
        return tuple([item for item in found if item is not None])

    def object(self, line: Line) -> DataObject | None:
        """Make the object of a line; None where it is optional and there is nothing to put into it."""
        if line.objects:
            if line.optional and not self.is_filled(line):
                return None
            children = self.objects(line.objects)
            return template(line.tag, *children) if children or not line.optional else None
        if self.left.get(line.tag):
            self.used.add(line.tag)
            return primitive(line.tag, _octets(line.tag, self.left[line.tag].pop(0)))
        missing = self.missing(line)
        if missing and line.optional:
            return None
        if missing:
            raise EncodeError(
                f"{line.tag} is not known: give {line.tag}=…, or {' '.join(missing)}", tag=line.tag
            )
        filled = self.filled(line.value or line.text)
        if not filled and line.optional:
            return None
        if line.text:
            if not filled.isascii():
                raise EncodeError(f"the text of {line.tag} is not ASCII", tag=line.tag)
            return primitive(line.tag, filled.encode("ascii"))
        digits = "".join(filled.split())
        return primitive(line.tag, _octets(line.tag, digits + line.pad * (len(digits) % 2)))

    def is_filled(self, line: Line) -> bool:
        """Tell whether anybody spoke of a template's objects, or all that they need is known without."""
        if any(tag in self.left for tag in _tags(line.objects)):
            return True
        needed = [inner for inner in line.objects if not inner.optional and not inner.objects]
        return not any(self.missing(inner) for inner in needed)

    def missing(self, line: Line) -> list[str]:
        names = PLACEHOLDER.findall(self.filled_with_parameters(line.value or line.text))
        return [f"{name}=…" for name in dict.fromkeys(names) if name not in self.names]

    def filled_with_parameters(self, text: str) -> str:
        """Put parameters in; their defaults may name fields in turn."""

        for name, parameter in self.profile.parameters.items():
            if f"{{{name}}}" in text:
                self.used.add(name)
                text = text.replace(f"{{{name}}}", self.names.get(name, parameter.default))
        return text

    def filled(self, text: str) -> str:
        text = self.filled_with_parameters(text)
        for name in dict.fromkeys(PLACEHOLDER.findall(text)):
            self.used.add(name)
            text = text.replace(f"{{{name}}}", self.names.get(name, ""))
        return text

    def refuse_unused(self) -> None:
        for name, given in self.left.items():
            is_name = name in CARD_FIELDS or name in ISSUE_FIELDS or name in self.profile.parameters
            if not is_name and (name not in self.used or given):
                known = ", ".join([*_tags(self.profile.layout), *self.profile.parameters])
                raise EncodeError(
                    f"profile {self.profile.name} has no place for {name[:TAG_SHOWN]}; it has {known}"
                )


def _tags(lines: Sequence[Line]) -> list[str]:
    """List the tags that hold values."""
    return list(
        dict.fromkeys(
            [tag for line in lines for tag in (_tags(line.objects) if line.objects else [line.tag])]
        )
    )


def _octets(tag: str, digits: str) -> bytes:
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise EncodeError(f"the value of {tag} is not hex digits, two for each byte", tag=tag) from None
