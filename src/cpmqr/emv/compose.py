"""A payload from values: a profile's layout filled in by tag or by name, for tests, tills and demonstrations.

The gateway issues by `CompiledProfile`, where every value is known and checked beforehand. Here a person says some of
them, the profile's defaults say others, and what lacks is asked for, all at once. Nothing that was given is dropped:
a value that finds no place is refused, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from cpmqr.emv.cpm import Payload
from cpmqr.emv.layout import (
    CARD_FIELDS,
    FIELD_WORDS,
    ISSUE_FIELDS,
    PLACEHOLDER,
    Line,
    is_field_value,
)
from cpmqr.emv.profile import Profile
from cpmqr.emv.tlv import DataObject, primitive, template
from cpmqr.errors import EncodeError

TEXT_PREFIX: Final = "text:"
NAME_SHOWN: Final = 12  # less than a PAN, should somebody have put one before the =
VALUES_MAX: Final = 256  # a layout has at most 64 objects, and some names beside them
_PAN_IN: Final = {"5A": re.compile(r"([0-9]{4,19})F?"), "57": re.compile(r"([0-9]{4,19})D.*")}


def compose(profile: Profile, values: Mapping[str, Sequence[str]]) -> Payload:
    """Fill a profile's layout in.

    Args:
        profile: whose layout and defaults.
        values: by tag (upper-case hex) the object's whole value in hex, or by name (a card's or an issue's field, a
            parameter of the profile) the digits or the text that its placeholder stands for. `text:` before a value
            says that it is no hex. Several values of one tag go to its objects in their order.

    Returns:
        A payload that was built; `encode` checks it against every rule.

    Raises:
        EncodeError: values are missing, unknown, of no use, or no hex; says which.
    """
    if sum([len(given) for given in values.values()]) > VALUES_MAX:
        raise EncodeError(f"over {VALUES_MAX} values")
    composer = _Composer(profile, values)
    payload = Payload(composer.objects(profile.layout))
    composer.refuse_missing()
    composer.refuse_unused()
    return payload


class _Composer:
    """Fills lines, and remembers which values were used."""

    def __init__(self, profile: Profile, values: Mapping[str, Sequence[str]]) -> None:
        self.profile = profile
        self.places = {*CARD_FIELDS, *ISSUE_FIELDS, *profile.parameters}
        self.names = {name: _only(name, given) for name, given in values.items() if name in self.places}
        self.by_tag = {tag: list(given) for tag, given in values.items() if tag not in self.places}
        self.known = {"discretionary": "", **self.last4(values), **self.names}
        self.used: set[str] = set()
        self.lacking: list[tuple[Line, list[str]]] = []
        self.left_out: list[tuple[Line, list[str]]] = []

    def last4(self, values: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """Find the PAN's end wherever the PAN was given: by name, in 5A or in track 2."""
        if "pan" in self.names:
            return {"pan_last4": self.names["pan"][-4:]}
        for tag, pattern in _PAN_IN.items():
            match = pattern.fullmatch("".join("".join(values.get(tag, [])[:1]).split()).upper())
            if match:
                return {"pan_last4": match[1][-4:]}
        return {}

    def objects(self, lines: Sequence[Line]) -> tuple[DataObject, ...]:
        found = [self.template(line) if line.objects else self.object(line) for line in lines]
        return tuple([item for item in found if item is not None])

    def template(self, line: Line) -> DataObject | None:
        """Make a template; None where it is optional and there is nothing to put into it."""
        if line.optional and not any(tag in self.by_tag for tag in _tags(line.objects)):
            needed = [inner for inner in line.objects if not inner.optional and not inner.objects]
            missing = [name for inner in needed for name in self.missing(inner)]
            if missing:
                self.left_out.append((line, missing))
                return None
        children = self.objects(line.objects)
        return template(line.tag, *children) if children or not line.optional else None

    def object(self, line: Line) -> DataObject | None:
        """Make the object of a line; None where it is optional and its value is not known."""
        if self.by_tag.get(line.tag):
            return primitive(line.tag, _octets(line, self.by_tag[line.tag].pop(0)))
        missing = self.missing(line)
        if missing:
            (self.left_out if line.optional else self.lacking).append((line, missing))
            return None
        filled = self.filled(line)
        if not filled and line.optional:
            return None
        if not line.text:
            return primitive(line.tag, _octets(line, filled))
        if not filled.isascii():
            raise EncodeError(f"the text of {line.tag} is not ASCII", tag=line.tag)
        return primitive(line.tag, filled.encode("ascii"))

    def missing(self, line: Line) -> list[str]:
        return [name for name in self.fields(line) if name not in self.known]

    def fields(self, line: Line) -> list[str]:
        """List the fields of card and issue that a line's value is made of, in parameters' values too."""
        names: list[str] = []
        for name in PLACEHOLDER.findall(line.value or line.text):
            parameter = self.profile.parameters.get(name)
            value = "" if parameter is None else self.names.get(name, parameter.default)
            names += [name] if parameter is None else PLACEHOLDER.findall(value)
        return list(dict.fromkeys(names))

    def filled(self, line: Line) -> str:
        """Put parameters in, whose values may name fields in turn, then the fields."""
        filled = line.value or line.text
        for name, parameter in self.profile.parameters.items():
            if f"{{{name}}}" in filled:
                self.used.add(name)
                value = self.names.get(name, parameter.default)
                filled = filled.replace(f"{{{name}}}", _text(line, value))
        for name in dict.fromkeys(PLACEHOLDER.findall(filled)):
            self.used |= {name, "pan"} if name == "pan_last4" else {name}
            filled = filled.replace(f"{{{name}}}", self.known.get(name, ""))
        return filled

    def refuse_missing(self) -> None:
        if not self.lacking:
            return
        tags = [line.tag for line, _ in self.lacking]
        names = list(dict.fromkeys([f"{name}=…" for _, missing in self.lacking for name in missing]))
        known, by_tag = ("is", f"{tags[0]}=…") if len(tags) == 1 else ("are", "them by tag")
        text = f"{' '.join(tags)} {known} not known: give {by_tag}, or {' '.join(names)}"
        raise EncodeError(text, tag=tags[0])

    def refuse_unused(self) -> None:
        unused = [tag for tag, given in self.by_tag.items() if given or tag not in _tags(self.profile.layout)]
        unused += [name for name in self.names if name not in self.used]
        if unused:
            raise EncodeError(self.why_unused(unused[0]))

    def why_unused(self, name: str) -> str:
        for line, missing in self.left_out:
            if name in self.names_inside(line):
                return (
                    f"{name} goes into {line.tag}, which also needs {' '.join([f'{n}=…' for n in missing])}"
                )
        for line in _lines(self.profile.layout):
            if name in self.names_inside(line) and line.tag in self.by_tag:
                return f"{name} goes into {line.tag}, which was given as a whole: leave one of them out"
        names = [
            place
            for place in self.places
            if any(place in self.names_inside(line) for line in self.profile.layout)
        ]
        known = f"{', '.join(_tags(self.profile.layout))}, and by name {', '.join(sorted(names))}"
        return f"profile {self.profile.name} has no place for {name[:NAME_SHOWN]}; it has {known}"

    def names_inside(self, line: Line) -> set[str]:
        names = {*PLACEHOLDER.findall(line.value or line.text), *self.fields(line)}
        return names.union(*[self.names_inside(inner) for inner in line.objects])


