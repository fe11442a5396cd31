"""Records as the operator's commands show them: PANs masked, keys by their check value, times in UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from cpmqr.cli import output
from cpmqr.model import Credential, Requestor, Token, WrappedKey
from cpmqr.service.tokens import standing, token_ref
from cpmqr.store.base import AuditEntry

Record = Mapping[str, Any]

_GAP: Final = "  "


def time_text(at_s: int | None) -> str | None:
    """Write a time as RFC 3339 in UTC."""
    return None if at_s is None else datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def token_record(token: Token, now_s: int) -> Record:
    """Show a token; its track-2 discretionary data stays inside."""
    return {
        "token_id": token_ref(token.token_id),
        "pan": token.pan_masked,
        "requestor_id": token.requestor_id,
        "state": token.state.value,
        "standing": standing(token, now_s),
        "expiry": token.expiry,
        "psn": token.psn,
        "service_code": token.service_code,
        "profile": token.profile,
        "atc": token.atc,
        "funding_ref": token.funding_ref,
        "vault_key_ver": token.vault_key_ver,
        "created_at": time_text(token.created_at_s),
    }


def requestor_record(requestor: Requestor) -> Record:
    """Show a requestor's settings."""
    return {
        "requestor_id": requestor.requestor_id,
        "name": requestor.name,
        "role": requestor.role.value,
        "suspended": requestor.suspended,
        "sandbox": requestor.sandbox,
        "hash_crc": requestor.hash_crc.value,
        "crypto_types": list(requestor.crypto_types),
        "networks": list(requestor.networks),
        "rate_limit_per_s": requestor.rate_limit_per_s,
        "token_rate_limit_per_s": requestor.token_rate_limit_per_s,
        "webhook_url": requestor.webhook_url,
        "created_at": time_text(requestor.created_at_s),
    }


def credential_record(credential: Credential) -> Record:
    """Show a credential by its id."""
    return {
        "credential_id": credential.credential_id,
        "requestor_id": credential.requestor_id,
        "created_at": time_text(credential.created_at_s),
        "revoked_at": time_text(credential.revoked_at_s),
    }


def key_record(key: WrappedKey) -> Record:
    """Show a key version by its names and check value."""
    return {
        "purpose": key.purpose.value,
        "owner": key.owner,
        "name": key.name,
        "version": key.version,
        "algorithm": key.algorithm,
        "state": key.state.value,
        "kcv": key.kcv,
        "kek": key.kek_id,
        "created_at": time_text(key.created_at_s),
        "activated_at": time_text(key.activated_at_s),
        "retired_at": time_text(key.retired_at_s),
    }


def audit_record(entry: AuditEntry) -> Record:
    """Show a line of the audit."""
    return {
        "seq": entry.seq,
        "at": time_text(entry.at_s),
        "actor": entry.actor,
        "source": entry.source,
        "action": entry.action,
        "subject": entry.subject,
        "detail": dict(entry.detail),
        "chain": entry.chain.hex(),
    }


def show(record: Record, as_json: bool) -> None:
    """Print one record: JSON, or a line for each value that there is."""
    if as_json:
        output.print_json(record)
        return
    width = max(map(len, record))
    for name, value in record.items():
        print(f"{name:<{width}}{_GAP}{_text(value)}")


def show_page(
    noun: str, page: Sequence[Record], columns: Sequence[str], as_json: bool, after: str | int | None = None
) -> None:
    """Print a page: `{noun: […], "after": …}` in JSON, else a table of some columns.

    Args:
        after: continues the list; None at its end.
    """
    if as_json:
        output.print_json({noun: list(page), "after": after})
        return
    rows = [[_text(record[column]) for column in columns] for record in page]
    widths = [max(len(cell) for cell in cells) for cells in zip(columns, *rows, strict=True)]
    for row in [list(columns), *rows]:
        print(_GAP.join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    if after is not None:
        output.note(f"more: --after {after}")


def _text(value: object) -> str:
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return " ".join(f"{name}={_text(item)}" for name, item in value.items())
    return output.printable(str(value))
