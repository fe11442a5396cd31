"""Read a wallet's settings: from the file that the sandbox writes, or from a TOML file of one's own.

In the TOML file a secret is given in one of three ways: `key_file = "…"` (a path, relative to the TOML file),
`key_env = "…"` (an environment variable's name), or `key_hex = "…"` in the file itself. A key is hex digits; so it
is for `authorization`, but that is text: `authorization_file`, `authorization_env`, `authorization`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from cpmqr.client.settings import Gateway, GatewayOptions, HashCrc, Transport, gateway_of
from cpmqr.errors import ConfigError

SANDBOX_FILE: Final = "var/sandbox.json"
FILE_BYTES_MAX: Final = 1 << 20  # ours: the sandbox's file holds some twenty tokens; a mebibyte is a mistake
SECRET_BYTES_MAX: Final = 4096  # ours: a credential or a key in hex


class SandboxKey(msgspec.Struct, frozen=True):
    """A CRYPTO_TYPE's key, as sandbox.json has it."""

    key_ver: str
    key_hex: str

    def __repr__(self) -> str:
        return f"<key version {self.key_ver}>"


class SandboxHash(msgspec.Struct, frozen=True):
    """HASH_CRC's mode and key, as sandbox.json has them."""

    mode: str
    key_hex: str = ""

    def __repr__(self) -> str:
        return f"<HASH_CRC {self.mode}>"


class SandboxToken(msgspec.Struct, frozen=True):
    """A token, as sandbox.json has it."""

    pan: str
    state: str

    def __repr__(self) -> str:
        return f"<token {self.state}>"


class Sandbox(msgspec.Struct, frozen=True):
    """What a wallet needs of sandbox.json (contract §8); the rest is the authoriser's and the operator's."""

    base_url: str
    requestor_id: str
    authorization: str
    crypto_types: dict[str, SandboxKey]
    hash_crc: SandboxHash
    tokens: tuple[SandboxToken, ...] = ()

    def __repr__(self) -> str:
        return f"<sandbox at {self.base_url}>"

    def gateway(self, crypto_type: str = "01") -> Gateway:
        """Give a wallet's settings.

        Raises:
            ConfigError: no key for this CRYPTO_TYPE, or a setting is wrong.
        """
        return Gateway(
            base_url=self.base_url,
            requestor_id=self.requestor_id,
            authorization=self.authorization,
            crypto=self.transport(crypto_type),
            hash_crc=HashCrc(self.hash_crc.mode, _hex(self.hash_crc.key_hex, "hash_crc.key_hex")),
        )

    def transport(self, crypto_type: str) -> Transport:
        """Give the transport key for a CRYPTO_TYPE; 00 takes none, and the key version of the others.

        Raises:
            ConfigError: the sandbox has none.
        """
        key = self.crypto_types.get(crypto_type)
        if key is not None:
            return Transport(crypto_type, key.key_ver, _hex(key.key_hex, f"crypto_types.{crypto_type}"))
        if crypto_type == "00":
            return Transport("00", next((key.key_ver for key in self.crypto_types.values()), "00"), b"")
        known = ", ".join(["00", *sorted(self.crypto_types)])
        raise ConfigError(f"the sandbox has no key for this CRYPTO_TYPE; it has {known}")

    def first_active_pan(self) -> str | None:
        """Give the first active token's PAN; None where there is none."""
        return next((token.pan for token in self.tokens if token.state == "active"), None)


def read_sandbox(path: str | Path) -> Sandbox:
    """Read sandbox.json.

    Raises:
        ConfigError: it can't be read, or is not what the sandbox writes; what to do is said.
    """
    try:
        return msgspec.json.decode(_read(path), type=Sandbox)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {path}: start `cpmqr serve --sandbox` here first, or say where its file is"
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ConfigError(f"{path} is not a file that `cpmqr serve --sandbox` wrote") from None