def _only(name: str, given: Sequence[str]) -> str:
    """Give the one value of a name.

    Raises:
        EncodeError: several, or one that does not fit its field.
    """
    if len(given) != 1:
        raise EncodeError(f"{name} takes one value, not {len(given)}")
    value = "".join(given[0].split()) if name in FIELD_WORDS else given[0]
    if not is_field_value(name, value):
        raise EncodeError(f"{name} is {FIELD_WORDS[name]}")
    return value


def _lines(lines: Sequence[Line]) -> Iterator[Line]:
    """Give the lines that hold values."""
    for line in lines:
        yield from _lines(line.objects) if line.objects else [line]


def _tags(lines: Sequence[Line]) -> list[str]:
    return list(dict.fromkeys([line.tag for line in _lines(lines)]))


def _text(line: Line, value: str) -> str:
    """Give a parameter's value as a line takes it: `text:` is taken off, or makes hex of what follows."""
    text = value.removeprefix(TEXT_PREFIX)
    return text if line.text or text == value else text.encode().hex()


def _octets(line: Line, value: str) -> bytes:
    """Give a value's bytes; an odd number of digits is filled up where the layout has a pad."""
    if value.startswith(TEXT_PREFIX):
        return value.removeprefix(TEXT_PREFIX).encode()
    digits = "".join(value.split())
    try:
        return bytes.fromhex(digits + line.pad * (len(digits) % 2))
    except ValueError:
        text = f"the value of {line.tag} is not hex digits, two for each byte; a text is {line.tag}={TEXT_PREFIX}…"
        raise EncodeError(text, tag=line.tag) from None
