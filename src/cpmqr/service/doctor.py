"""Checks of a deployment before it starts: each says what it looked at, whether it is well, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from cpmqr.crypto.suites import Suite
from cpmqr.keys.keyring import Keyring
from cpmqr.model import HashMode, KeyPurpose, KeyState, Requestor, Role, WrappedKey
from cpmqr.store.base import Directory

OLD_KEY: Final = timedelta(
    days=730
)  # ours: two years is a common cryptoperiod (NIST SP 800-57 Part 1, 5.3.6)


class Check(msgspec.Struct, frozen=True):
    """One finding. level: "ok", "warning" or "error"; `advice` is what to do, "" where all is well."""

    level: str
    subject: str
    text: str
    advice: str = ""


def check_directory(
    directory: Directory, keyring: Keyring, suites: dict[str, Suite], profiles: Iterable[str], now: datetime
) -> list[Check]:
    """Check requestors and keys: can each live requestor really ask, can each profile really issue."""
    checks = [_unusable(key.key, key.cause) for key in keyring.unusable]
    single = (KeyPurpose.VAULT_PAN, KeyPurpose.VAULT_INDEX, KeyPurpose.MAPPING)
    checks += [_single_key(keyring, purpose) for purpose in single]
    for profile in profiles:
        entry = keyring.find(KeyPurpose.ISSUER_MASTER, profile)
        if entry is not None:
            checks.append(
                Check("ok", f"profile {profile}", f"issuer key {entry.version}, check value {entry.kcv}")
            )
    if not keyring.owners(KeyPurpose.ISSUER_MASTER):
        checks.append(
            Check(
                "error",
                "issuer keys",
                "no profile has one",
                "cpmqr key generate issuer-master --owner bc-domestic",
            )
        )
    wallets = [requestor for requestor in directory.requestors if requestor.role is Role.REQUESTOR]
    if not wallets:
        checks.append(Check("warning", "requestors", "there is none", "cpmqr requestor create"))
    for requestor in wallets:
        checks += _requestor(requestor, directory, keyring, suites)
    checks += [_age(key, now) for key in directory.keys if _is_old(key, now)]
    return checks


def _unusable(key: WrappedKey, cause: str) -> Check:
    return Check("error", repr(key), cause, "start with the key-encryption key that it was wrapped under")


def _single_key(keyring: Keyring, purpose: KeyPurpose) -> Check:
    entry = keyring.find(purpose)
    if entry is None:
        return Check("error", f"key {purpose}", "there is no active version", f"cpmqr key generate {purpose}")
    return Check("ok", f"key {purpose}", f"version {entry.version}, check value {entry.kcv}")


def _requestor(
    requestor: Requestor, directory: Directory, keyring: Keyring, suites: dict[str, Suite]
) -> list[Check]:
    subject = f"requestor {requestor.requestor_id}"
    if requestor.suspended:
        return [Check("warning", subject, "is suspended", f"cpmqr requestor resume {requestor.requestor_id}")]
    checks: list[Check] = []
    live = [
        credential
        for credential in directory.credentials
        if credential.requestor_id == requestor.requestor_id and credential.revoked_at_s is None
    ]
    if not live:
        advice = f"cpmqr requestor credential {requestor.requestor_id}"
        checks.append(Check("error", subject, "has no live credential", advice))
    hashes = keyring.find(KeyPurpose.HASH_CRC, requestor.requestor_id)
    if requestor.hash_crc is HashMode.HMAC_SHA256 and hashes is None:
        advice = f"cpmqr key generate hash-crc --owner {requestor.requestor_id}"
        checks.append(Check("error", subject, "HASH_CRC is in HMAC mode and has no key", advice))
    usable = [
        code
        for code, suite in suites.items()
        if suite.key_bytes and keyring.find(KeyPurpose.TRANSPORT, requestor.requestor_id, code) is not None
    ]
    if not usable:
        advice = f"cpmqr key generate transport --owner {requestor.requestor_id} --name 01"
        checks.append(Check("error", subject, "has no transport key", advice))
    if requestor.hash_crc is not HashMode.HMAC_SHA256 and any(suites[code].needs_hmac for code in usable):
        codes = ", ".join(code for code in usable if suites[code].needs_hmac)
        advice = "set HASH_CRC to hmac-sha256, or take those types away"
        checks.append(Check("warning", subject, f"CRYPTO_TYPE {codes} will be refused (3001)", advice))
    if not requestor.networks:
        checks.append(
            Check("warning", subject, "may call from any network", "cpmqr requestor update --network …")
        )
    return checks or [Check("ok", subject, f"CRYPTO_TYPE {', '.join(sorted(usable))}")]


def _is_old(key: WrappedKey, now: datetime) -> bool:
    return key.state is KeyState.ACTIVE and now.timestamp() - key.created_at_s > OLD_KEY.total_seconds()


def _age(key: WrappedKey, now: datetime) -> Check:
    days = int(now.timestamp() - key.created_at_s) // 86_400
    return Check("warning", repr(key), f"is {days} days old", "rotate it: cpmqr key rotate")
