"""What commands share in speaking to people and to programs: messages, JSON, exit status."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Final

from cpmqr.errors import (
    ConfigError,
    CpmqrError,
    EncodeError,
    KeyUnavailable,
    OutcomeUnknown,
    ProfileError,
    Refused,
    StoreUnavailable,
    Unreachable,
)

EXIT_DONE: Final = 0
EXIT_NEGATIVE: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3

_HIGH_CONTROLS: Final = re.compile(r"[\x7f-\x9f]")
_USAGE: Final = (ConfigError, EncodeError, ProfileError)
_UNREACHABLE: Final = (Unreachable, OutcomeUnknown, StoreUnavailable, KeyUnavailable)


def exit_status(error: CpmqrError) -> int:
    """Give the exit status of an error (contract §9)."""
    if isinstance(error, _USAGE):
        return EXIT_USAGE
    # A gateway that said itself that the outcome is unknown (9003) was reached: that is its negative answer.
    if isinstance(error, OutcomeUnknown) and isinstance(error.__cause__, Refused) and error.__cause__.rslt_cd:
        return EXIT_NEGATIVE
    return EXIT_UNREACHABLE if isinstance(error, _UNREACHABLE) else EXIT_NEGATIVE


def report(error: CpmqrError) -> None:
    """Write an error to stderr, with what to do next."""
    refused = error if isinstance(error, Refused) else error.__cause__
    hints: list[str] = []
    if isinstance(refused, Refused):
        from cpmqr.cli.advice import advice_on

        hints = advice_on(refused)
    if isinstance(error, OutcomeUnknown) and error.trace_no and error.request_time:
        hints.append(f"repeat: --trace-no {error.trace_no} --request-time {error.request_time}")
    text = str(error) or type(error).__name__
    fail(f"the gateway refused: {text}" if error is refused else text, *hints)


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
    text = json.dumps(value, ensure_ascii=False, indent=2)
    # JSON escapes the control characters below 0x20 alone; a terminal obeys some of those above 0x7E too.
    print(_HIGH_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


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
