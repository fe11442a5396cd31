"""The drawings are read back by zxing-cpp, a reader that shares no code with segno, which drew them."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator

import pytest
import segno
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cpmqr.emv import qr
from cpmqr.errors import CpmqrError, EncodeError

# The page's sample (seed.md).
SAMPLE = (
    "hQVDUFYwMWFaTwfUEAAAAUAQVxNTUCBpAAAAZtIAdgEAAAAAAAmfXzQBAmM2nyYImERHcznr1n2fJwGAnxAUBQmgAAgAAAAAAAAAICAGERdR"
    "IQGfNgIAi4ICAACfNwRm4DtF"
)
LONGEST = "hQVD" * 128
BLACK, WHITE = 0, 255

Cell = tuple[str, int, int]


def terminal_cells(text: str, *, ink: int, paper: int) -> Iterator[list[Cell]]:
    """Read a terminal's text as the terminal does: each line's characters, with the colours then in force."""
    foreground, background = ink, paper
    for line in text.splitlines():
        cells: list[Cell] = []
        for token in re.findall(r"\x1b\[[0-9;]*m|.", line):
            if token == "\x1b[0m":
                foreground, background = ink, paper
            elif token.startswith("\x1b"):
                assert token == "\x1b[38;5;16;48;5;231m", f"a colour that this test does not know: {token!r}"
                foreground, background = BLACK, WHITE
            else:
                cells.append((token, foreground, background))
        yield cells


def picture_of_terminal(text: str, *, dark: bool, cell: int = 4) -> Image.Image:
    """Paint a terminal's text, one cell as two squares one above the other, on a margin of the terminal's colour."""
    ink, paper = (WHITE, BLACK) if dark else (BLACK, WHITE)
    lines = list(terminal_cells(text, ink=ink, paper=paper))
    picture = Image.new("L", (len(lines[0]) + 8, 2 * len(lines) + 8), paper)
    for y, cells in enumerate(lines):
        for x, (character, foreground, background) in enumerate(cells):
            upper, lower = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}[character]
            for row, inked in enumerate((upper, lower)):
                picture.putpixel((x + 4, 2 * y + row + 4), foreground if inked else background)
    return picture.resize((picture.width * cell, picture.height * cell), Image.Resampling.NEAREST)


def read_back(picture: Image.Image, *, inverted: bool = False) -> str:
    found = zxingcpp.read_barcodes(picture, formats=zxingcpp.BarcodeFormat.QRCode, try_invert=inverted)
    assert len(found) == 1, f"{len(found)} codes found"
    return found[0].text


@pytest.mark.parametrize("dark", [True, False], ids=["dark terminal", "light terminal"])
@pytest.mark.parametrize("text", [SAMPLE, LONGEST], ids=["the page's sample", "512 characters"])
@pytest.mark.parametrize("border", [4, 2])
@pytest.mark.parametrize("error", ["L", "M"])
def test_a_terminal_drawing_in_colour_scans_on_any_terminal(
    text: str, dark: bool, border: int, error: qr.ErrorLevel
) -> None:
    drawing = qr.terminal(text, border=border, error=error)
    assert read_back(picture_of_terminal(drawing, dark=dark)) == text


@pytest.mark.parametrize("light_terminal", [True, False])
def test_a_drawing_without_colour_scans_where_the_terminal_is_as_told(light_terminal: bool) -> None:
    drawing = qr.terminal(SAMPLE, colour=False, light_terminal=light_terminal)
    assert "\x1b" not in drawing
    assert read_back(picture_of_terminal(drawing, dark=not light_terminal)) == SAMPLE


def test_a_drawing_without_colour_on_the_other_kind_of_terminal_is_read_as_an_inverted_one() -> None:
    picture = picture_of_terminal(qr.terminal(SAMPLE, colour=False), dark=False)
    assert read_back(picture, inverted=True) == SAMPLE


@given(st.binary(min_size=1, max_size=384))
@settings(max_examples=25, deadline=None)
def test_any_base64_text_comes_back_from_a_terminal_as_it_was(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    assert read_back(picture_of_terminal(qr.terminal(text), dark=True)) == text


@pytest.mark.parametrize("text", [SAMPLE, LONGEST, "AA=="])
def test_a_png_scans(text: str) -> None:
    assert read_back(Image.open(io.BytesIO(qr.png(text, scale=3)))) == text


def test_an_svg_holds_the_same_modules_as_the_png() -> None:
    document = qr.svg(SAMPLE, scale=1)
    path = re.search(r'class="qrline"[^>]* d="([^"]+)"|d="([^"]+)"[^>]*class="qrline"', document)
    assert path, document
    drawn = Image.new("1", (57, 57), 1)
    x = y = 0.0
    for command, numbers in re.findall(r"([Mmh])([-\d. ]+)", path.group(1) or path.group(2)):
        values = [float(number) for number in numbers.split()]
        if command == "h":
            for step in range(int(values[0])):
                drawn.putpixel((int(x) + step, int(y - 0.5)), 0)
            x += values[0]
        elif command == "M":
            x, y = values
        else:
            x, y = x + values[0], y + values[1]
    expected = Image.open(io.BytesIO(qr.png(SAMPLE, scale=1))).convert("1")
    assert drawn.tobytes() == expected.tobytes()


@pytest.mark.parametrize("error", ["L", "M", "Q", "H"])
@pytest.mark.parametrize("text", [SAMPLE, LONGEST, "hQVDUFYwMQ=="])
def test_the_version_is_the_smallest_that_holds_the_text_in_byte_mode_at_that_level(
    text: str, error: qr.ErrorLevel
) -> None:
    columns, lines = qr.terminal_size(text, error=error, border=0)
    smallest = segno.make_qr(text.encode("ascii"), error=error, mode="byte", boost_error=False)
    assert columns == len(smallest.matrix)
    assert lines == (columns + 1) // 2


def test_the_mode_is_byte_without_an_eci_header() -> None:
    found = zxingcpp.read_barcode(
        Image.open(io.BytesIO(qr.png("12345678")))
    )  # digits could go in another mode
    assert found is not None
    assert found.symbology_identifier == "]Q1"  # ]Q2 would be a symbol with ECI
    assert found.text == "12345678"
    columns, _ = qr.terminal_size("1234" * 9, error="L", border=0)
    assert columns == 29  # version 3: 36 bytes; 36 digits in numeric mode would fit version 1 at 21 modules


def test_a_terminal_drawing_is_as_large_as_it_says() -> None:
    drawing = qr.terminal(SAMPLE, colour=False, border=2).splitlines()
    assert (len(drawing[0]), len(drawing)) == qr.terminal_size(SAMPLE, border=2) == (45, 23)


@pytest.mark.parametrize("draw", [qr.svg, qr.png, qr.terminal, qr.terminal_size])
@pytest.mark.parametrize(
    "text",
    ["", "hQV", "hQVD UFY", "한글", "hQVD\n", "-_-_", LONGEST + "AAAA", None, b"hQVD", 7],
    ids=str,
)
def test_what_is_no_base64_of_512_characters_is_refused(draw: object, text: object) -> None:
    with pytest.raises(EncodeError):
        draw(text)  # type: ignore[operator]


@pytest.mark.parametrize(
    "sizes", [{"border": -1}, {"border": 41}, {"scale": 0}, {"scale": 101}, {"error": "X"}]
)
def test_sizes_out_of_range_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(CpmqrError):
        qr.png(SAMPLE, **sizes)  # type: ignore[arg-type]
