"""`cpmqr key`: make, import, activate, retire and rotate keys; wrap them and seal PANs anew.

Of a key nothing is printed but its check value.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from cpmqr.cli import output
from cpmqr.cli.database import (
    ConfigOption,
    DatabaseOption,
    DataOption,
    Deployment,
    JsonOption,
    KekFileOption,
    Where,
    opened,
)
from cpmqr.cli.key_files import read_block_file, read_components, read_hex_key
from cpmqr.cli.records import key_record, show, show_page
from cpmqr.errors import ConfigError
from cpmqr.keys.software import SoftwareKek
from cpmqr.model import KeyPurpose, WrappedKey
from cpmqr.service.key_names import KeyName
from cpmqr.service.reseal import Resealing, reseal_all

_COLUMNS: Final = ("purpose", "owner", "name", "version", "algorithm", "state", "kcv", "kek", "activated_at")

Result = TypeVar("Result")

PurposeArgument = Annotated[KeyPurpose, typer.Argument(help="What the key is for.")]
OwnerOption = Annotated[str, typer.Option("--owner", help="A requestor's id, or a profile's name.")]
NameOption = Annotated[str, typer.Option("--name", help="A transport key's CRYPTO_TYPE.")]
VersionOption = Annotated[str, typer.Option("--version", help="The key's version.")]
NextVersionOption = Annotated[str, typer.Option("--version", help="The new version [the next one].")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        help="Keys: make, import, activate, retire, rotate. See docs/keys.md.", no_args_is_help=True
    )
    group.command("kek")(make_kek)
    group.command("init")(init)
    group.command("list")(list_keys)
    group.command("generate")(generate)
    group.command("set")(generate_set)
    group.command("import")(import_key)
    group.command("export")(export)
    group.command("activate")(activate)
    group.command("retire")(retire)
    group.command("rotate")(rotate)
    group.command("rewrap")(rewrap)
    group.command("reseal")(reseal)
    app.add_typer(group, name="key")


def make_kek(
    file: Annotated[str, typer.Argument(help="The new file; it must not exist.")],
    as_json: JsonOption = False,
) -> None:
    """Make a key-encryption key in a new file of mode 0600."""
    show({"kek": SoftwareKek.create(file).kek_id, "file": file}, as_json)


def init(
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    kek_file: KekFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the gateway's own keys (vault and mapping) that are missing. Safe to repeat."""

    async def run(deployment: Deployment) -> None:
        made = await deployment.key_admin.init(deployment.actor, int(time.time()))
        _show_keys(made, as_json)

    _on(Where(config, data, database, kek_file), run)


