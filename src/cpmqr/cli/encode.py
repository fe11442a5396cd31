"""`cpmqr encode`: a payload from values."""

from __future__ import annotations

import base64
from typing import Annotated

import typer

from cpmqr.cli import output
from cpmqr.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("encode")(encode)


def encode(
    values: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="tag=value…",
            help="A tag and its value in hex (`9F36=008B`) or as text (`50=text:WALLET`), "
            "or a name and its digits (`pan=5350206900000066`).",
        ),
    ] = None,
    profile: Annotated[
        str, typer.Option("--profile", help="The scheme's profile: a built-in name or a TOML file.")
    ] = "emvco",
    as_hex: Annotated[bool, typer.Option("--hex", help="Print hex in place of Base64.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: base64, hex, length.")] = False,
) -> None:
    """Make a payload from values, in the layout of a scheme's profile; what is left out takes the profile's default.

    `cpmqr profile show NAME` tells what a profile asks for. Nothing is printed that breaks a rule.

    Examples:

    - `cpmqr encode --profile qris pan=9360091400000000001 9F74=text:REF123`

    - `cpmqr encode --profile bc-domestic pan=5350206900000066 psn=02 expiry=3012 service_code=601
      discretionary=0000000000099 atc=008B dki=05 issued_at=20261123090000 9F37=66E03B45 9F26=9844477339EBD67D`
    """
    from cpmqr.emv.compose import compose
    from cpmqr.emv.encode import encode as write
    from cpmqr.emv.profile import Profile

    binary = write(compose(Profile.load(profile), _read_values(values or [])))
    text = base64.b64encode(binary).decode()
    if as_json:
        output.print_json({"base64": text, "hex": binary.hex().upper(), "length": len(binary)})
    else:
        print(binary.hex().upper() if as_hex else text)


def _read_values(arguments: list[str]) -> dict[str, list[str]]:
    """Read `tag=value` and `name=value`; tags are made upper-case, names lower-case."""
    values: dict[str, list[str]] = {}
    for number, argument in enumerate(arguments, 1):
        name, equals, value = argument.partition("=")
        if not equals or not name:
            # It is not repeated: a PAN may stand there, without its name.
            raise ConfigError(f"argument {number} is not tag=value, such as 9F36=008B")
        is_tag = not name.strip("0123456789abcdefABCDEF")
        values.setdefault(name.upper() if is_tag else name.lower(), []).append(value)
    return values
