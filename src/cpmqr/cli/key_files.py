"""Key material on its way in: hex in files of mode 0600, or typed without an echo."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import typer

from cpmqr.errors import ConfigError
from cpmqr.keys.ceremony import COMPONENTS_MAX, COMPONENTS_MIN, Component
from cpmqr.keys.check_value import KEY_BYTES_MAX
from cpmqr.keys.private_file import read_private
from cpmqr.keys.tr31 import BLOCK_CHARS_MAX
from cpmqr.model import Secret

_FILE_BYTES_MAX: Final = 1024  # the longest key in hex, with blanks between its bytes, is below 200
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+")


def read_hex_key(path: Path) -> Secret:
    """Read a key or component, hex with or without blanks, from a file of mode 0600.

    Raises:
        ConfigError: missing, open to others, or no hex.
    """
    content = read_private(path, "the key file", _FILE_BYTES_MAX)
    return _key(content.decode("ascii", "replace"), str(path))


def read_block_file(path: Path) -> str:
    """Read a TR-31 block; it is encrypted, so its file may be of any mode.

    Raises:
        ConfigError: missing, or longer than any block.
    """
    try:
        with path.open("rb") as file:
            content = file.read(BLOCK_CHARS_MAX + 2)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    return content.decode("ascii", "replace")


def read_components(files: Sequence[str], kcv: str) -> tuple[list[Component], str]:
    """Read the components of a key and its check value, from `FILE:KCV` each, or from the terminal.

    Raises:
        ConfigError: a file can't be read, or there is neither a file nor a terminal.
    """
    if files:
        return [_from_file(text) for text in files], kcv
    if not sys.stdin.isatty():
        raise ConfigError(
            "name the components with --component FILE:KCV; without a terminal they can't be typed"
        )
    count = typer.prompt("How many components", type=int, err=True)
    if not COMPONENTS_MIN <= count <= COMPONENTS_MAX:
        raise ConfigError(f"a key has {COMPONENTS_MIN} to {COMPONENTS_MAX} components")
    components = [_typed(number) for number in range(1, count + 1)]
    return components, kcv or _typed_kcv("Check value of the whole key")


def _from_file(text: str) -> Component:
    path, _, kcv = text.rpartition(":")
    if not path:
        raise ConfigError("--component: FILE:KCV, with nothing behind the colon for an HMAC key")
    return Component(read_hex_key(Path(path)), kcv)


def _typed(number: int) -> Component:
    text = typer.prompt(f"Component {number}, hex (not shown)", hide_input=True, err=True)
    return Component(_key(text, f"component {number}"), _typed_kcv(f"Check value of component {number}"))


def _typed_kcv(question: str) -> str:
    return str(typer.prompt(question, default="", show_default=False, err=True)).strip()


def _key(text: str, what: str) -> Secret:
    digits = "".join(text.split())
    if not _HEX.fullmatch(digits) or len(digits) > 2 * KEY_BYTES_MAX:
        raise ConfigError(f"{what}: hex digits, two for each of at most {KEY_BYTES_MAX} bytes")
    return Secret(bytes.fromhex(digits))
