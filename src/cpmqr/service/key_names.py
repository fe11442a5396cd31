"""How a key version is called: purpose, owner, name, version; and which version comes next."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from cpmqr.errors import ConfigError
from cpmqr.model import KeyPurpose


class KeyName(msgspec.Struct, frozen=True):
    """A key version's name; `version` is "" where the next one is meant.

    `owner` is a requestor's id or a profile's name, `name` the CRYPTO_TYPE of a transport key; both else "".
    """

    purpose: KeyPurpose
    owner: str = ""
    name: str = ""
    version: str = ""

    def __str__(self) -> str:
        parts = (
            f"{self.purpose} key",
            self.owner,
            self.name,
            f"version {self.version}" if self.version else "",
        )
        return " ".join(part for part in parts if part)


class _Rule(msgspec.Struct, frozen=True):
    """What a purpose's names look like. `first`: the first version; `base`: how versions count on."""

    owner: re.Pattern[str]
    name: re.Pattern[str]
    version: re.Pattern[str]
    owner_rule: str
    version_rule: str
    first: str
    base: int
    last: int


_NOTHING: Final = re.compile("")
_REQUESTOR: Final = re.compile("[0-9]{11}")
_PROFILE: Final = re.compile("[a-z][a-z0-9-]{0,31}")
_CRYPTO_TYPE: Final = re.compile("[0-9A-Za-z]{2}")
_NUMBER: Final = re.compile("[1-9][0-9]{0,5}")
_CRYPTO_KEY_VER: Final = re.compile("[0-9A-Za-z]{2}")
_DKI: Final = re.compile("[0-9A-F]{2}")

_OWN: Final = _Rule(_NOTHING, _NOTHING, _NUMBER, "it has no owner", "a number from 1", "1", 10, 999_999)
_RULES: Final[dict[KeyPurpose, _Rule]] = {
    KeyPurpose.TRANSPORT: _Rule(
        _REQUESTOR,
        _CRYPTO_TYPE,
        _CRYPTO_KEY_VER,
        "its owner is a requestor's id, its name a CRYPTO_TYPE",
        "the CRYPTO_KEY_VER, 2 letters or digits",
        "00",
        10,
        99,
    ),
    KeyPurpose.HASH_CRC: _Rule(
        _REQUESTOR,
        _NOTHING,
        _CRYPTO_KEY_VER,
        "its owner is a requestor's id",
        "the CRYPTO_KEY_VER, 2 letters or digits",
        "00",
        10,
        99,
    ),
    KeyPurpose.ISSUER_MASTER: _Rule(
        _PROFILE,
        _NOTHING,
        _DKI,
        "its owner is a profile's name",
        "the derivation key index, 2 upper-case hex digits",
        "01",
        16,
        0xFF,
    ),
    KeyPurpose.WEBHOOK: _Rule(
        _REQUESTOR, _NOTHING, _NUMBER, "its owner is a requestor's id", "a number from 1", "1", 10, 999_999
    ),
    KeyPurpose.VAULT_PAN: _OWN,
    KeyPurpose.VAULT_INDEX: _OWN,
    KeyPurpose.MAPPING: _OWN,
}


def check_name(name: KeyName) -> None:
    """Refuse a name that no key of its purpose can have.

    Raises:
        ConfigError: says what is right.
    """
    rule = _RULES[name.purpose]
    if not (rule.owner.fullmatch(name.owner) and rule.name.fullmatch(name.name)):
        raise ConfigError(f"a {name.purpose} key: {rule.owner_rule}")
    if not rule.version.fullmatch(name.version):
        raise ConfigError(f"the version of a {name.purpose} key is {rule.version_rule}")


def next_version(purpose: KeyPurpose, taken: Iterable[str]) -> str:
    """Give the version after the highest one, written as this purpose writes it; the first where there is none.

    Raises:
        ConfigError: the numbers are used up.
    """
    rule = _RULES[purpose]
    numbers = [number for version in taken if (number := _number(version, rule.base)) is not None]
    if not numbers:
        return rule.first
    following = max(numbers) + 1
    if following > rule.last:
        raise ConfigError(f"the versions of this {purpose} key are used up: name a free one")
    return f"{following:02X}" if rule.base == 16 else f"{following:0{len(rule.first)}d}"


def _number(version: str, base: int) -> int | None:
    try:
        return int(version, base)
    except ValueError:
        return None