def list_keys(
    purpose: Annotated[KeyPurpose | None, typer.Option(help="Those for one purpose.")] = None,
    owner: Annotated[str | None, typer.Option(help="Those of one owner.")] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    kek_file: KekFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List key versions by their check values."""

    async def run(deployment: Deployment) -> None:
        _show_keys(await deployment.key_admin.keys(purpose=purpose, owner=owner), as_json)

    _on(Where(config, data, database, kek_file), run)


def generate(
    purpose: PurposeArgument,
    owner: OwnerOption = "",
    name: NameOption = "",
    version: NextVersionOption = "",
    active: Annotated[bool, typer.Option("--active", help="Active at once.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    kek_file: KekFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a random key. It is pending until `key activate`."""

    async def run(deployment: Deployment) -> None:
        full_name = KeyName(purpose, owner, name, version)
        key = await deployment.key_admin.generate(
            deployment.actor, full_name, int(time.time()), activate=active
        )
        show(key_record(key), as_json)

    _on(Where(config, data, database, kek_file), run)


def generate_set(
    requestor: Annotated[str, typer.Argument(help="The requestor's id.")],
    version: NextVersionOption = "",
    crypto_types: Annotated[
        list[str] | None, typer.Option("--crypto-type", help="A code; repeat it; none means all.")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    kek_file: KekFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a whole CRYPTO_KEY_VER of a requestor, active: a key for each CRYPTO_TYPE and one for HASH_CRC.

    Hand the keys over with `key export`. Versions before stay active until `key retire`.
    """

    async def run(deployment: Deployment) -> None:
        made = await deployment.key_admin.generate_set(
            deployment.actor, requestor, version, int(time.time()), codes=crypto_types or ()
        )
        _show_keys(made, as_json)

    _on(Where(config, data, database, kek_file), run)


def import_key(
    purpose: PurposeArgument,
    owner: OwnerOption = "",
    name: NameOption = "",
    version: NextVersionOption = "",
    components: Annotated[
        list[str] | None,
        typer.Option("--component", help="FILE:KCV, a hex component in a file of mode 0600; repeat it."),
    ] = None,
    kcv: Annotated[str, typer.Option(help="Check value of the whole key.")] = "",
    tr31: Annotated[str | None, typer.Option(help="File with a TR-31 block (version B or D).")] = None,
    protection_key: Annotated[
        str | None, typer.Option(help="File of mode 0600 with the TR-31 block's protection key, hex.")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    kek_file: KekFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a key in: as components, asked for on the terminal where no file is named, or as TR-31.

    It is pending until `key activate`.
    """
    if (tr31 is None) != (protection_key is None) or (tr31 is not None and components):
        raise ConfigError("give components, or --tr31 with --protection-key")

    async def run(deployment: Deployment) -> None:
        admin, full_name = deployment.key_admin, KeyName(purpose, owner, name, version)
        if tr31 is not None and protection_key is not None:
            block, secret = read_block_file(Path(tr31)), read_hex_key(Path(protection_key))
            key = await admin.import_tr31(deployment.actor, full_name, block, secret, int(time.time()))
        else:
            parts, whole = read_components(components or [], kcv)
            key = await admin.import_components(deployment.actor, full_name, parts, whole, int(time.time()))
        show(key_record(key), as_json)

    _on(Where(config, data, database, kek_file), run)


def export(
    purpose: PurposeArgument,
    version: VersionOption,
    protection_key: Annotated[str, typer.Option(help="File of mode 0600 with the protection key, hex.")],
    owner: OwnerOption = "",
    name: NameOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    kek_file: KekFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a partner's key as a TR-31 block, under the protection key that you share with the partner."""
    secret = read_hex_key(Path(protection_key))

    async def run(deployment: Deployment) -> None:
        full_name = KeyName(purpose, owner, name, version)
        block = await deployment.key_admin.export_tr31(deployment.actor, full_name, secret, int(time.time()))
        if as_json:
            output.print_json({"tr31": block})
        else:
            print(block)

    _on(Where(config, data, database, kek_file), run)


def activate(
    purpose: PurposeArgument,
    version: VersionOption,
    owner: OwnerOption = "",
    name: NameOption = "",
    reinstate: Annotated[bool, typer.Option("--reinstate", help="Take back a retirement.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    kek_file: KekFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a pending version into use, beside those that are active."""

    async def run(deployment: Deployment) -> None:
        full_name = KeyName(purpose, owner, name, version)
        key = await deployment.key_admin.activate(
            deployment.actor, full_name, int(time.time()), reinstate=reinstate
        )
        show(key_record(key), as_json)

    _on(Where(config, data, database, kek_file), run)


def retire(
    purpose: PurposeArgument,
    version: VersionOption,
    owner: OwnerOption = "",
    name: NameOption = "",
    even_the_last: Annotated[
        bool,
        typer.Option("--even-the-last", help="Though no other version is active: it cuts the owner off."),
    ] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    kek_file: KekFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a version's use for anything new; it still opens what is old."""

    async def run(deployment: Deployment) -> None:
        full_name = KeyName(purpose, owner, name, version)
        key = await deployment.key_admin.retire(
            deployment.actor, full_name, int(time.time()), even_the_last=even_the_last
        )
        show(key_record(key), as_json)

    _on(Where(config, data, database, kek_file), run)


def rotate(
    purpose: PurposeArgument,
    owner: OwnerOption = "",
    name: NameOption = "",
    version: NextVersionOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    kek_file: KekFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the next version and put it into use; those before stay active until `key retire`."""

    async def run(deployment: Deployment) -> None:
        full_name = KeyName(purpose, owner, name, version)
        show(
            key_record(await deployment.key_admin.rotate(deployment.actor, full_name, int(time.time()))),
            as_json,
        )

    _on(Where(config, data, database, kek_file), run)


def rewrap(
    new_kek_file: Annotated[
        str, typer.Option(help="The key-encryption key to wrap under; `key kek` makes one.")
    ],
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    kek_file: KekFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wrap every key under another key-encryption key, in one transaction. Safe to repeat."""
    new_kek = SoftwareKek.from_file(new_kek_file)

    async def run(deployment: Deployment) -> None:
        count = await deployment.key_admin.rewrap(deployment.actor, new_kek, int(time.time()))
        show({"rewrapped": count, "kek": new_kek.kek_id}, as_json)

    _on(Where(config, data, database, kek_file), run)


def reseal(
    config: ConfigOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    kek_file: KekFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Seal every PAN that is under an older vault key anew, in small steps beside the gateway. Safe to repeat."""

    async def run(deployment: Deployment) -> Resealing:
        return await reseal_all(deployment.store, await deployment.vault(), int(time.time()))

    done = _on(Where(config, data, database, kek_file), run)
    show({"seen": done.seen, "resealed": done.changed, "unreadable": len(done.unreadable)}, as_json)
    if done.unreadable:
        raise typer.Exit(output.EXIT_NEGATIVE)


def _show_keys(keys: list[WrappedKey], as_json: bool) -> None:
    show_page("keys", list(map(key_record, keys)), _COLUMNS, as_json)


def _on(where: Where, run: Callable[[Deployment], Awaitable[Result]]) -> Result:
    async def with_database() -> Result:
        async with opened(where) as deployment:
            return await run(deployment)

    return asyncio.run(with_database())
