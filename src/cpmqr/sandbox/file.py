"""`sandbox.json`: what clients and tests need to know of a sandbox (contract §8)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec

from cpmqr.errors import ConfigError
from cpmqr.keys.private_file import write_private
from cpmqr.model import TokenPan

FILE_NAME: Final = "sandbox.json"
FILE_BYTES_MAX: Final = 1024 * 1024  # ours has 4 KiB; a user may have added tokens

_KeyHex = Annotated[str, msgspec.Meta(pattern="^(?:[0-9A-Fa-f]{2}){16,64}$")]


class _Quiet(msgspec.Struct, frozen=True):
    """Part of a file full of secrets: prints its kind alone."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class TransportKey(_Quiet, frozen=True):
    """A key for one CRYPTO_TYPE."""

    key_ver: str
    key_hex: _KeyHex


class HashCrcKey(_Quiet, frozen=True):
    """What HASH_CRC is made with."""

    mode: str
    key_hex: _KeyHex


class SandboxToken(_Quiet, frozen=True):
    """A seeded token. state: active, suspended, deleted, expired or exhausted."""

    pan: str
    psn: str
    expiry: str
    state: str
    profile: str
    service_code: str
    discretionary: str


class IssuerKey(_Quiet, frozen=True):
    """A profile's issuer master key and its derivation key index."""

    master_key_hex: _KeyHex
    dki: str


class Authorization(_Quiet, frozen=True):
    """A credential, as the header carries it."""

    authorization: str


class SuspendedRequestor(_Quiet, frozen=True):
    """A requestor whose requests get 2003."""

    requestor_id: str
    authorization: str


class WebhookKey(_Quiet, frozen=True):
    """What results told to the requestor are signed with."""

    key_hex: _KeyHex


class SandboxFile(_Quiet, frozen=True):
    """`sandbox.json`: the contract's members, and after `operator` ours.

    Attributes:
        refused_key_versions: state → CRYPTO_KEY_VER that gets 3002.
    """

    base_url: str
    requestor_id: str
    authorization: str
    crypto_types: dict[str, TransportKey]
    hash_crc: HashCrcKey
    tokens: list[SandboxToken]
    issuer_keys: dict[str, IssuerKey]
    authoriser: Authorization
    operator: Authorization
    suspended_requestor: SuspendedRequestor
    refused_key_versions: dict[str, str]
    webhook: WebhookKey


def read(path: str | Path) -> SandboxFile:
    """Read a sandbox file.

    Raises:
        ConfigError: missing or not a sandbox file; says what to do.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not a path"
        raise ConfigError(f"{path} can't be read: {cause}; `cpmqr serve --sandbox` makes it") from None
    if len(content) > FILE_BYTES_MAX:
        raise ConfigError(f"{path} is longer than {FILE_BYTES_MAX} bytes: is it the right file?")
    try:
        decoded = msgspec.json.decode(content, type=SandboxFile)
        for token in decoded.tokens:
            TokenPan(token.pan)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        raise ConfigError(
            f"{path} is no sandbox file: delete it, and the next start makes one around the keys that there are"
        ) from None
    return decoded


def write(path: str | Path, file: SandboxFile) -> None:
    """Write a sandbox file: mode 0600, whole or not at all, in place of the one before.

    Raises:
        ConfigError: it can't be written.
    """
    content = msgspec.json.format(msgspec.json.encode(file), indent=1)
    write_private(Path(path), content + b"\n", replace=True)


def set_base_url(path: str | Path, base_url: str) -> SandboxFile:
    """Note where the gateway listens this time; nothing else in the file changes.

    Raises:
        ConfigError: the file can't be read or written.
    """
    file = read(path)
    if file.base_url == base_url:
        return file
    changed = msgspec.structs.replace(file, base_url=base_url)
    write(path, changed)
    return changed
