"""`cpmqr verify`: ask a gateway whether a QR is its own, fresh and unused, as an authoriser does."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from cpmqr.cli import output
from cpmqr.errors import ConfigError

if TYPE_CHECKING:
    from cpmqr.client.authoriser import Verdict
    from cpmqr.client.endpoint import Endpoint

INPUT_CHARACTERS_MAX: Final = 4_096  # twice what the call takes, so that line feeds and blanks fit
ENV_URL: Final = "CPMQR_URL"
ENV_AUTHORIZATION: Final = "CPMQR_AUTHORIZATION"
_SANDBOX_FILE: Final = Path("var/sandbox.json")
_ASKED: Final = "What is asked"
_WHERE: Final = "Where the gateway is"

_Payload: TypeAlias = Annotated[
    str | None, typer.Argument(help="The QR's text, Base64 or hex; `-` reads stdin.")
]
_AuthorizationId: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--authorization-id",
        rich_help_panel=_ASKED,
        help="Your name of this authorisation; else made up. The same one again gets the same answer.",
    ),
]
_Track2: TypeAlias = Annotated[
    str | None, typer.Option("--track2", rich_help_panel=_ASKED, help="In place of the payload: DE 35.")
]
_IccData: TypeAlias = Annotated[
    str | None, typer.Option("--icc-data", rich_help_panel=_ASKED, help="And with it: DE 55 as hex.")
]
_SandboxFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--sandbox-file", rich_help_panel=_WHERE, help=f"What the sandbox wrote; else {_SANDBOX_FILE}."
    ),
]
_Url: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--url", rich_help_panel=_WHERE, help=f"The gateway's base URL; wins over a file's. Or {ENV_URL}."
    ),
]
_Authorization: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--authorization",
        rich_help_panel=_WHERE,
        help=f"The authoriser's credential. Better in {ENV_AUTHORIZATION} or a file.",
    ),
]
_AuthorizationFile: TypeAlias = Annotated[
    Path | None, typer.Option("--authorization-file", rich_help_panel=_WHERE, help="A file with it.")
]
_CaBundle: TypeAlias = Annotated[
    str | None, typer.Option("--ca-bundle", rich_help_panel=_WHERE, help="Certificates to trust.")
]
_Insecure: TypeAlias = Annotated[
    bool, typer.Option("--insecure", rich_help_panel=_WHERE, help="Allow http:// to another machine.")
]
_Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print the answer's members and http_status.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify")(verify)


def verify(
    payload: _Payload = None,
    authorization_id: _AuthorizationId = None,
    track2: _Track2 = None,
    icc_data: _IccData = None,
    sandbox_file: _SandboxFile = None,
    url: _Url = None,
    authorization: _Authorization = None,
    authorization_file: _AuthorizationFile = None,
    ca_bundle: _CaBundle = None,
    insecure: _Insecure = False,
    as_json: _Json = False,
) -> None:
    """Ask whether a QR is the gateway's own, fresh and unused. If so, it is used from now on.

    Exit status: 0 approved, 1 declined or refused, 2 wrong usage, 3 no gateway.

    Examples:

    - `cpmqr request --json | jq -r .CPMQR_DATA | cpmqr verify -`
    - `cpmqr verify hQVDUFYw… --authorization-id A20261123-000017`
    - `cpmqr verify --track2 5350206900000066=3012… --icc-data 9F2608…`
    """
    from cpmqr.client.authoriser import Authoriser

    if (payload is None) == (track2 is None or icc_data is None):
        raise ConfigError("give a payload, or --track2 and --icc-data")
    text = _read_stdin() if payload == "-" else payload
    endpoint = _endpoint(
        sandbox_file,
        url or os.environ.get(ENV_URL),
        _credential(authorization, authorization_file),
        ca_bundle or "",
        insecure,
    )
    with Authoriser(endpoint) as authoriser:
        verdict = authoriser.verify(
            payload=text, track2=track2, icc_data=icc_data, authorization_id=authorization_id
        )
    _show(verdict, as_json)
    if verdict.result != "approved":
        raise typer.Exit(output.EXIT_NEGATIVE)


def _read_stdin() -> str:
    text = sys.stdin.read(INPUT_CHARACTERS_MAX + 1).strip()
    if len(text) > INPUT_CHARACTERS_MAX:
        raise ConfigError(f"a payload of more than {INPUT_CHARACTERS_MAX} characters is none")
    return text


def _credential(given: str | None, file: Path | None) -> str | None:
    from cpmqr.client.config import secret_from_file

    if given is not None and file is not None:
        raise ConfigError("the credential is given twice")
    if file is not None:
        return secret_from_file(file)
    return given or os.environ.get(ENV_AUTHORIZATION)


def _endpoint(
    sandbox_file: Path | None, url: str | None, credential: str | None, ca_bundle: str, insecure: bool
) -> Endpoint:
    from cpmqr.client.endpoint import Endpoint

    if url is not None and credential is not None:
        return Endpoint(url, credential, ca_bundle=ca_bundle, insecure=insecure)
    if url is not None and sandbox_file is None and not _SANDBOX_FILE.exists():
        raise ConfigError(
            f"--url needs the authoriser's credential: {ENV_AUTHORIZATION}, or --authorization-file"
        )
    known = Endpoint.from_sandbox(sandbox_file or _SANDBOX_FILE, side="authoriser")
    return Endpoint(
        url or known.base_url, credential or known.authorization, ca_bundle=ca_bundle, insecure=insecure
    )


def _show(verdict: Verdict, as_json: bool) -> None:
    import msgspec

    from cpmqr.wire import v1

    members = msgspec.to_builtins(verdict)
    if as_json:
        status = verdict.status if isinstance(verdict, v1.Declined) else 200
        output.print_json({**members, "http_status": status})
        return
    print(f"{verdict.result}  {verdict.rslt_cd}")
    if isinstance(verdict, v1.Declined):
        print(f"  {output.printable(verdict.detail)}")
    for name in (
        "token_id",
        "funding_ref",
        "requestor_id",
        "trace_no",
        "atc",
        "issued_at",
        "expires_at",
        "late_by_s",
        "qr_data_mapp_val",
    ):
        if members.get(name) not in (None, "", 0):
            print(f"  {name:<16} {output.printable(str(members[name]))}")
