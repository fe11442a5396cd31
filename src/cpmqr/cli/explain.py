"""`cpmqr explain`: what the gateway would say to a request, step by step, and why.

The steps are the gateway's own functions, run here with the keys that the caller holds. No gateway is asked, and no
store: what only the store can tell (a retry, a duplicate, the token's state) is said to be left out.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, cast

import typer

from cpmqr.cli import output
from cpmqr.cli import wallet_settings as ws
from cpmqr.errors import ConfigError

if TYPE_CHECKING:
    from cpmqr.client import Transport
    from cpmqr.keys.keyring import KeyEntry
    from cpmqr.service.explain import Explanation, Step
    from cpmqr.service.issue import Call, Issuer
    from cpmqr.store.base import Directory, IssueIntent, IssueOutcome

INPUT_BYTES_MAX: Final = (
    128 * 1024
)  # ours: twice a body's limit, so that one that is too long can be explained
_WIDTH: Final = 16

_RequestFile: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="FILE", help="The request's body, or the whole HTTP request; `-` reads stdin."),
]
_Now: TypeAlias = Annotated[
    str | None, typer.Option("--now", help="The gateway's clock: yyyymmddHHMMSS, Korean time.")
]
_Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print the steps as JSON.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain")(explain)


def explain(
    context: typer.Context,
    request: _RequestFile,
    now: _Now = None,
    as_json: _Json = False,
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
    """Say step by step what the gateway would make of a request, and why. Nothing is sent.

    Exit status: 0 if every step passes, 1 at a refusal, 2 wrong usage.

    Examples:

    - `cpmqr explain request.json`
    - `pbpaste | cpmqr explain - --now 20261123090000`
    - `cpmqr explain request.json --config wallet.toml`
    """
    from cpmqr.service.explain import explain as explain_request

    found = ws.find(ws.Given.among(context.params))
    keys = _Keys(found)
    explanation = explain_request(asyncio.run(_issuer(keys)), _call(_read(request), keys, _now_s(now)))
    if as_json:
        steps = [_as_object(step) for step in explanation.steps]
        output.print_json({"code": explanation.code, "text": explanation.text, "steps": steps})
    else:
        _show(explanation)
    if explanation.code != "0000":
        raise typer.Exit(output.EXIT_NEGATIVE)


class _Keys:
    """One requestor's keys, as its own gateway would hold them. A sandbox's file has one for each CRYPTO_TYPE."""

    def __init__(self, found: ws.Found) -> None:
        self.gateway = found.gateway
        self.is_sandbox = found.sandbox is not None
        self.transports: list[Transport] = [found.gateway.crypto]
        if found.sandbox is not None:
            self.transports += [
                found.sandbox.transport(crypto_type)
                for crypto_type in found.sandbox.crypto_types
                if crypto_type != found.gateway.crypto.crypto_type
            ]


async def _issuer(keys: _Keys) -> Issuer:
    """Make the gateway's own first seven steps, over a directory of one requestor."""
    from cpmqr.keys.keyring import Keyring
    from cpmqr.service.access import Access
    from cpmqr.service.batch import Batcher
    from cpmqr.service.issue import Issuer, Rules
    from cpmqr.service.limits import RateLimits
    from cpmqr.store.base import DirectoryStore

    entries = _entries(keys)
    store = cast(DirectoryStore, _OneRequestor(keys, entries))
    access = Access(store, lambda _: Keyring(entries), _crypto_types(keys))
    await access.refresh()
    batcher: Batcher[IssueIntent, IssueOutcome] = Batcher(
        _carry_out_nothing, queue_max=1, batch_max=1, lanes=1, wait_max_s=1, observe=lambda *_: None
    )
    rules = Rules(sandbox=keys.is_sandbox)
    return Issuer(rules, access, batcher, RateLimits(time.monotonic), {}, os.urandom, lambda *_: None)


async def _carry_out_nothing(intents: Sequence[IssueIntent]) -> Sequence[IssueOutcome]:
    raise AssertionError("an explanation ends before the store")


class _OneRequestor:
    """A directory that holds what the caller gave."""

    def __init__(self, keys: _Keys, entries: list[KeyEntry]) -> None:
        self._keys = keys
        self._entries = entries

    async def directory_version(self) -> int:
        return 1

    async def directory(self) -> Directory:
        from cpmqr.model import Credential, Requestor, Role, WrappedKey
        from cpmqr.store.base import Directory

        gateway = self._keys.gateway
        requestor = Requestor(
            gateway.requestor_id,
            "",
            Role.REQUESTOR,
            suspended=False,
            sandbox=self._keys.is_sandbox,
            hash_crc=gateway.hash_crc.hash_mode,
        )
        digest = hashlib.sha256(gateway.authorization.encode()).digest()
        wrapped = [
            WrappedKey(
                entry.purpose, entry.owner, entry.name, entry.version, entry.algorithm, entry.state, entry.kcv,
                b"", "", 0,
            )
            for entry in self._entries
        ]  # fmt: skip
        return Directory(
            1, (requestor,), (Credential("given", gateway.requestor_id, digest, 0),), tuple(wrapped)
        )


