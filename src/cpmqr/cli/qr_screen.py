"""A QR on paper or on screen: files by their ending, the terminal by its size, the countdown."""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cpmqr.cli import output
from cpmqr.errors import ConfigError

ENDINGS: Final = (".svg", ".png")
_LINES_BELOW: Final = 4  # what a command writes below the QR, and the prompt


def check_ending(path: Path) -> None:
    """Refuse a file name that says no format, before anything is sent.

    Raises:
        ConfigError: neither .svg nor .png.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(f"a QR is written as .svg or .png, not {path.suffix or 'without an ending'}")


def write(path: Path, base64_text: str) -> None:
    """Write the QR to a file.

    Raises:
        EncodeError: the text makes no CPM QR. ConfigError: the file can't be written.
    """
    from cpmqr.emv import qr

    check_ending(path)
    is_svg = path.suffix.lower() == ".svg"
    data = qr.svg(base64_text).encode() if is_svg else qr.png(base64_text)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror}") from None


def draw(base64_text: str) -> None:
    """Draw the QR to stdout, as large as the window lets it be.

    Raises:
        EncodeError: the text makes no CPM QR.
    """
    from cpmqr.emv import qr

    # A pipe has no size: 80 by 24 is assumed, and nobody is told that it is small.
    columns, lines = shutil.get_terminal_size((80, 24))
    border = 4
    if qr.terminal_size(base64_text, border=border)[1] + _LINES_BELOW > lines:
        border = 2
    wide, high = qr.terminal_size(base64_text, border=border)
    sys.stdout.write(qr.terminal(base64_text, border=border, colour=output.colour_wanted()))
    sys.stdout.flush()
    if sys.stdout.isatty() and (wide > columns or high > lines):
        output.note(
            f"the QR needs a window of {wide} columns and {high} lines; this one has {columns} by {lines}"
        )


def count_down(expires_at_s: float, *, clock: Callable[[], float] = time.time) -> None:
    """Show how long the QR is valid, second by second, in one line; return when it has expired.

    Raises:
        KeyboardInterrupt: the person has seen enough.
    """
    while (left_s := math.ceil(expires_at_s - clock())) > 0:
        sys.stdout.write(f"\r  valid for {left_s // 60}:{left_s % 60:02} (Ctrl-C ends the countdown) ")
        sys.stdout.flush()
        time.sleep(min(1.0, max(0.0, expires_at_s - clock() - left_s + 1)))
    sys.stdout.write("\r  expired: ask for a new one" + " " * 30 + "\n")
