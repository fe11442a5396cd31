"""`cpmqr qr`: the QR of a payload, alone."""

from __future__ import annotations

import base64
import binascii
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from cpmqr.cli import output, qr_screen
from cpmqr.errors import CpmqrError, DecodeError, EncodeError

INPUT_CHARACTERS_MAX: Final = 4096  # ours: eight times what a QR may hold, so that blanks in a hex dump fit


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("qr")(draw)


def draw(
    payload: Annotated[str, typer.Argument(help="Base64 as it is to be scanned, or hex; `-` reads stdin.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A file ending in .svg or .png; else the terminal.")
    ] = None,
) -> None:
    """Draw the QR of a payload, to a file or in the terminal.

    The text is drawn as it is. One that breaks a rule of CPM is drawn too, for a till's tests; stderr says so.

    Examples:

    - `cpmqr qr hQVDUFYw… -o qr.svg`
    - `cpmqr request --json | jq -r .CPMQR_DATA | cpmqr qr -`
    """
    if out is not None:
        qr_screen.check_ending(out)
    text = _base64_of(sys.stdin.read(INPUT_CHARACTERS_MAX + 1) if payload == "-" else payload)
    _warn_of_broken_rules(text)
    if out is None:
        qr_screen.draw(text)
    else:
        qr_screen.write(out, text)


def _base64_of(text: str) -> str:
    """Take hex as well: a CPM payload's first byte is 85, and its Base64 begins with hQ."""
    text = text.strip()
    if len(text) > INPUT_CHARACTERS_MAX:
        raise EncodeError(f"a payload of more than {INPUT_CHARACTERS_MAX} characters is none")
    if not text.startswith("85"):
        return text
    try:
        return base64.b64encode(binascii.unhexlify("".join(text.split()))).decode()
    except ValueError:
        return text


def _warn_of_broken_rules(text: str) -> None:
    from cpmqr.emv import cpm, rules
    from cpmqr.emv.findings import Level

    try:
        findings = rules.validate(cpm.decode(text))
    except DecodeError as error:
        output.note(f"warning: this is no CPM payload: {error}")
    except CpmqrError as error:
        output.note(f"warning: {error}")
    else:
        for finding in findings:
            if finding.level is Level.ERROR:
                output.note(f"warning: it breaks a rule: {finding.text}")
