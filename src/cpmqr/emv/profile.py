"""A payment scheme's payload as data: which objects in which order, and how its cryptogram is made.

A profile is a TOML file, so a new scheme needs no program. Its `layout` lists the data objects in their order.
A `value` is hex digits with placeholders in braces, a `text` printable ASCII; a template has `objects` instead.
`docs/profiles.md` explains the format line by line.

    profile = Profile.load("bc-domestic")
    payload = profile.compile().issue(tdes_ecb(master_key), card, atc, unpredictable_number, issued_at, dki)
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Final

import msgspec

from cpmqr.emv.card import CardData
from cpmqr.emv.compiled import CompiledProfile, Node, Piece, all_nodes
from cpmqr.emv.cryptogram import CardKeyOption, CryptogramScheme
from cpmqr.emv.layout import (
    CARD_FIELDS,
    ISSUE_FIELDS,
    PLACEHOLDER,
    VALUE_CHARACTERS_MAX,
    Line,
    Parameter,
    Tag,
)
from cpmqr.errors import ProfileError

__all__ = ["BUILT_IN", "CardData", "CompiledProfile", "Parameter", "Profile"]

BUILT_IN: Final = ("bc-domestic", "unionpay", "emvco", "qris")
FILE_BYTES_MAX: Final = 64 * 1024  # a profile is a page of text; more is a mistake
DEPTH_MAX: Final = 4  # 61 › 63 › object is 3
OBJECTS_MAX: Final = 64

_HEX_OR_NAME: Final = re.compile(r"([0-9A-Fa-f]+)|\{([a-z][a-z0-9_]*)\}|(\S)")
_LAYOUT_STEP: Final = re.compile(r"\.(?:layout|objects)\[(\d+)\]")


class _Cryptogram(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    algorithm: Annotated[str, msgspec.Meta(pattern="^(tdes|aes)$")] = "tdes"
    option: CardKeyOption = CardKeyOption.A
    key_bytes: int = 16
    padding: Annotated[int, msgspec.Meta(ge=1, le=2)] = 2
    input: tuple[Tag, ...] = ("9F37", "82", "9F36", "9F10")


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    aid: Annotated[str, msgspec.Meta(pattern=r"^(?:[0-9A-F]{2}){5,16}$")]
    layout: Annotated[tuple[Line, ...], msgspec.Meta(min_length=2, max_length=OBJECTS_MAX)]
    title: str = ""
    cryptogram: _Cryptogram | None = None
    parameters: dict[str, Parameter] = {}


class Profile:
    """A scheme profile that has been read and checked.

    Attributes:
        name: lower-case letters, digits and hyphens.
        title: a line for people.
        aid: the ADF name of its (first) application, upper-case hex.
        source: the built-in name or the file that it was read from.
        text: the file itself.
        layout: its data objects, as the file has them.
        cryptogram_input: the tags whose values the cryptogram covers, in order; () for none.
        parameters: its blanks, by name.
        master_key_algorithm: "tdes-112", "aes-128" or "aes-256": the issuer master key that it takes; "" for none.
    """

    def __init__(self, file: _File, source: str, text: str) -> None:
        self._file = file
        self.text = text
        self.source = source
        self.name = file.name
        self.title = file.title
        self.aid = file.aid
        self.layout = file.layout
        self.cryptogram_input = file.cryptogram.input if file.cryptogram else ()
        self.parameters: Mapping[str, Parameter] = file.parameters
        self._scheme = self._checked_scheme()
        self.master_key_algorithm = self._scheme.master_key_algorithm if self._scheme else ""
        self.compile()  # what does not compile is refused here, with its line

    @classmethod
    def load(cls, name_or_path: str | Path) -> Profile:
        """Read a built-in profile by its name, or one's own by the path of its file.

        Raises:
            ProfileError: no such profile, not TOML, or not a profile; with the file and the line.
        """
        if not isinstance(name_or_path, str | Path):
            raise ProfileError("a profile is loaded by its name or by its file's path")
        if name_or_path in BUILT_IN:
            built_in = resources.files("cpmqr.emv") / "profiles" / f"{name_or_path}.toml"
            return cls.parse(built_in.read_text("utf-8"), source=str(name_or_path))
        return cls.parse(_read(Path(name_or_path)), source=str(name_or_path))

    @classmethod
    def parse(cls, text: str, *, source: str) -> Profile:
        """Read a profile from TOML text; `source` names it in errors.

        Raises:
            ProfileError: as `load`.
        """
        try:
            file = msgspec.convert(tomllib.loads(text), _File)
        except tomllib.TOMLDecodeError as error:
            line = re.search(r"at line (\d+)", str(error))
            raise ProfileError(str(error), source=source, line=int(line[1]) if line else None) from None
        except msgspec.ValidationError as error:
            reason, _, path = str(error).partition(" - at `")
            raise ProfileError(reason, source=source, line=_line_of(text, path.rstrip("`"))) from None
        except RecursionError:
            raise ProfileError("nested too deeply", source=source) from None
        return cls(file, source, text)

    def compile(self, parameters: Mapping[str, str] | None = None) -> CompiledProfile:
        """Fill in the parameters and make the encoder.

        Args:
            parameters: values for some of `self.parameters`; the others take their defaults.

        Raises:
            ProfileError: an unknown parameter, or a value that does not fit its place.
        """
        given = dict(parameters or {})
        unknown = sorted(given.keys() - self.parameters.keys())
        if unknown:
            raise ProfileError(f"no parameter {unknown[0]!r}: {self._names()}", source=self.source)
        blanks = {name: given.get(name, parameter.default) for name, parameter in self.parameters.items()}
        steps = [((index,), line) for index, line in enumerate(self._file.layout)]
        nodes = tuple(node for step, line in steps for node in self._node(line, step, blanks))
        self._check_input(nodes)
        return CompiledProfile(self.name, self.aid, nodes, self._scheme, self.cryptogram_input)

    def _names(self) -> str:
        return f"it has {', '.join(sorted(self.parameters))}" if self.parameters else "it has none"

    def _checked_scheme(self) -> CryptogramScheme | None:
        wish = self._file.cryptogram
        if wish is None:
            return None
        if wish.algorithm == "aes":
            if wish.option is not CardKeyOption.C or wish.key_bytes not in (16, 32):
                raise self._error('aes goes with option = "c" and key_bytes = 16 or 32', "$.cryptogram")
        elif wish.option is CardKeyOption.C or wish.key_bytes != 16:
            raise self._error('tdes goes with option = "a" or "b" and key_bytes = 16', "$.cryptogram")
        return CryptogramScheme(wish.algorithm, wish.option, wish.key_bytes, wish.padding)

    def _check_input(self, nodes: tuple[Node, ...]) -> None:
        by_tag = {node.tag: node for node in all_nodes(nodes)}
        for tag in self.cryptogram_input:
            if tag not in by_tag:
                raise self._error(
                    f"the cryptogram covers {tag}, which the layout lacks", "$.cryptogram.input"
                )
            if any(
                piece.name == "cryptogram" for inner in all_nodes([by_tag[tag]]) for piece in inner.pieces
            ):
                raise self._error(f"the cryptogram can't cover itself: {tag}", "$.cryptogram.input")

    def _node(self, line: Line, step: tuple[int, ...], blanks: Mapping[str, str]) -> Iterator[Node]:
        """Give the object that a line of the layout makes; nothing where it is optional and empty."""
        path = "$" + "".join([f".{'objects' if depth else 'layout'}[{n}]" for depth, n in enumerate(step)])
        if len(step) > DEPTH_MAX:
            raise self._error(f"nested more than {DEPTH_MAX} deep", path)
        if sum([bool(line.value), bool(line.text), bool(line.objects)]) != 1:
            raise self._error(f"{line.tag} needs one of value, text or objects", path)
        if bool(line.objects) != bool(int(line.tag[:2], 16) & 0x20):
            raise self._error(f"{line.tag} holds {'a value' if line.objects else 'objects'}", path)
        children = tuple(
            node for n, child in enumerate(line.objects) for node in self._node(child, (*step, n), blanks)
        )
        pieces = self._text_pieces(line, path, blanks) if line.text else self._pieces(line, path, blanks)
        if children or pieces:
            yield Node(line.tag, pieces, children, line.pad)
        elif not line.optional:
            raise self._error(f"{line.tag} is empty: give it a value, or say optional = true", path)

    def _text_pieces(self, line: Line, path: str, blanks: Mapping[str, str]) -> tuple[Piece, ...]:
        text = self._filled(line.text, path, blanks)
        if not (text.isascii() and text.isprintable()) or "{" in text:
            raise self._error(f"the text of {line.tag} is printable ASCII and names parameters alone", path)
        return (Piece(text.encode().hex().upper()),) if text else ()

    def _pieces(self, line: Line, path: str, blanks: Mapping[str, str]) -> tuple[Piece, ...]:
        """Split a value into hex digits and placeholders, and see that bytes do not begin in mid-byte."""
        pieces: list[Piece] = []
        digits_before: int | None = 0  # None: it depends on the card
        for digits, name, wrong in _HEX_OR_NAME.findall(self._filled(line.value, path, blanks)):
            if wrong or (name and name not in CARD_FIELDS and name not in ISSUE_FIELDS):
                raise self._error(
                    f"the value of {line.tag} has {wrong or name!r}: hex or a placeholder", path
                )
            if name in ISSUE_FIELDS and (digits_before is None or digits_before % 2):
                raise self._error(f"{{{name}}} in {line.tag} does not begin on a whole byte", path)
            width = CARD_FIELDS.get(name, ISSUE_FIELDS.get(name, len(digits)))
            digits_before = None if digits_before is None or width == 0 else digits_before + width
            pieces.append(Piece(digits.upper(), name))
        if digits_before is not None and digits_before % 2 and not line.pad:
            raise self._error(f"the value of {line.tag} has an odd number of digits; give it a pad", path)
        return tuple(pieces)

    def _filled(self, template: str, path: str, blanks: Mapping[str, str]) -> str:
        """Put the parameters' values in; placeholders of card and issue stay."""

        def fill(match: re.Match[str]) -> str:
            name = match[1]
            if name in blanks:
                return blanks[name]
            if name in CARD_FIELDS or name in ISSUE_FIELDS:
                return match[0]
            raise self._error(f"no such placeholder or parameter: {name}", path)

        filled = PLACEHOLDER.sub(fill, template)
        if len(filled) > VALUE_CHARACTERS_MAX:
            raise self._error(f"a value passes {VALUE_CHARACTERS_MAX} characters", path)
        return filled

    def _error(self, message: str, path: str) -> ProfileError:
        return ProfileError(message, source=self.source, line=_line_of(self.text, path))

    def __repr__(self) -> str:
        return f"<profile {self.name} from {self.source}>"


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        text = content.decode("utf-8")
    except FileNotFoundError:
        known = ", ".join(BUILT_IN)
        raise ProfileError(f"neither a built-in profile ({known}) nor a file", source=str(path)) from None
    except UnicodeDecodeError:
        raise ProfileError("not UTF-8", source=str(path)) from None
    except (OSError, ValueError) as error:
        raise ProfileError(f"can't be read: {type(error).__name__}", source=str(path)) from None
    if len(content) > FILE_BYTES_MAX:
        raise ProfileError(f"over {FILE_BYTES_MAX} bytes: no profile", source=str(path))
    return text


