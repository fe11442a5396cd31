"""`cpmqr request`: ask a gateway for a QR, as a wallet does, and draw it."""

from __future__ import annotations

import contextlib
import sys
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from cpmqr.cli import output, qr_screen
from cpmqr.cli import wallet_settings as ws
from cpmqr.errors import ConfigError, CpmqrError, OutcomeUnknown, Refused

if TYPE_CHECKING:
    from cpmqr.client import Attempt, Gateway, Prepared, QrData, Wallet

_ASKED: Final = "What is asked for"
_RESULT: Final = "What becomes of it"

_Pan: TypeAlias = Annotated[
    str | None, ws.option("--pan", panel=_ASKED, text="Digital PAN; else the sandbox's first active token.")
]
_TraceNo: TypeAlias = Annotated[
    str | None, ws.option("--trace-no", panel=_ASKED, text="TRNS_TRCE_NO; else made up.")
]
_RequestTime: TypeAlias = Annotated[
    str | None,
    ws.option(
        "--request-time",
        panel=_ASKED,
        text="yyyymmddHHMMSS, Korean time; else now. With --trace-no it repeats an earlier request.",
    ),
]
_DnfDv: TypeAlias = Annotated[
    str, ws.option("--dnf-dv", panel=_ASKED, text="DNF_DV: 1 is the token's domestic scheme.")
]
_AppDv: TypeAlias = Annotated[str, ws.option("--app-dv", panel=_ASKED, text="APP_DV, kept with the issue.")]
_SandboxResult: TypeAlias = Annotated[
    str | None,
    ws.option("--sandbox-result", panel=_ASKED, text="Make a sandbox answer this code, such as 9003."),
]
_Out: TypeAlias = Annotated[
    Path | None, ws.option("--out", "-o", panel=_RESULT, text="Write the QR to a .svg or .png.")
]
_Json: TypeAlias = Annotated[
    bool,
    ws.option("--json", panel=_RESULT, text="Print RESPONSE's members and http_status, one flat object."),
]
_Curl: TypeAlias = Annotated[
    bool,
    ws.option(
        "--curl", panel=_RESULT, text="Send nothing; print a curl line that would, credential included."
    ),
]
_Wait: TypeAlias = Annotated[
    bool, ws.option("--wait/--no-wait", panel=_RESULT, text="Count down in a terminal while the QR is valid.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("request")(request)


def request(
    context: typer.Context,
    pan: _Pan = None,
    trace_no: _TraceNo = None,
    request_time: _RequestTime = None,
    dnf_dv: _DnfDv = "1",
    app_dv: _AppDv = "",
    sandbox_result: _SandboxResult = None,
    out: _Out = None,
    as_json: _Json = False,
    curl: _Curl = False,
    wait: _Wait = True,
    sandbox_file: ws.SandboxFile = None,
    config: ws.ConfigFile = None,
    url: ws.Url = None,
    requestor_id: ws.RequestorId = None,
    authorization: ws.Authorization = None,
    authorization_file: ws.AuthorizationFile = None,
    ca_bundle: ws.CaBundle = None,
    insecure: ws.Insecure = False,
    crypto_type: ws.CryptoType = None,
    key_ver: ws.KeyVer = None,
    key_file: ws.KeyFile = None,
    hash_crc: ws.HashMode = None,
    hash_key_file: ws.HashKeyFile = None,
    spelling: ws.Spelling = None,
) -> None:
    """Ask a gateway for a QR, as a wallet does, and draw it in the terminal.

    Without options it asks the sandbox of this folder. Exit status: 0 a QR, 1 a refusal, 2 wrong usage, 3 no gateway.

    Examples:

    - `cpmqr request`
    - `cpmqr request --crypto-type 11 --json`
    - `cpmqr request --out qr.png`
    - `cpmqr request --config wallet.toml --pan 5350206900000066`
    """
    if out is not None:
        qr_screen.check_ending(out)
    found = ws.find(ws.Given.among(context.params))
    pan = pan or (found.sandbox.first_active_pan() if found.sandbox else None)
    if pan is None:
        raise ConfigError("give --pan: without a sandbox's file no token is known")
    watch = _Watch(quiet=as_json)
    with _wallet(found.gateway, sandbox_result, watch) as wallet:
        prepared = wallet.prepare(
            pan=pan, trace_no=trace_no, request_time=request_time, dnf_dv=dnf_dv, app_dv=app_dv
        )
        if curl:
            print(prepared.curl(reveal=True))
            return
        qr = _send(wallet, prepared, watch, as_json)
    _show(qr, out, as_json, wait)


def _wallet(gateway: Gateway, sandbox_result: str | None, watch: _Watch) -> Wallet:
    from cpmqr.client import Wallet

    if sandbox_result is None:
        return Wallet(gateway, observe=watch)
    return Wallet(gateway, observe=watch, headers={**gateway.headers, "X-Sandbox-Result": sandbox_result})


class _Watch:
    """Tells a person of attempts that are made again, and keeps the last answer for `--json`."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self.last: Attempt | None = None

    def __call__(self, attempt: Attempt) -> None:
        self.last = attempt
        if attempt.pause_s is not None and not self._quiet:
            when = f"in {attempt.pause_s:.1f} s" if attempt.pause_s >= 0.05 else "at once"
            output.note(f"attempt {attempt.number}: {attempt.problem}; again {when}")


def _send(wallet: Wallet, prepared: Prepared, watch: _Watch, as_json: bool) -> QrData:
    from cpmqr.client.answer import read_members

    try:
        return wallet.send(prepared)
    except CpmqrError as error:
        answer = watch.last.answer if watch.last else None
        members = read_members(answer) if answer else None
        # What can't be trusted is not printed as if it were an answer.
        if as_json and answer and members and isinstance(error, (Refused, OutcomeUnknown)):
            output.print_json({**members, "http_status": answer.status})
        if answer and answer.incident:
            output.note(f"the gateway's operator finds this as incident {answer.incident}")
        raise


def _show(qr: QrData, out: Path | None, as_json: bool, wait: bool) -> None:
    if out is not None:
        qr_screen.write(out, qr.base64)
    if as_json:
        output.print_json({**qr.members, "http_status": qr.http_status})
        return
    expires_at = qr.expires_at.astimezone(UTC)
    if out is None:
        qr_screen.draw(qr.base64)
    else:
        print(f"wrote {out}")
    print(f"  trace number {qr.trace_no}")
    print(f"  {len(qr.base64)} characters of Base64, valid until {expires_at:%H:%M:%S} UTC")
    if out is None and wait and sys.stdout.isatty():
        with contextlib.suppress(KeyboardInterrupt):
            qr_screen.count_down(expires_at.timestamp())
            return
        print()
