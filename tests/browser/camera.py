"""A film for Chromium's fake camera: the picture of a QR as it lies in front of a till."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

from PIL import Image

WIDTH: Final = 640
HEIGHT: Final = 480
QR_PIXELS: Final = 400
FRAMES: Final = 4  # Chromium plays it round and round


def film(picture: bytes, path: Path) -> None:
    """Write a film of a QR (a PNG) on a grey table, a little askew, as uncompressed YUV4MPEG2."""
    code = Image.open(io.BytesIO(picture)).convert("L").resize((QR_PIXELS, QR_PIXELS))
    table = Image.new("L", (WIDTH, HEIGHT), 150)
    table.paste(code, ((WIDTH - QR_PIXELS) // 2, (HEIGHT - QR_PIXELS) // 2))
    grey = table.rotate(4, fillcolor=150).tobytes()
    no_colour = b"\x80" * (WIDTH * HEIGHT // 2)
    frame = b"FRAME\n" + grey + no_colour
    path.write_bytes(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F10:1 Ip A1:1 C420mpeg2\n".encode() + frame * FRAMES)