def _line_of(text: str, path: str) -> int | None:
    """Find the line of `$.layout[1].objects[0]` or `$.cryptogram.padding` in the TOML text; None if unsure.

    TOML parsers give no positions once they are done. The objects of a layout stand in the file in the same order
    as in the tree, so the n-th of the tree is the n-th `tag =` of the text.
    """
    steps = [int(n) for n in _LAYOUT_STEP.findall(path)]
    lines = text.splitlines()
    if steps:
        return _layout_line(text, lines, steps)
    for key in reversed(re.findall(r"\w+", path)):
        pattern = re.compile(rf"^\s*(?:\[.*\b{key}\]|{key}\s*=)")
        for number, line in enumerate(lines, 1):
            if pattern.match(line):
                return number
    return None


def _layout_line(text: str, lines: list[str], steps: list[int]) -> int | None:
    position = 0
    siblings = tomllib.loads(text)["layout"]
    for step in steps:
        position += 1 + sum(_count(sibling) for sibling in siblings[:step])
        siblings = siblings[step].get("objects", [])
    seen = 0
    for number, line in enumerate(lines, 1):
        seen += len(re.findall(r"\btag\s*=", line.partition("#")[0]))
        if seen >= position:
            return number
    return None


def _count(line: object) -> int:
    """Count an object of the raw file and all that it holds."""
    inner = line.get("objects", []) if isinstance(line, dict) else []
    return 1 + sum(_count(child) for child in inner if isinstance(inner, list))
