"""`cpmqr requestor`: wallets, authorisers and operators, and their credentials."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

import typer

from cpmqr.cli.database import (
    AfterOption,
    ConfigOption,
    DatabaseOption,
    DataOption,
    Deployment,
    JsonOption,
    LimitOption,
    Where,
    opened,
)
from cpmqr.cli.records import credential_record, requestor_record, show, show_page
from cpmqr.errors import ConfigError, Refusal
from cpmqr.model import HashMode, Requestor, Role
from cpmqr.service.requestors import NewCredential
from cpmqr.wire import codes

_COLUMNS: Final = ("requestor_id", "name", "role", "suspended", "hash_crc", "crypto_types", "networks")
_CREDENTIAL_COLUMNS: Final = ("credential_id", "created_at")

IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="11 digits; a name for an authoriser or operator.")
]
HashCrcOption = Annotated[HashMode | None, typer.Option("--hash-crc", help="What HASH_CRC means.")]
CryptoTypesOption = Annotated[
    list[str] | None, typer.Option("--crypto-type", help="An allowed code; repeat it; none means all.")
]
NetworksOption = Annotated[
    list[str] | None, typer.Option("--network", help="An allowed source, CIDR; repeat it; none means any.")
]
RateOption = Annotated[
    int | None, typer.Option("--rate-limit", min=0, help="Requests a second; 0 is no limit.")
]
TokenRateOption = Annotated[
    int | None,
    typer.Option("--token-rate-limit", min=0, help="Requests a second for one token; 0 is no limit."),
]
WebhookOption = Annotated[
    str | None, typer.Option("--webhook", help="https:// address that results are told to.")
]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        help="Wallets' companies, authorisers and operators, and their credentials.", no_args_is_help=True
    )
    group.command("create")(create)
    group.command("list")(list_requestors)
    group.command("show")(show_requestor)
    group.command("set")(change)
    group.command("suspend")(suspend)
    group.command("resume")(resume)
    credentials = typer.Typer(
        help="Credentials: two may be live, so that one replaces another.", no_args_is_help=True
    )
    credentials.command("add")(add_credential)
    credentials.command("list")(list_credentials)
    credentials.command("revoke")(revoke_credential)
    group.add_typer(credentials, name="credential")
    app.add_typer(group, name="requestor")


def create(
    requestor_id: IdArgument,
    name: Annotated[str, typer.Option(help="For people.")],
    role: Annotated[Role, typer.Option(help="What its credential may ask for.")] = Role.REQUESTOR,
    sandbox: Annotated[bool, typer.Option(help="May use CRYPTO_TYPE 00, in a sandbox.")] = False,
    hash_crc: HashCrcOption = None,
    crypto_types: CryptoTypesOption = None,
    networks: NetworksOption = None,
    rate_limit: RateOption = None,
    token_rate_limit: TokenRateOption = None,
    webhook: WebhookOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add one, with its first credential: it is printed this once and can't be read back."""
    requestor = Requestor(
        requestor_id=requestor_id,
        name=name,
        role=role,
        suspended=False,
        sandbox=sandbox,
        hash_crc=hash_crc or HashMode.HMAC_SHA256,
        crypto_types=tuple(crypto_types or ()),
        networks=tuple(networks or ()),
        rate_limit_per_s=rate_limit or 0,
        token_rate_limit_per_s=token_rate_limit or 0,
        webhook_url=webhook or "",
    )

    async def run(deployment: Deployment) -> None:
        now_s = int(time.time())
        created = await deployment.requestors.create(deployment.actor, requestor, now_s)
        new = await deployment.requestors.add_credential(deployment.actor, requestor_id, now_s)
        show({**requestor_record(created), **_shown_once(new)}, as_json)

    _on(Where(config, data, database), run)


