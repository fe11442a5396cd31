"""`cpmqr token`: provision, import, list, suspend, resume, delete."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from cpmqr.cli import output
from cpmqr.cli.database import (
    AfterOption,
    ConfigOption,
    DatabaseOption,
    DataOption,
    Deployment,
    JsonOption,
    KekFileOption,
    LimitOption,
    Where,
    opened,
)
from cpmqr.cli.records import show, show_page, token_record
from cpmqr.errors import ConfigError
from cpmqr.model import Role, Token, TokenPan, TokenState
from cpmqr.service.token_import import LINE_CHARACTERS_MAX, LINES_MAX, ImportReport, Made, import_tokens
from cpmqr.service.tokens import (
    SERVICE_CODE_DEFAULT,
    BinRange,
    TokenOrder,
    TokenRules,
    Tokens,
    read_token_ref,
    token_ref,
)

_COLUMNS: Final = ("token_id", "pan", "requestor_id", "standing", "expiry", "profile", "atc", "funding_ref")

TokenArgument = Annotated[
    str | None, typer.Argument(metavar="[TOKEN]", help="Its id, 16 hex digits; or give --pan.")
]
PanOption = Annotated[
    str | None,
    typer.Option("--pan", help="The token's PAN; `-` reads it from stdin, past the shell's history."),
]
BinOption = Annotated[str, typer.Option("--bin", help="Make PANs that begin so [the configured ranges].")]
PanDigitsOption = Annotated[int, typer.Option("--pan-digits", help="Digits of a PAN, beside --bin.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        help="Tokens: provision, import, list, suspend, resume, delete.", no_args_is_help=True
    )
    group.command("provision")(provision)
    group.command("import")(import_file)
    group.command("list")(list_tokens)
    group.command("show")(show_token)
    group.command("suspend")(suspend)
    group.command("resume")(resume)
    group.command("delete")(delete)
    app.add_typer(group, name="token")


def provision(
    requestor: Annotated[str, typer.Option(help="The requestor that the token is for.")],
    expiry: Annotated[str, typer.Option(help="yymm.")],
    pan: PanOption = None,
    bin_prefix: BinOption = "",
    pan_digits: PanDigitsOption = 16,
    psn: Annotated[str, typer.Option(help="Card sequence number, 2 digits.")] = "00",
    service_code: Annotated[str, typer.Option(help="3 digits of track 2.")] = SERVICE_CODE_DEFAULT,
    discretionary: Annotated[str | None, typer.Option(help="Track 2's last digits [zeros].")] = None,
    profile: Annotated[str, typer.Option(help="Scheme profile [bc-domestic].")] = "",
    funding_ref: Annotated[str, typer.Option(help="Your own reference to what is charged.")] = "",
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    kek_file: KekFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token. A PAN that is made here is printed this once; a given one is printed masked."""
    ad_hoc = BinRange(bin_prefix, pan_digits) if bin_prefix else None
    order = TokenOrder(
        requestor_id=requestor,
        expiry=expiry,
        pan=_read_pan(pan) if pan is not None else None,
        psn=psn,
        service_code=service_code,
        discretionary=discretionary,
        profile=profile,
        funding_ref=funding_ref,
    )

    async def run() -> None:
        now_s = int(time.time())
        async with opened(Where(config, data, database, kek_file)) as deployment:
            tokens = await _tokens(deployment, ad_hoc)
            new = await tokens.provision(deployment.actor, order, now_s)
        record = dict(token_record(new.token, now_s))
        if order.pan is None:
            record["pan"] = new.pan.reveal()
        show(record, as_json)

    asyncio.run(run())