def _crypto_types(keys: _Keys) -> dict[str, str]:
    from cpmqr.crypto.suites import DEFAULT_CRYPTO_TYPES

    return DEFAULT_CRYPTO_TYPES | {item.crypto_type: item.suite().name for item in keys.transports}


def _entries(keys: _Keys) -> list[KeyEntry]:
    """Give all keys in clear; the vault's are made up: an explanation ends before they are used."""
    from cpmqr.model import KeyPurpose

    owner = keys.gateway.requestor_id
    entries = [
        _entry(KeyPurpose.TRANSPORT, owner, item.crypto_type, item.key_ver, item.key, _check_value(item))
        for item in keys.transports
        if item.key
    ]
    hash_key = keys.gateway.hash_crc.key
    if hash_key:
        versions = {item.key_ver for item in keys.transports}
        entries += [_entry(KeyPurpose.HASH_CRC, owner, "", version, hash_key) for version in sorted(versions)]
    vault = (KeyPurpose.VAULT_PAN, KeyPurpose.VAULT_INDEX, KeyPurpose.MAPPING)
    return entries + [_entry(purpose, "", "", "1", os.urandom(32)) for purpose in vault]


def _entry(purpose: Any, owner: str, name: str, version: str, key: bytes, kcv: str = "") -> KeyEntry:
    from cpmqr.keys.keyring import KeyEntry
    from cpmqr.model import KeyState, Secret

    return KeyEntry(purpose, owner, name, version, "", KeyState.ACTIVE, kcv, Secret(key))


def _check_value(transport: Transport) -> str:
    from cpmqr.keys.check_value import check_value

    # "aes-256-gcm" takes an "aes-256"; a plugged-in scheme's key may have any length, and then no check value.
    algorithm = transport.suite().name.removesuffix("-gcm").removesuffix("-cbc")
    try:
        return check_value(algorithm, transport.key)
    except ConfigError:
        return "none"


def _read(name: str) -> bytes:
    if name == "-":
        data = sys.stdin.buffer.read(INPUT_BYTES_MAX + 1)
    else:
        try:
            with Path(name).open("rb") as file:
                data = file.read(INPUT_BYTES_MAX + 1)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a path"
            raise ConfigError(f"{name} can't be read: {reason}") from None
    if len(data) > INPUT_BYTES_MAX:
        raise ConfigError(f"more than {INPUT_BYTES_MAX} bytes are no request: the limit is 64 KiB")
    return data


def _call(data: bytes, keys: _Keys, now_s: int) -> Call:
    """Take a body, with the credential and content type that a wallet would send; or a whole HTTP request."""
    from cpmqr.service.issue import Call

    if not data.startswith(b"POST "):
        return Call(data, keys.gateway.authorization, "application/json; charset=utf-8", now_s)
    head, _, body = data.replace(b"\r\n", b"\n").partition(b"\n\n")
    headers = {}
    for line in head.decode("latin-1").split("\n")[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return Call(body.rstrip(b"\n"), headers.get("authorization"), headers.get("content-type", ""), now_s)


def _now_s(now: str | None) -> int:
    from cpmqr.wire.contract import korean_time

    if now is None:
        return int(time.time())
    at = korean_time(now)
    if at is None:
        raise ConfigError("--now is yyyymmddHHMMSS, a real time in Korea")
    return int(at.timestamp())


def _as_object(step: Step) -> dict[str, Any]:
    return {
        "number": step.number,
        "title": step.title,
        "passed": step.passed,
        "code": step.code,
        "text": step.text,
        "facts": dict(step.facts),
    }


def _show(explanation: Explanation) -> None:
    for step in explanation.steps:
        _show_step(step)
    if explanation.code == "0000":
        print("  The store then decides: the same request again, 5001, 3006, 4001 to 4006.")
        return
    from cpmqr.cli.advice import ADVICE

    print(f"  next: {ADVICE[explanation.code]}")


def _show_step(step: Step) -> None:
    mark = "passes" if step.passed else f"REFUSED {step.code}"
    print(f"{step.number}  {step.title}: {mark}")
    if step.text:
        print(f"   {output.printable(step.text)}")
    for name, value in step.facts:
        first, *others = output.printable(value).rstrip("\n").split("\n")
        print(f"   {name:{_WIDTH}} {first}")
        for line in others:
            print(f"   {'':{_WIDTH}} {line}")
