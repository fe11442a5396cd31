"""The audit's hash chain, pure: each line's chain covers the line before, so that no line changes or goes unseen.

    chain(n) = SHA-256( chain(n-1) ‖ canonical JSON of line n ), chain(0) is empty

Canonical JSON: one object with the members action, actor, at_s, detail, seq, source, subject, in this order (that of
the alphabet, inside `detail` too), no blanks, UTF-8. Anybody with a SHA-256 can check it. Source: ours.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from cpmqr.store.base import AuditEntry

BEFORE_THE_FIRST: Final = b""


class Break(msgspec.Struct, frozen=True):
    """Where the chain does not hold: the line's number, and what is wrong there."""

    seq: int
    what: str


def canonical_json(value: Mapping[str, Any]) -> str:
    """Write an object in the one form that is hashed and stored."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)


def next_chain(
    previous: bytes,
    *,
    seq: int,
    at_s: int,
    actor: str,
    source: str,
    action: str,
    subject: str,
    detail: Mapping[str, Any],
) -> bytes:
    """Give a line's chain value: 32 bytes.

    Args:
        previous: the chain of line `seq - 1`; `BEFORE_THE_FIRST` for line 1.
    """
    line = {
        "seq": seq,
        "at_s": at_s,
        "actor": actor,
        "source": source,
        "action": action,
        "subject": subject,
        "detail": detail,
    }
    return hashlib.sha256(previous + canonical_json(line).encode("utf-8", "surrogatepass")).digest()


def find_break(
    entries: Iterable[AuditEntry], *, after_seq: int = 0, after_chain: bytes = BEFORE_THE_FIRST
) -> Break | None:
    """Check consecutive lines against the line before them; None where all hold.

    Call it page by page with the last good line's seq and chain. A tail that was cut off shows only against
    `AuditStore.audit_head`, or against a chain value that was noted elsewhere.
    """
    for entry in entries:
        if entry.seq != after_seq + 1:
            return Break(after_seq + 1, "the line is missing")
        expected = next_chain(
            after_chain,
            seq=entry.seq,
            at_s=entry.at_s,
            actor=entry.actor,
            source=entry.source,
            action=entry.action,
            subject=entry.subject,
            detail=entry.detail,
        )
        if not hmac.compare_digest(expected, entry.chain):
            return Break(entry.seq, "the line, or one before it, was changed")
        after_seq, after_chain = entry.seq, entry.chain
    return None
