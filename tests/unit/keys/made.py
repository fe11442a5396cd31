"""Keys for tests, made from their names: the same name gives the same bytes, and nothing is a real key."""

from __future__ import annotations

import hashlib

from cpmqr.keys.keyring import Keyring
from cpmqr.keys.software import SoftwareKek
from cpmqr.model import KeyPurpose, KeyState, Secret, WrappedKey
from cpmqr.service.key_admin import wrap_key
from cpmqr.service.key_names import KeyName

DAY_S = 86_400
NOON = 20_000 * DAY_S + DAY_S // 2
"""Noon (UTC) of day 20,000."""

OWN = (
    (KeyPurpose.VAULT_PAN, "aes-256"),
    (KeyPurpose.VAULT_INDEX, "hmac-sha256"),
    (KeyPurpose.MAPPING, "aes-256"),
)


def key_bytes(label: str, length: int = 32) -> bytes:
    return hashlib.sha256(label.encode()).digest()[:length]


def kek(label: str = "kek") -> SoftwareKek:
    return SoftwareKek(Secret(key_bytes(label)))


def wrapped(
    purpose: KeyPurpose,
    algorithm: str,
    version: str = "1",
    *,
    owner: str = "",
    name: str = "",
    state: KeyState = KeyState.ACTIVE,
    under: SoftwareKek | None = None,
    at_s: int = NOON,
) -> WrappedKey:
    length = 16 if algorithm in ("tdes-112", "aes-128", "seed-128") else 32
    secret = Secret(key_bytes(f"{purpose} {owner} {name} {version}", length))
    return wrap_key(under or kek(), KeyName(purpose, owner, name, version), algorithm, secret, state, at_s)


def own_keyring(*more: WrappedKey, at_s: int = NOON) -> Keyring:
    """The gateway's own three keys, first versions, and `more`."""
    return Keyring.open(
        [*(wrapped(purpose, algorithm, at_s=at_s) for purpose, algorithm in OWN), *more], kek()
    )
