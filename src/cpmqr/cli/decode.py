"""`cpmqr decode`: the best look at a consumer-presented QR."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cpmqr.cli import output
from cpmqr.cli.payload_input import read_payload
from cpmqr.errors import ConfigError, DecodeError

if TYPE_CHECKING:
    from cpmqr.emv.cpm import Payload
    from cpmqr.emv.explained import Explanation
    from cpmqr.emv.findings import Finding
    from cpmqr.emv.profile import Profile

_STYLES: Final = {"meaning": "", "part": "", "error": "bold red", "warning": "yellow"}
_WIDTH_MIN: Final = 80


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("decode")(decode)


def decode(
    payload: Annotated[
        str, typer.Argument(help="Base64, hex, a file (text, binary, the picture of a QR), or `-` for stdin.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, of a stable shape.")] = False,
    show_pan: Annotated[
        bool, typer.Option("--show-pan", help="Show PAN and track 2 in full; they are starred else.")
    ] = False,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Read known slips of encoders too, and say what was forgiven.")
    ] = False,
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile", help="Also tell what a scheme's profile does otherwise: a name or a TOML file."
        ),
    ] = None,
    issuer_key_file: Annotated[
        Path | None,
        typer.Option(
            help="Also check the cryptogram, under the issuer master key in this file (hex) and by --profile.",
        ),
    ] = None,
) -> None:
    """Explain a payload: every object with its bytes, its name, what it says, and every rule that is broken.

    Exit status: 0 valid (warnings are no errors), 1 not valid, 2 wrong usage.

    Examples:

    - `cpmqr decode hQVDUFYw…`
    - `cpmqr decode screenshot.png --profile unionpay`
    - `cpmqr decode hQVDUFYw… --profile bc-domestic --issuer-key-file master.hex`
    - `cpmqr request --json | jq -r .CPMQR_DATA | cpmqr decode - --json`
    """
    from cpmqr.emv.explain import explain

    wanted = _load(profile) if profile is not None else None
    proof = _proof(wanted, issuer_key_file) if issuer_key_file is not None else None
    try:
        source = read_payload(payload)
    except DecodeError as error:
        if not as_json:
            raise
        output.print_json(_unreadable(error))
        raise typer.Exit(output.EXIT_NEGATIVE) from None
    today = datetime.now(UTC).astimezone().date()
    explanation = explain(source, show_pan=show_pan, lenient=lenient, profile=wanted, today=today, more=proof)
    if as_json:
        output.print_json(explanation.to_dict())
    else:
        _draw(explanation)
        if proof is not None and "cryptogram" not in [finding.rule for finding in explanation.findings]:
            print("\n✓ the cryptogram is the one that this issuer master key gives")
        if not explanation.valid and not lenient:
            _advise_lenient(source)
    if not explanation.valid:
        raise typer.Exit(output.EXIT_NEGATIVE)


def _load(profile: str) -> Profile:
    from cpmqr.emv.profile import Profile  # brings `cryptography` along, which a plain decode does not need

    return Profile.load(profile)


def _proof(profile: Profile | None, path: Path) -> Callable[[Payload], list[Finding]]:
    """Make the check of cryptograms under the key in a file.

    Raises:
        ConfigError: no profile that has a cryptogram, or no key of its kind in the file.
    """
    from cpmqr.crypto.blocks import aes_ecb, tdes_ecb
    from cpmqr.emv.proof import check_cryptograms

    if profile is None or not profile.master_key_algorithm:
        raise ConfigError("--issuer-key-file needs --profile, of a scheme whose payloads have a cryptogram")
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except (OSError, ValueError):
        raise ConfigError(f"{path} can't be read as a key in hex") from None
    length = {"tdes-112": 16, "aes-128": 16, "aes-256": 32}[profile.master_key_algorithm]
    if len(key) != length:
        raise ConfigError(
            f"profile {profile.name} takes a key of {length} bytes ({profile.master_key_algorithm})"
        )
    encrypt = tdes_ecb(key) if profile.master_key_algorithm == "tdes-112" else aes_ecb(key)
    compiled = profile.compile()
    return lambda payload: check_cryptograms(compiled, encrypt, payload)


def _draw(explanation: Explanation) -> None:
    """Draw in colour on a terminal, in plain text anywhere else."""
    from cpmqr.emv.picture import WIDTH, plain

    if not sys.stdout.isatty():
        print(output.printable(plain(explanation, WIDTH)))
        return
    width = max(shutil.get_terminal_size((WIDTH, 24)).columns, _WIDTH_MIN)
    if not output.colour_wanted():
        print(output.printable(plain(explanation, width)))
        return
    _draw_in_colour(explanation, width)


def _draw_in_colour(explanation: Explanation, width: int) -> None:
    from rich.console import Console
    from rich.text import Text

    from cpmqr.emv.explained import finding_text
    from cpmqr.emv.picture import Row, heading, mark, rows

    def line(row: Row) -> Text:
        text = Text()
        text.append(row.offset, style="dim")
        text.append(row.header, style="cyan")
        text.append(row.octets, style="dim" if "*" in row.octets else "green")
        text.append(row.guide, style="dim")
        text.append(row.tag, style="bold cyan")
        text.append(row.text, style="bold" if row.kind == "name" else _STYLES.get(row.kind, ""))
        text.append(row.aside)
        return text

    console = Console(width=width, highlight=False, soft_wrap=True)
    console.print(Text(heading(explanation), style="bold green" if explanation.valid else "bold red"))
    console.print()
    for row in rows(explanation, width):
        console.print(line(row))
    if explanation.unplaced:
        console.print()
    for finding in explanation.unplaced:
        console.print(Text(f"{mark(finding)} {finding_text(finding)}", style=_STYLES[str(finding.level)]))


def _advise_lenient(source: str | bytes) -> None:
    """Say that a lenient reading would go, where it would."""
    from cpmqr.emv.cpm import decode as read

    try:
        forgiven = read(source, lenient=True).forgiven
    except DecodeError:
        return
    if forgiven:
        output.note("\n--lenient reads it, and forgives this.")


def _unreadable(error: DecodeError) -> dict[str, object]:
    finding = {"level": "error", "offset": None, "tag": None, "rule": "text", "text": str(error)}
    return {"valid": False, "encoding": None, "length": 0, "payload": [], "findings": [finding]}