def list_requestors(
    after: AfterOption = "",
    limit: LimitOption = 100,
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """List them, by id."""

    async def run(deployment: Deployment) -> None:
        page = await deployment.requestors.page(after=after, limit=limit)
        next_after = page[-1].requestor_id if len(page) == limit else None
        show_page("requestors", list(map(requestor_record, page)), _COLUMNS, as_json, next_after)

    _on(Where(config, data, database), run)


def show_requestor(
    requestor_id: IdArgument,
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one."""

    async def run(deployment: Deployment) -> None:
        show(requestor_record(await deployment.requestors.get(requestor_id)), as_json)

    _on(Where(config, data, database), run)


def change(
    requestor_id: IdArgument,
    name: Annotated[str | None, typer.Option(help="For people.")] = None,
    sandbox: Annotated[bool | None, typer.Option(help="May use CRYPTO_TYPE 00, in a sandbox.")] = None,
    hash_crc: HashCrcOption = None,
    crypto_types: CryptoTypesOption = None,
    networks: NetworksOption = None,
    rate_limit: RateOption = None,
    token_rate_limit: TokenRateOption = None,
    webhook: WebhookOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change what is given and leave the rest; `--crypto-type ""` or `--network ""` empties a list."""
    given: dict[str, Any] = {
        "name": name,
        "sandbox": sandbox,
        "hash_crc": hash_crc,
        "crypto_types": _list(crypto_types),
        "networks": _list(networks),
        "rate_limit_per_s": rate_limit,
        "token_rate_limit_per_s": token_rate_limit,
        "webhook_url": webhook,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        raise ConfigError("nothing to change was given")
    _changed(requestor_id, changes, Where(config, data, database), as_json)


def suspend(
    requestor_id: IdArgument,
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse all that it asks with 2003, until it is resumed."""
    _changed(requestor_id, {"suspended": True}, Where(config, data, database), as_json)


def resume(
    requestor_id: IdArgument,
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve a suspended one again."""
    _changed(requestor_id, {"suspended": False}, Where(config, data, database), as_json)


def add_credential(
    requestor_id: IdArgument,
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a second credential, to replace the first: it is printed this once and can't be read back."""

    async def run(deployment: Deployment) -> None:
        new = await deployment.requestors.add_credential(deployment.actor, requestor_id, int(time.time()))
        show({"requestor_id": requestor_id, **_shown_once(new)}, as_json)

    _on(Where(config, data, database), run)


def list_credentials(
    requestor_id: IdArgument,
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the live credentials by their ids."""

    async def run(deployment: Deployment) -> None:
        live = await deployment.requestors.credentials(requestor_id)
        show_page("credentials", list(map(credential_record, live)), _CREDENTIAL_COLUMNS, as_json)

    _on(Where(config, data, database), run)


def revoke_credential(
    credential_id: Annotated[str, typer.Argument(help="As `credential list` shows it.")],
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a credential; every gateway refuses it within five seconds."""

    async def run(deployment: Deployment) -> None:
        now_s = int(time.time())
        if not await deployment.requestors.revoke_credential(deployment.actor, credential_id, now_s):
            raise Refusal(codes.MEMBER_WRONG, "credential_id: there is no such live credential")
        show({"credential_id": credential_id, "revoked": True}, as_json)

    _on(Where(config, data, database), run)


def _changed(requestor_id: str, changes: dict[str, Any], where: Where, as_json: bool) -> None:
    async def run(deployment: Deployment) -> None:
        now_s = int(time.time())
        after = await deployment.requestors.change(deployment.actor, requestor_id, now_s, **changes)
        show(requestor_record(after), as_json)

    _on(where, run)


def _on(where: Where, run: Callable[[Deployment], Awaitable[None]]) -> None:
    async def with_database() -> None:
        async with opened(where) as deployment:
            await run(deployment)

    asyncio.run(with_database())


def _list(values: list[str] | None) -> tuple[str, ...] | None:
    """Options given; an empty one alone empties the list, none leaves it."""
    return tuple(value for value in values if value) if values else None


def _shown_once(new: NewCredential) -> dict[str, str]:
    return {"credential_id": new.credential.credential_id, "authorization": new.reveal_text()}
