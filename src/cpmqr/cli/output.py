"""What commands share in speaking to people and to programs: messages, JSON, exit status."""

from __future__ import annotations

import json
import os
import sys
from typing import Final

from cpmqr.errors import (
    ConfigError,
    CpmqrError,
    EncodeError,
    KeyUnavailable,
    OutcomeUnknown,
    ProfileError,
    StoreUnavailable,
    Unreachable,
)

EXIT_DONE: Final = 0
EXIT_NEGATIVE: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3

_USAGE: Final = (ConfigError, EncodeError, ProfileError)
_UNREACHABLE: Final = (Unreachable, OutcomeUnknown, StoreUnavailable, KeyUnavailable)


def exit_status(error: CpmqrError) -> int:
    """Give the exit status of an error (contract §9)."""
    if isinstance(error, _USAGE):
        return EXIT_USAGE
    # A gateway that said itself that the outcome is unknown (9003) was reached: that is its negative answer.
    if isinstance(error, OutcomeUnknown) and error.__cause__ is not None:
        return EXIT_NEGATIVE
    return EXIT_UNREACHABLE if isinstance(error, _UNREACHABLE) else EXIT_NEGATIVE


def report(error: CpmqrError) -> None:
    """Write an error to stderr, with what it says to do next."""
    fail(str(error) or type(error).__name__)


def fail(message: str, *hints: str) -> None:
    """Write a message to stderr, and hints below it; the exit status is the caller's."""
    print(f"cpmqr: {printable(message)}", file=sys.stderr)
    for hint in hints:
        print(f"       {printable(hint)}", file=sys.stderr)


def note(message: str) -> None:
    """Write a remark for people to stderr, where it does not stand in a program's way."""
    print(printable(message), file=sys.stderr)


def print_json(value: object) -> None:
    """Write a value as JSON to stdout: UTF-8, indented, in the order given."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def printable(text: str) -> str:
    """Take out control characters: what another side sent must not steer this terminal."""
    return "".join(
        character if character.isprintable() or character == "\n" else "\N{REPLACEMENT CHARACTER}"
        for character in text
    )


def colour_wanted() -> bool:
    """Tell whether ANSI colours may be written: not with NO_COLOR set, not on a dumb terminal."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def prepare_streams() -> None:
    """Let a character that the terminal's encoding lacks come out as ?, in place of an exception."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