def read_config(path: str | Path) -> Gateway:
    """Read a TOML file of settings.

    Raises:
        ConfigError: it can't be read, a name in it is unknown, or a value is wrong; says which.
    """
    try:
        tree = tomllib.loads(_read(path).decode())
    except FileNotFoundError:
        raise ConfigError(f"there is no {path}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    try:
        return _gateway(tree, Path(path).parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def secret_from_file(path: str | Path) -> str:
    """Read a credential or a key in hex from a file, without the line feed at its end.

    Raises:
        ConfigError: it can't be read, is empty, or too long.
    """
    try:
        data = _read(path, SECRET_BYTES_MAX)
        text = data.decode("ascii").strip()
    except FileNotFoundError:
        raise ConfigError(f"there is no {path}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} holds more than ASCII text") from None
    if not text:
        raise ConfigError(f"{path} is empty")
    return text


def key_from_hex(text: str, what: str) -> bytes:
    """Read a key's hex digits.

    Raises:
        ConfigError: they are none; `what` is named, the text is not.
    """
    return _hex(text.strip(), what)


def _gateway(tree: Mapping[str, Any], directory: Path) -> Gateway:
    tree = dict(tree)
    crypto = _table(tree, "crypto")
    hash_crc = _table(tree, "hash_crc")
    authorization = _secret(tree, "authorization", "authorization", directory)
    if isinstance(tree.get("ca_bundle"), str):
        tree["ca_bundle"] = str(directory / tree["ca_bundle"])
    if not authorization:
        raise ConfigError("authorization_file, authorization_env or authorization is missing")
    options: dict[str, Any] = {
        **tree,
        "authorization": authorization,
        "crypto": _transport(crypto, directory),
        "hash_crc": _hash_crc(hash_crc, directory),
    }
    return gateway_of(cast(GatewayOptions, options))


def _transport(table: dict[str, Any], directory: Path) -> Transport:
    crypto_type, key_ver = (_text(table, name, "crypto") for name in ("type", "key_ver"))
    key = _secret(table, "key", "crypto.key", directory, inline="key_hex")
    scheme = table.pop("scheme", "")
    if not isinstance(scheme, str):
        raise ConfigError("crypto.scheme is a scheme's name")
    _nothing_left(table, "crypto")
    return Transport(crypto_type, key_ver, _hex(key, "crypto.key"), scheme)


def _hash_crc(table: dict[str, Any], directory: Path) -> HashCrc:
    mode = _text(table, "mode", "hash_crc")
    answer = table.pop("answer", "required")
    key = _secret(table, "key", "hash_crc.key", directory, inline="key_hex")
    _nothing_left(table, "hash_crc")
    return HashCrc(mode, _hex(key, "hash_crc.key"), answer)


def _table(tree: dict[str, Any], name: str) -> dict[str, Any]:
    table = tree.pop(name, None)
    if not isinstance(table, dict):
        raise ConfigError(f"the table [{name}] is missing")
    return dict(table)


def _text(table: dict[str, Any], name: str, where: str) -> str:
    value = table.pop(name, None)
    if not isinstance(value, str):
        raise ConfigError(f"{where}.{name} must be a text in quotes")
    return value


def _nothing_left(table: Mapping[str, Any], where: str) -> None:
    if table:
        raise ConfigError(f"unknown name {sorted(table)[0]!r} in [{where}]")


def _secret(table: dict[str, Any], name: str, what: str, directory: Path, inline: str = "") -> str:
    """Take a secret out of a table, from wherever it says; "" where it says nothing."""
    ways = [way for way in (f"{name}_file", f"{name}_env", inline or name) if way in table]
    if len(ways) > 1:
        raise ConfigError(f"{what} is given twice: {' and '.join(ways)}")
    if not ways:
        return ""
    value = _text(table, ways[0], "here")
    if ways[0].endswith("_file"):
        return secret_from_file(directory / value)
    if ways[0].endswith("_env"):
        if not os.environ.get(value):
            raise ConfigError(f"the environment variable {value} is not set")
        return os.environ[value].strip()
    return value


def _hex(text: str, what: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except (ValueError, TypeError):
        raise ConfigError(f"{what} must be hex digits") from None


def _read(path: str | Path, bytes_max: int = FILE_BYTES_MAX) -> bytes:
    try:
        with Path(path).open("rb") as file:
            data = file.read(bytes_max + 1)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError) as error:  # a path with a NUL in it, or none at all
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise ConfigError(f"{path} can't be read: {reason}") from None
    if len(data) > bytes_max:
        raise ConfigError(f"{path} is longer than {bytes_max} bytes")
    return data
