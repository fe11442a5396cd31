"""Make the README's pictures: run the real commands, and draw what they wrote, cell by cell.

    python docs/pictures.py        (or: make pictures)

A sandbox gateway is started in this process; each picture is the output of a command that a reader can run. Block
characters become rectangles, so that a QR in a picture scans like the one in a terminal.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from xml.sax.saxutils import escape

from rich.cells import cell_len
from rich.color import Color
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from cpmqr.testing import gateway

IMAGES = Path(__file__).parent / "images"
CELL_WIDTH, CELL_HEIGHT, MARGIN = 9, 18, 16
THEME = TerminalTheme(
    (24, 27, 33),
    (214, 219, 226),
    [
        (56, 62, 71),
        (235, 110, 110),
        (126, 199, 120),
        (226, 188, 96),
        (108, 168, 240),
        (201, 140, 226),
        (92, 199, 200),
        (214, 219, 226),
    ],
)
# Where in its cell a block character has ink: x, y, width, height as shares of the cell.
BLOCKS = {
    "█": (0, 0, 1, 1),
    "▀": (0, 0, 1, 0.5),
    "▄": (0, 0.5, 1, 0.5),
    "▌": (0, 0, 0.5, 1),
    "▐": (0.5, 0, 0.5, 1),
}


def run(*arguments: str, columns: int) -> str:
    """Run a cpmqr command in a terminal of so many columns; what it wrote, with its ANSI codes."""
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 80, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    command = [sys.executable, "-m", "cpmqr", *arguments]
    child = subprocess.Popen(command, env=environment, stdin=terminal, stdout=terminal)  # noqa: S603  (our own)
    os.close(terminal)
    written = b""
    with contextlib.suppress(OSError):  # how a terminal says that its program has ended
        while chunk := os.read(master, 65_536):
            written += chunk
    os.close(master)
    if child.wait() != 0:
        raise SystemExit(f"cpmqr {arguments[0]} ended with status {child.returncode}")
    return written.decode().replace("\r\n", "\n")


def draw(prompt: str, output: str) -> str:
    """Draw a terminal with a prompt line and a command's output, as SVG."""
    lines = [
        Text.from_ansi(f"\x1b[32m$\x1b[0m {prompt}"),
        *(Text.from_ansi(line) for line in output.splitlines()),
    ]
    while lines and not lines[-1].plain.strip() and not lines[-1].spans:
        lines.pop()
    columns = max(cell_len(line.plain) for line in lines)
    width, height = columns * CELL_WIDTH + 2 * MARGIN, len(lines) * CELL_HEIGHT + 2 * MARGIN
    shapes: list[str] = []
    for row, line in enumerate(lines):
        shapes += _line(line, MARGIN + row * CELL_HEIGHT)
    background = THEME.background_color.hex
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">\n'
        f'<rect width="{width}" height="{height}" rx="10" fill="{background}"/>\n'
        f"<g font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" "
        f'font-size="14" shape-rendering="crispEdges">\n' + "\n".join(shapes) + "\n</g>\n</svg>\n"
    )


def _line(line: Text, top: int) -> list[str]:
    shapes: list[str] = []
    column = 0
    for text, style in _runs(line):
        left = MARGIN + column * CELL_WIDTH
        cells = cell_len(text)
        ink, paper = _colours(style)
        if paper:
            shapes.append(_rectangle(left, top, cells * CELL_WIDTH, CELL_HEIGHT, paper))
        if any(character in BLOCKS for character in text):
            shapes += _blocks(text, left, top, ink)
        elif text.strip():
            weight = ' font-weight="bold"' if style.bold else ""
            for word in re.finditer(r"\S+", text):
                x, length = left + cell_len(text[: word.start()]) * CELL_WIDTH, cell_len(word[0]) * CELL_WIDTH
                place = f'x="{x}" y="{top + 14}" textLength="{length}" fill="{ink}"{weight}'
                shapes.append(f"<text {place}>{escape(word[0])}</text>")
        column += cells
    return shapes


def _runs(line: Text) -> list[tuple[str, Style]]:
    """Cut a line into stretches of one style."""
    styles = [Style()] * len(line.plain)
    for span in line.spans:
        style = span.style if isinstance(span.style, Style) else Style.parse(span.style)
        for position in range(span.start, min(span.end, len(styles))):
            styles[position] = styles[position] + style
    runs: list[tuple[str, Style]] = []
    for character, style in zip(line.plain, styles, strict=True):
        if runs and runs[-1][1] == style:
            runs[-1] = (runs[-1][0] + character, style)
        else:
            runs.append((character, style))
    return runs


def _blocks(text: str, left: int, top: int, ink: str) -> list[str]:
    shapes = []
    for position, character in enumerate(text):
        if character in BLOCKS:
            x, y, width, height = BLOCKS[character]
            at = left + (position + x) * CELL_WIDTH
            shapes.append(
                _rectangle(at, top + y * CELL_HEIGHT, width * CELL_WIDTH, height * CELL_HEIGHT, ink)
            )
    return shapes


def _rectangle(x: float, y: float, width: float, height: float, fill: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{fill}"/>'


def _colours(style: Style) -> tuple[str, str | None]:
    ink = _hex(style.color, foreground=True)
    paper = _hex(style.bgcolor, foreground=False) if style.bgcolor and not style.bgcolor.is_default else None
    if style.reverse:
        ink, paper = paper or THEME.background_color.hex, ink
    if style.dim:
        ink = "#8a92a0"
    return ink, paper


def _hex(color: Color | None, *, foreground: bool) -> str:
    color = color or Color.default()
    return color.get_truecolor(THEME, foreground=foreground).hex


def main() -> None:
    """Write all pictures."""
    IMAGES.mkdir(exist_ok=True)
    with gateway() as running:
        file = str(running.sandbox_file)
        shown = run("request", "--sandbox-file", file, "--no-wait", columns=100)
        (IMAGES / "first-qr.svg").write_text(draw("cpmqr request", shown), encoding="utf-8")
        payload = running.wallet().request_qr(pan=running.pan()).base64
        tree = run("decode", payload, columns=120)
        (IMAGES / "decode.svg").write_text(draw(f"cpmqr decode {payload[:16]}…", tree), encoding="utf-8")


if __name__ == "__main__":
    main()
