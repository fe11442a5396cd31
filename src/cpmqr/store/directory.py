"""Requestors, credentials and keys: few, read whole by every gateway, and changed with an audit line each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from cpmqr.model import Credential, HashMode, KeyPurpose, KeyState, Requestor, Role, WrappedKey
from cpmqr.store.audit import write_lines
from cpmqr.store.base import Actor, Directory
from cpmqr.store.transaction import Transaction

_REQUESTOR = (
    "requestor_id, name, role, suspended, sandbox, hash_crc, crypto_types, networks,"
    " rate_limit_per_s, token_rate_limit_per_s, webhook_url, created_at_s"
)
_KEY = (
    "purpose, owner, name, version, algorithm, state, kcv, wrapped, kek_id,"
    " created_at_s, activated_at_s, retired_at_s"
)
_PUT_REQUESTOR = f"""
    INSERT INTO requestor ({_REQUESTOR}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    ON CONFLICT (requestor_id) DO UPDATE SET
        name = excluded.name, role = excluded.role, suspended = excluded.suspended, sandbox = excluded.sandbox,
        hash_crc = excluded.hash_crc, crypto_types = excluded.crypto_types, networks = excluded.networks,
        rate_limit_per_s = excluded.rate_limit_per_s, token_rate_limit_per_s = excluded.token_rate_limit_per_s,
        webhook_url = excluded.webhook_url, created_at_s = excluded.created_at_s
"""  # noqa: S608  (only our own column names are put in)
_PUT_KEY = f"""
    INSERT INTO wrapped_key ({_KEY}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    ON CONFLICT (purpose, owner, name, version) DO UPDATE SET
        algorithm = excluded.algorithm, state = excluded.state, kcv = excluded.kcv, wrapped = excluded.wrapped,
        kek_id = excluded.kek_id, created_at_s = excluded.created_at_s,
        activated_at_s = excluded.activated_at_s, retired_at_s = excluded.retired_at_s
"""  # noqa: S608


async def version(tx: Transaction) -> int:
    """Give the directory's version."""
    ((value,),) = await tx.fetch("SELECT value FROM meta WHERE name = 'directory_version'")
    return int(value)


async def read(tx: Transaction) -> Directory:
    """Read the whole directory.

    The version is read first: what changes meanwhile then looks newer than its number, and is only read once more.
    """
    number = await version(tx)
    requestors = await tx.fetch(f"SELECT {_REQUESTOR} FROM requestor ORDER BY requestor_id")  # noqa: S608
    credentials = await tx.fetch(
        "SELECT credential_id, requestor_id, digest, created_at_s, revoked_at_s FROM credential"
        " ORDER BY created_at_s, credential_id"
    )
    keys = await tx.fetch(f"SELECT {_KEY} FROM wrapped_key ORDER BY purpose, owner, name, version")  # noqa: S608
    return Directory(
        number,
        tuple(_requestor(row) for row in requestors),
        tuple(Credential(*row) for row in credentials),
        tuple(_key(row) for row in keys),
    )


async def put_requestor(tx: Transaction, actor: Actor, requestor: Requestor, now_s: int) -> None:
    """Insert or replace a requestor."""
    known = await tx.fetch(
        "SELECT 1 FROM requestor WHERE requestor_id = $1 FOR UPDATE", requestor.requestor_id
    )
    await tx.execute(
        _PUT_REQUESTOR,
        requestor.requestor_id,
        requestor.name,
        requestor.role.value,
        int(requestor.suspended),
        int(requestor.sandbox),
        requestor.hash_crc.value,
        json.dumps(requestor.crypto_types),
        json.dumps(requestor.networks),
        requestor.rate_limit_per_s,
        requestor.token_rate_limit_per_s,
        requestor.webhook_url,
        requestor.created_at_s,
    )
    action = "requestor.change" if known else "requestor.create"
    detail = msgspec.to_builtins(requestor)
    await _changed(tx, actor, [(action, requestor.requestor_id, detail)], now_s)


async def add_credential(tx: Transaction, actor: Actor, credential: Credential) -> None:
    """Store a credential's digest."""
    await tx.execute(
        "INSERT INTO credential (credential_id, requestor_id, digest, created_at_s, revoked_at_s)"
        " VALUES ($1, $2, $3, $4, $5)",
        credential.credential_id,
        credential.requestor_id,
        credential.digest,
        credential.created_at_s,
        credential.revoked_at_s,
    )
    line = ("credential.add", credential.credential_id, {"requestor_id": credential.requestor_id})
    await _changed(tx, actor, [line], credential.created_at_s)


async def revoke_credential(tx: Transaction, actor: Actor, credential_id: str, now_s: int) -> bool:
    """Revoke a credential; False where there is none, or it was revoked before."""
    changed = await tx.execute(
        "UPDATE credential SET revoked_at_s = $2 WHERE credential_id = $1 AND revoked_at_s IS NULL",
        credential_id,
        now_s,
    )
    if changed:
        await _changed(tx, actor, [("credential.revoke", credential_id, {})], now_s)
    else:
        await confirm(tx)
    return bool(changed)


async def put_keys(
    tx: Transaction, actor: Actor, keys: Sequence[WrappedKey], action: str, now_s: int
) -> None:
    """Insert or replace key versions; their audit lines hold check values and states."""
    # In the order of their names, so that two operators at once wait for each other rather than deadlock.
    in_order = sorted(keys, key=lambda key: (key.purpose, key.owner, key.name, key.version))
    await tx.execute_many(
        _PUT_KEY,
        [
            (
                key.purpose.value,
                key.owner,
                key.name,
                key.version,
                key.algorithm,
                key.state.value,
                key.kcv,
                key.wrapped,
                key.kek_id,
                key.created_at_s,
                key.activated_at_s,
                key.retired_at_s,
            )
            for key in in_order
        ],
    )
    await _changed(tx, actor, [(action, _key_name(key), _key_detail(key)) for key in in_order], now_s)


async def confirm(tx: Transaction) -> None:
    """Leave the directory as it is, but have the commit wait for a synchronous standby: so for all changes before.

    The lock is a write, and it is of the row that every change writes (docs/decisions/failover.md).
    """
    await tx.fetch("SELECT 1 FROM meta WHERE name = 'directory_version' FOR UPDATE")


async def _changed(
    tx: Transaction, actor: Actor, lines: Sequence[tuple[str, str, dict[str, Any]]], now_s: int
) -> None:
    """Tell every gateway, by the version, and the audit."""
    await tx.execute("UPDATE meta SET value = value + 1 WHERE name = 'directory_version'")
    await write_lines(tx, actor, lines, now_s)


def _key_name(key: WrappedKey) -> str:
    return "/".join((key.purpose.value, key.owner or "-", key.name or "-", key.version))


def _key_detail(key: WrappedKey) -> dict[str, Any]:
    return {"algorithm": key.algorithm, "state": key.state.value, "kcv": key.kcv, "kek_id": key.kek_id}


def _requestor(row: Sequence[Any]) -> Requestor:
    requestor_id, name, role, suspended, sandbox, hash_crc, crypto_types, networks, *rest = row
    return Requestor(
        requestor_id,
        name,
        Role(role),
        bool(suspended),
        bool(sandbox),
        HashMode(hash_crc),
        tuple(json.loads(crypto_types)),
        tuple(json.loads(networks)),
        *rest,
    )


def _key(row: Sequence[Any]) -> WrappedKey:
    purpose, owner, name, number, algorithm, state, *rest = row
    return WrappedKey(KeyPurpose(purpose), owner, name, number, algorithm, KeyState(state), *rest)