def import_file(
    file: Annotated[
        str,
        typer.Argument(help="CSV; its first line names the columns: expiry, and where wanted pan, psn, …"),
    ],
    requestor: Annotated[str, typer.Option(help="For lines that name no requestor_id.")] = "",
    out: Annotated[
        str | None,
        typer.Option(help="New file (mode 0600) for PANs that are made; without it each must be given."),
    ] = None,
    bin_prefix: BinOption = "",
    pan_digits: PanDigitsOption = 16,
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    kek_file: KekFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token of each line. What can't be made is reported with its line, and stops no other; then exit 1."""
    if bin_prefix and out is None:
        raise ConfigError("--bin needs --out: PANs that are made must be kept somewhere")
    ad_hoc = BinRange(bin_prefix, pan_digits) if bin_prefix else None

    async def run(keep_made: Callable[[Made], None] | None) -> ImportReport:
        async with opened(Where(config, data, database, kek_file)) as deployment:
            return await import_tokens(
                await _tokens(deployment, ad_hoc),
                deployment.actor,
                _lines(Path(file)),
                int(time.time()),
                requestor_id=requestor,
                keep_made=keep_made,
            )

    if out is None:
        report = asyncio.run(run(None))
    else:
        with _kept(Path(out)) as keep_made:
            report = asyncio.run(run(keep_made))
    _show_report(report, as_json)
    if report.refused:
        raise typer.Exit(output.EXIT_NEGATIVE)


def list_tokens(
    requestor: Annotated[str, typer.Option(help="Those of one requestor.")] = "",
    state: Annotated[TokenState | None, typer.Option(help="Those in one state.")] = None,
    after: AfterOption = "",
    limit: LimitOption = 100,
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    kek_file: KekFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List tokens, PANs masked."""

    async def run() -> None:
        async with opened(Where(config, data, database, kek_file)) as deployment:
            tokens = await _tokens(deployment)
            page = await tokens.page(
                requestor_id=requestor, state=state, after=read_token_ref(after) if after else 0, limit=limit
            )
        now_s = int(time.time())
        next_after = None if page.after is None else token_ref(page.after)
        show_page(
            "tokens", [token_record(token, now_s) for token in page.tokens], _COLUMNS, as_json, next_after
        )

    asyncio.run(run())


def show_token(
    token: TokenArgument = None,
    pan: PanOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    kek_file: KekFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one token."""
    _one(token, pan, Where(config, data, database, kek_file), as_json, "show")


def suspend(
    token: TokenArgument = None,
    pan: PanOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    kek_file: KekFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop a token: no QR is issued, and its live ones do not verify, until it is resumed."""
    _one(token, pan, Where(config, data, database, kek_file), as_json, "suspend")


def resume(
    token: TokenArgument = None,
    pan: PanOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    kek_file: KekFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a suspended token active again."""
    _one(token, pan, Where(config, data, database, kek_file), as_json, "resume")


def delete(
    token: TokenArgument = None,
    pan: PanOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    kek_file: KekFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a token for good. Its PAN is never given out again."""
    _one(token, pan, Where(config, data, database, kek_file), as_json, "delete")


def _one(token: str | None, pan: str | None, where: Where, as_json: bool, action: str) -> None:
    if (token is None) == (pan is None):
        raise ConfigError("name the token by its id or by --pan")
    given_pan = _read_pan(pan) if pan is not None else None

    async def run() -> Token:
        async with opened(where) as deployment:
            tokens = await _tokens(deployment)
            found = await (tokens.by_pan(given_pan) if given_pan else tokens.get(read_token_ref(token or "")))
            if action == "show":
                return found
            move = {"suspend": tokens.suspend, "resume": tokens.resume, "delete": tokens.delete}[action]
            return await move(deployment.actor, found.token_id, int(time.time()))

    show(token_record(asyncio.run(run()), int(time.time())), as_json)


async def _tokens(deployment: Deployment, ad_hoc: BinRange | None = None) -> Tokens:
    """Give the tokens of a deployment; PANs are made in the range named here, else in the configured ones."""
    directory = await deployment.store.directory()
    rules = TokenRules(
        requestors=frozenset(
            requestor.requestor_id for requestor in directory.requestors if requestor.role is Role.REQUESTOR
        ),
        profiles=tuple(deployment.profiles),
        ranges=(ad_hoc,) if ad_hoc else deployment.settings.provisioning.ranges,
    )
    return Tokens(deployment.store, await deployment.vault(), rules)


def _read_pan(text: str) -> TokenPan:
    try:
        return TokenPan(typer.get_text_stream("stdin").readline(64).strip() if text == "-" else text)
    except ValueError as error:
        raise ConfigError(f"--pan: {error}") from None


def _lines(path: Path) -> Iterator[str]:
    if path.stat().st_size > LINES_MAX * LINE_CHARACTERS_MAX:
        raise ConfigError(f"{path} is too long: split it")
    # What is no UTF-8 becomes characters that no field allows, so that its line is refused and not the file.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        yield from lines


@contextmanager
def _kept(path: Path) -> Iterator[Callable[[Made], None]]:
    """Give a function that appends the PANs that were made to a new file of mode 0600, durably."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError(f"{path} exists: it is not overwritten") from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write("line,token_id,pan\n")

        def keep(made: Made) -> None:
            for line, new in made:
                file.write(f"{line},{token_ref(new.token.token_id)},{new.pan.reveal()}\n")
            file.flush()
            os.fsync(file.fileno())

        yield keep


def _show_report(report: ImportReport, as_json: bool) -> None:
    if as_json:
        output.print_json(
            {
                "stored": report.stored,
                "made": report.made,
                "refused": [msgspec.structs.asdict(line) for line in report.refused],
            }
        )
        return
    print(f"{report.stored} tokens stored, {len(report.refused)} lines refused")
    for line in report.refused:
        print(f"  line {line.line}: {line.reason}")
