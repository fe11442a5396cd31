"""Draw a payload's Base64 as a QR: SVG, PNG, or half blocks for a terminal.

What CPM asks of the symbol (3.2): byte mode, default ECI, any error-correction level, the smallest version that
holds the text, normal reflectance, at most 512 characters. So no ECI header is written, and the level is never
raised at the price of a larger version; where the same version holds the text at a stronger level, it gets it.

The level is ours to choose. Pictures get M, for scratched glass and glare. A terminal gets L: 80 by 24 is small,
and the page's sample takes 49 modules a side with M but 41 with L.
"""

from __future__ import annotations

import binascii
import io
from collections.abc import Sequence
from typing import Final, Literal

import segno

from cpmqr.errors import EncodeError

ErrorLevel = Literal["L", "M", "Q", "H"]

QR_CHARACTERS_MAX: Final = 512  # a till's reader need not recover more (CPM 3.2)
QUIET_ZONE_MODULES: Final = 4  # ISO/IEC 18004 asks for four on each side
SCALE_MAX: Final = 100  # ours: 100 pixels a module make a picture of 97 megapixels at the largest version
BORDER_MAX: Final = 40  # ours: ten times what the standard asks for

# Colours 16 and 231 are true black and white: themes move the first sixteen about, and leave these alone.
_BLACK_ON_WHITE: Final = "\x1b[38;5;16;48;5;231m"
_RESET: Final = "\x1b[0m"


def svg(
    base64_text: str, *, error: ErrorLevel = "M", border: int = QUIET_ZONE_MODULES, scale: int = 4
) -> str:
    """Draw as a standalone SVG document.

    Args:
        base64_text: the payload as it is to be scanned, padded Base64, at most 512 characters.
        error: the least error-correction level; a stronger one is taken where it costs no larger version.
        border: quiet zone in modules, 0 to 40.
        scale: units a module, 1 to 100.

    Raises:
        EncodeError: the text is no Base64, or too long; a number is out of its range.
    """
    symbol = _symbol(base64_text, error)
    _check_sizes(border, scale)
    picture = io.BytesIO()
    symbol.save(picture, kind="svg", border=border, scale=scale, dark="#000", light="#fff")
    return picture.getvalue().decode()


def png(
    base64_text: str, *, error: ErrorLevel = "M", border: int = QUIET_ZONE_MODULES, scale: int = 8
) -> bytes:
    """Draw as a PNG, black on white; `scale` is pixels a module. Otherwise as `svg`.

    Raises:
        EncodeError: as for `svg`.
    """
    symbol = _symbol(base64_text, error)
    _check_sizes(border, scale)
    picture = io.BytesIO()
    symbol.save(picture, kind="png", border=border, scale=scale)
    return picture.getvalue()


def terminal(
    base64_text: str,
    *,
    error: ErrorLevel = "L",
    border: int = QUIET_ZONE_MODULES,
    colour: bool = True,
    light_terminal: bool = False,
) -> str:
    """Draw as lines of half blocks, two modules a character, with a line feed after each.

    Args:
        base64_text, error, border: as for `svg`.
        colour: say black and white in ANSI, so that it scans whatever the terminal's own colours are.
        light_terminal: without `colour`, whether the terminal writes dark on light; the other way is assumed.

    Raises:
        EncodeError: as for `svg`.
    """
    symbol = _symbol(base64_text, error)
    _check_sizes(border, 1)
    rows = [bytes(row) for row in symbol.matrix_iter(border=border)]
    if len(rows) % 2:
        rows.append(bytes(len(rows[0])))  # below the quiet zone: one more light row fills the last line
    # The ink is black in colour, and else whatever the terminal writes with: then it draws the light modules.
    ink_is_dark = colour or light_terminal
    lines = (
        _half_blocks(upper, lower, ink_is_dark) for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    )
    before, after = (_BLACK_ON_WHITE, _RESET) if colour else ("", "")
    return "".join(f"{before}{line}{after}\n" for line in lines)


def terminal_size(
    base64_text: str, *, error: ErrorLevel = "L", border: int = QUIET_ZONE_MODULES
) -> tuple[int, int]:
    """Tell how many columns and lines `terminal` takes.

    Raises:
        EncodeError: as for `svg`.
    """
    modules = len(_symbol(base64_text, error).matrix) + 2 * border
    return modules, (modules + 1) // 2


def _half_blocks(upper: Sequence[int], lower: Sequence[int], ink_is_dark: bool) -> str:
    cells = " ▄▀█" if ink_is_dark else "█▀▄ "
    return "".join([cells[2 * above + below] for above, below in zip(upper, lower, strict=True)])


def _symbol(base64_text: str, error: ErrorLevel) -> segno.QRCode:
    if not isinstance(base64_text, str):
        raise EncodeError("a QR is drawn from the payload's Base64 text", section="CPM 3.2")
    if len(base64_text) > QR_CHARACTERS_MAX:
        raise EncodeError(
            f"{len(base64_text)} characters; a till's reader need not recover more than {QR_CHARACTERS_MAX}",
            section="CPM 3.2",
        )
    if not base64_text or not _is_base64(base64_text):
        raise EncodeError("the text is not padded Base64 (RFC 4648)", section="CPM 3.2")
    if error not in ("L", "M", "Q", "H"):
        raise EncodeError("the error-correction level is L, M, Q or H", section="CPM 3.2")
    # ASCII in ISO 8859-1 is the default ECI: no header says so.
    return segno.make_qr(base64_text, mode="byte", error=error, encoding="iso-8859-1", boost_error=True)


def _is_base64(text: str) -> bool:
    try:
        binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return False
    return True


def _check_sizes(border: int, scale: int) -> None:
    if not 0 <= border <= BORDER_MAX:
        raise EncodeError(f"a border is 0 to {BORDER_MAX} modules")
    if not 1 <= scale <= SCALE_MAX:
        raise EncodeError(f"a scale is 1 to {SCALE_MAX}")
