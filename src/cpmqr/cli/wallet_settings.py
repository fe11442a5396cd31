"""Where a wallet's command takes its settings from: the options given, else a configuration, else the sandbox's file.

Keys and credentials come from files and environment variables. `--authorization` is there for a quick try; but what
stands on a command line is seen by every process of the machine and kept by the shell's history.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import typer

from cpmqr.errors import ConfigError

if TYPE_CHECKING:
    from cpmqr.client import Gateway, HashCrc, Transport
    from cpmqr.client.config import Sandbox

SANDBOX_FILE: Final = Path("var/sandbox.json")
_WHERE: Final = "Where the gateway is"
_SEALING: Final = "Keys, and how the request is sealed"


def option(*names: str, panel: str, text: str, **more: Any) -> Any:
    """Declare an option under a heading of the help text."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


SandboxFile: TypeAlias = Annotated[
    Path | None,
    option("--sandbox-file", panel=_WHERE, text=f"What the sandbox wrote; {SANDBOX_FILE} if it is there."),
]
ConfigFile: TypeAlias = Annotated[
    Path | None, option("--config", panel=_WHERE, text="A wallet's TOML file (docs/client.md).")
]
Url: TypeAlias = Annotated[
    str | None, option("--url", panel=_WHERE, text="The gateway's base URL; wins over a file's.")
]
RequestorId: TypeAlias = Annotated[
    str | None, option("--requestor-id", panel=_WHERE, text="11 digits; or CPMQR_REQUESTOR_ID.")
]
Authorization: TypeAlias = Annotated[
    str | None,
    option(
        "--authorization",
        panel=_WHERE,
        text="The credential. Better in CPMQR_AUTHORIZATION or a file: any process can read a command line.",
    ),
]
AuthorizationFile: TypeAlias = Annotated[
    Path | None, option("--authorization-file", panel=_WHERE, text="A file with the credential.")
]
CaBundle: TypeAlias = Annotated[
    str | None,
    option("--ca-bundle", panel=_WHERE, text="Certificates to trust, in place of the usual ones."),
]
Insecure: TypeAlias = Annotated[
    bool, option("--insecure", panel=_WHERE, text="Allow http:// to another machine.")
]
CryptoType: TypeAlias = Annotated[
    str | None,
    option(
        "--crypto-type", panel=_SEALING, text="CRYPTO_TYPE: 00, 01, 02 or 11; else 01.", show_default=False
    ),
]
KeyVer: TypeAlias = Annotated[
    str | None,
    option("--key-ver", panel=_SEALING, text="CRYPTO_KEY_VER; else the file's, or 00.", show_default=False),
]
KeyFile: TypeAlias = Annotated[
    Path | None,
    option(
        "--key-file",
        panel=_SEALING,
        text="A file with the transport key in hex; or CPMQR_TRANSPORT_KEY.",
    ),
]
HashMode: TypeAlias = Annotated[
    str | None,
    option(
        "--hash-crc",
        panel=_SEALING,
        text="off, sha256 or hmac-sha256; else the file's, or the last.",
        show_default=False,
    ),
]
HashKeyFile: TypeAlias = Annotated[
    Path | None,
    option(
        "--hash-key-file",
        panel=_SEALING,
        text="A file with HASH_CRC's key in hex; or CPMQR_HASH_KEY.",
    ),
]
Spelling: TypeAlias = Annotated[
    str | None,
    option(
        "--spelling",
        panel=_SEALING,
        text="Member names of the page's sample, or of its table; else sample.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Given:
    """The options as they were given; None where one was not."""

    sandbox_file: Path | None = None
    config: Path | None = None
    url: str | None = None
    requestor_id: str | None = None
    authorization: str | None = None
    authorization_file: Path | None = None
    ca_bundle: str | None = None
    insecure: bool = False
    crypto_type: str | None = None
    key_ver: str | None = None
    key_file: Path | None = None
    hash_crc: str | None = None
    hash_key_file: Path | None = None
    spelling: str | None = None

    @classmethod
    def among(cls, parameters: Mapping[str, Any]) -> Given:
        """Pick the options out of a command's parameters (`typer.Context.params`), by their names."""
        return cls(**{field.name: parameters[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class Found:
    """The settings, and the sandbox's file where one was read."""

    gateway: Gateway
    sandbox: Sandbox | None


def find(given: Given) -> Found:
    """Work out the settings: an option given wins over a file; variables count where no file is used.

    Raises:
        ConfigError: something is missing, unreadable or wrong; says which option to give.
    """
    from cpmqr.client import config

    base: Gateway | None = None
    sandbox: Sandbox | None = None
    if given.config is not None:
        if given.sandbox_file is not None:
            raise ConfigError("give --config or --sandbox-file, not both")
        base = config.read_config(given.config)
    elif given.sandbox_file is not None or _sandbox_is_near(given):
        sandbox = config.read_sandbox(given.sandbox_file or SANDBOX_FILE)
        base = sandbox.gateway(given.crypto_type or "01")
    if base is None:
        return Found(_from_options(given), None)
    changes = _plain_options(given)
    changes["crypto"] = _transport(given, base.crypto)
    changes["hash_crc"] = _hash_crc(given, base.hash_crc)
    return Found(replace(base, **changes), sandbox)


def _sandbox_is_near(given: Given) -> bool:
    """The file of this folder is taken unasked, but its credential goes to no other machine unasked."""
    from cpmqr.client.settings import is_loopback_url

    return SANDBOX_FILE.exists() and (given.url is None or is_loopback_url(given.url))


def _from_options(given: Given) -> Gateway:
    from cpmqr.client.settings import Gateway

    if given.url is None:
        raise ConfigError(
            f"which gateway? There is no {SANDBOX_FILE} here: start `cpmqr serve --sandbox`, or give --sandbox-file,"
            " --config or --url"
        )
    requestor_id = given.requestor_id or os.environ.get("CPMQR_REQUESTOR_ID")
    if not requestor_id:
        raise ConfigError("give --requestor-id, or set CPMQR_REQUESTOR_ID")
    options = _plain_options(given)
    authorization = options.get("authorization") or os.environ.get("CPMQR_AUTHORIZATION", "").strip()
    if not authorization:
        raise ConfigError("give --authorization-file, or set CPMQR_AUTHORIZATION")
    options |= {"authorization": authorization, "requestor_id": requestor_id}
    return Gateway(**options, crypto=_transport(given, None), hash_crc=_hash_crc(given, None))


def _plain_options(given: Given) -> dict[str, Any]:
    from cpmqr.client.config import secret_from_file

    authorization = given.authorization
    if given.authorization_file is not None:
        authorization = secret_from_file(given.authorization_file)
    options = {
        "base_url": given.url,
        "requestor_id": given.requestor_id,
        "authorization": authorization,
        "ca_bundle": given.ca_bundle,
        "insecure": given.insecure or None,
        "spelling": given.spelling,
    }
    return {name: value for name, value in options.items() if value is not None}


def _transport(given: Given, base: Transport | None) -> Transport:
    from cpmqr.client import Transport
    from cpmqr.crypto import suites

    if base is not None and not (given.crypto_type or given.key_ver or given.key_file):
        return base
    crypto_type = given.crypto_type or (base.crypto_type if base else "01")
    key_ver = given.key_ver or (base.key_ver if base else "00")
    key = _key(given.key_file, "CPMQR_TRANSPORT_KEY", use_variable=base is None)
    if key is None:
        if base is not None:
            return replace(base, crypto_type=crypto_type, key_ver=key_ver)
        if suites.DEFAULT_CRYPTO_TYPES.get(crypto_type) != "none":
            raise ConfigError("give --key-file, or set CPMQR_TRANSPORT_KEY (the transport key in hex)")
    return Transport(crypto_type, key_ver, key or b"")


def _hash_crc(given: Given, base: HashCrc | None) -> HashCrc:
    from cpmqr.client import HashCrc

    key = _key(given.hash_key_file, "CPMQR_HASH_KEY", use_variable=base is None)
    if base is not None:
        return HashCrc(given.hash_crc or base.mode, base.key if key is None else key, base.answer)
    mode = given.hash_crc or "hmac-sha256"
    if key is None and mode == "hmac-sha256":
        raise ConfigError(
            "give --hash-key-file, or set CPMQR_HASH_KEY (in hex), or say --hash-crc off or sha256"
        )
    return HashCrc(mode, key or b"")


def _key(path: Path | None, variable: str, *, use_variable: bool) -> bytes | None:
    from cpmqr.client.config import key_from_hex, secret_from_file

    if path is not None:
        return key_from_hex(secret_from_file(path), str(path))
    text = os.environ.get(variable, "").strip() if use_variable else ""
    return key_from_hex(text, variable) if text else None
