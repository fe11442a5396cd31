"""`cpmqr till`: what a till makes of a scanned QR."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cpmqr.cli import output
from cpmqr.cli.payload_input import read_payload
from cpmqr.errors import ConfigError, DecodeError

if TYPE_CHECKING:
    from cpmqr.emv.till import TillResult


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("till")(till)


def till(
    payload: Annotated[
        str, typer.Argument(help="Base64, hex, a file (text, binary, the picture of a QR), or `-` for stdin.")
    ],
    aid: Annotated[
        list[str],
        typer.Option(
            "--aid", help="An AID that the till supports, in hex; again for more, the preferred one first."
        ),
    ],
    terminal: Annotated[
        list[str] | None,
        typer.Option(
            "--terminal", help="What the terminal adds to DE 55, as `tag=hex`: `9F02=000000001000`."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    show_pan: Annotated[bool, typer.Option("--show-pan", help="Show PAN and track 2 in full.")] = False,
) -> None:
    """Do what a till does with a scanned QR: choose an application, split its data, make DE 55.

    Exit status: 0 an application was chosen, 1 not, 2 wrong usage.

    Example:

    - `cpmqr till hQVDUFYw… --aid D4100000014010 --terminal 9F02=000000012000 --terminal 5F2A=0410`
    """
    from cpmqr.emv.till import Outcome, Till

    reader = Till(aid)
    added = dict([_read_terminal(argument) for argument in terminal or []])
    try:
        source = read_payload(payload)
    except DecodeError as error:
        output.fail(str(error))
        raise typer.Exit(output.EXIT_NEGATIVE) from None
    result = reader.read(source)
    told = _told(result, added, show_pan)
    if as_json:
        output.print_json(told)
    else:
        _print(told)
    if result.outcome is not Outcome.ACCEPTED:
        raise typer.Exit(output.EXIT_NEGATIVE)


def _read_terminal(argument: str) -> tuple[str, bytes]:
    tag, _, value = argument.partition("=")
    try:
        return tag.upper(), bytes.fromhex(value or "without =")
    except ValueError:
        raise ConfigError("--terminal takes tag=hex, such as 9F02=000000001000") from None


def _told(result: TillResult, terminal: dict[str, bytes], show_pan: bool) -> dict[str, Any]:
    """Give a result as it may be shown."""
    from cpmqr.emv.explain import shown_hex
    from cpmqr.emv.tags import name_of
    from cpmqr.emv.till import Outcome

    if result.outcome is not Outcome.ACCEPTED or result.receipt is None:
        return {"outcome": str(result.outcome), "reason": result.reason, "section": result.section}
    return {
        "outcome": str(result.outcome),
        "aid": result.aid,
        "supported_aid": result.supported_aid,
        "pan": result.pan if show_pan else result.receipt.pan_masked,
        "application_version": result.version_number.hex().upper(),
        "receipt": {"label": result.receipt.label, "last4": result.receipt.last4},
        "poi_data": [
            {
                "tag": item.tag,
                "name": name_of(item.tag),
                "value": item.value.hex().upper() if show_pan else shown_hex(item),
            }
            for item in result.poi
        ],
        "transparent_data": result.transparent.hex().upper(),
        "de55": result.de55(terminal).hex().upper(),
    }


def _print(told: dict[str, Any]) -> None:
    """Print a result for people."""
    for name, value in told.items():
        if name == "poi_data":
            print("poi_data")
            for item in value:
                print(f"  {item['tag']:<5} {item['value']}  {item['name']}")
        elif isinstance(value, dict):
            parts = [f"{key} {text}" for key, text in value.items() if text]
            print(f"{name:<20} " + output.printable("  ".join(parts)))
        else:
            print(f"{name:<20} {output.printable(str(value))}")
