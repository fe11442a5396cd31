"""Where a payload comes from: the command line, stdin, a text file, the picture of a QR."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from cpmqr.emv.text import BASE64_START, TEXT_CHARACTERS_MAX
from cpmqr.errors import ConfigError, DecodeError

FILE_BYTES_MAX: Final = 20 * 1024 * 1024  # a photograph; a QR needs a thousandth of it
PIXELS_MAX: Final = 50_000_000  # a small file can hold a huge picture
_PICTURE_STARTS: Final = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF", b"II*\x00", b"MM\x00*")


def read_payload(argument: str) -> str | bytes:
    """Give the text or the bytes that a command's PAYLOAD stands for.

    Args:
        argument: Base64 or hex; `-` for stdin; or the path of a file: a picture, text, or the binary payload.

    Raises:
        ConfigError: a file can't be read, or the `image` extra is not installed.
        DecodeError: a picture has no QR.
    """
    if argument == "-":
        return _content(sys.stdin.buffer.read(FILE_BYTES_MAX + 1), "stdin")
    if len(argument) <= TEXT_CHARACTERS_MAX and (path := _file(argument)) is not None:
        try:
            with path.open("rb") as file:
                return _content(file.read(FILE_BYTES_MAX + 1), argument)
        except OSError as error:
            raise ConfigError(f"{argument} can't be read: {error.strerror}") from None
    if Path(argument).suffix.lower() in {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff"}:
        raise ConfigError(f"there is no file {argument}")
    return argument


def _file(argument: str) -> Path | None:
    if argument.startswith(BASE64_START):
        return None
    try:
        path = Path(argument)
        return path if path.is_file() else None
    except (OSError, ValueError):  # too long for a path, or a NUL in it
        return None


def _content(content: bytes, name: str) -> str | bytes:
    if len(content) > FILE_BYTES_MAX:
        raise ConfigError(
            f"{name} is over {FILE_BYTES_MAX // 1024 // 1024} MiB: no payload, and no picture of one"
        )
    if content.startswith(_PICTURE_STARTS):
        return _read_picture(content, name)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content  # the binary payload: it begins with the byte 85, which no UTF-8 text does


def _read_picture(content: bytes, name: str) -> str:
    """Read the QR in a picture; where there are several, the one that is a payment's.

    `ModuleNotFoundError` for the `image` extra is left to the command's frame, which says how to install it.
    """
    import io

    try:
        import zxingcpp
        from PIL import Image, UnidentifiedImageError
    except ModuleNotFoundError:
        raise ConfigError("pictures need an extra: pip install 'cpmqr[image]'") from None
    try:
        with Image.open(io.BytesIO(content)) as picture:
            if picture.width * picture.height > PIXELS_MAX:
                raise ConfigError(
                    f"{name} has over {PIXELS_MAX // 1_000_000} million pixels: crop it to the QR"
                )
            codes = zxingcpp.read_barcodes(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        if isinstance(error, ConfigError):
            raise
        raise DecodeError(f"{name} is no picture that can be read") from None
    texts = [code.text for code in codes if code.valid and "QR" in str(code.format)]
    if not texts:
        raise DecodeError(f"no QR was found in {name}: crop it, or take it larger and sharper")
    return next((text for text in texts if text.startswith(BASE64_START)), texts[0])
