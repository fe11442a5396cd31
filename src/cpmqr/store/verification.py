"""The authoriser's side: find an issue, consume it once, revoke it."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from cpmqr.model import Issue, IssueState, TokenState
from cpmqr.store import outbox
from cpmqr.store.audit import token_subject, write_line
from cpmqr.store.base import Actor, Claimed, ClaimIntent, Found
from cpmqr.store.tokens import read_token, token_columns
from cpmqr.store.transaction import Transaction, value_rows

GRANTED: Final = "0000"
_OTHER_CONTENT: Final = "5001"
_NO_QR: Final = "5003"
_BY_ISSUE_STATE: Final = {IssueState.USED: "5005", IssueState.REVOKED: "5006"}
_BY_TOKEN_STATE: Final = {TokenState.SUSPENDED: "4002", TokenState.DELETED: "4003"}
_REQUESTOR_SUSPENDED: Final = "2003"

_ISSUE_COLUMNS: Final = (
    "token_id",
    "atc",
    "requestor_id",
    "trace_no",
    "profile",
    "dki",
    "unpredictable_number",
    "issued_at_s",
    "expires_at_s",
    "state",
    "app_dv",
    "used_at_s",
)
_FOUND: Final = (
    f"SELECT {', '.join('issue.' + column for column in _ISSUE_COLUMNS)},"  # noqa: S608  (our own column names)
    f" {token_columns()}"
    " FROM token JOIN counter ON counter.token_id = token.token_id JOIN issue ON issue.token_id = token.token_id"
)

AuthorizationKey = tuple[str, str]
IssueKey = tuple[int, int]
_New = tuple[ClaimIntent, str]
"""An intent that was not answered before, and its code."""


async def find(tx: Transaction, pan_index: bytes, atc: int) -> Found | None:
    """Find an issue by the token's blind index and the counter."""
    return _found(await tx.fetch(f"{_FOUND} WHERE token.pan_index = $1 AND issue.atc = $2", pan_index, atc))


async def of(tx: Transaction, token_id: int, atc: int) -> Found | None:
    """Find an issue by token and counter."""
    return _found(await tx.fetch(f"{_FOUND} WHERE token.token_id = $1 AND issue.atc = $2", token_id, atc))


class ClaimedMeanwhile(Exception):
    """Another transaction answered one of these authorization ids first: roll back, and begin anew.

    A signal inside this room: the backend's `_write` carries the step out again, and nobody outside sees it.
    """


class _Issue(msgspec.Struct):
    """What a claim looks at."""

    issued_at_s: int
    requestor_id: str
    state: str
    token_state: str
    requestor_suspended: bool
    webhook_url: str


async def claim(tx: Transaction, intents: Sequence[ClaimIntent]) -> list[Claimed]:
    """Answer claims in order, each authorization id once; see `VerificationStore.claim`.

    Locks go in one order: issues by key, then authorization ids by key. Two gateways thus never wait for each other.

    Raises:
        ClaimedMeanwhile: the whole step is to be carried out again.
    """
    issues = await _lock_issues(tx, intents)
    answered = await _earlier_answers(tx, intents)
    outcomes: list[Claimed] = []
    new: list[_New] = []
    for intent in intents:
        key = (intent.authoriser_id, intent.authorization_id)
        earlier = answered.get(key)
        if earlier is not None:
            outcomes.append(_repeat(intent, *earlier))
            continue
        issue = _named(intent, issues)
        code = intent.refused or _judge(issue)
        if code == GRANTED and issue is not None:
            issue.state = IssueState.USED
        answered[key] = (intent.digest, code, intent.answer)
        outcomes.append(Claimed(code, intent.answer, repeated=False))
        new.append((intent, code))
    await _store(tx, new, issues)
    return outcomes


async def revoke(
    tx: Transaction, actor: Actor, requestor_id: str, issues: Sequence[IssueKey], now_s: int
) -> list[IssueState | None]:
    """Revoke issued QRs of one requestor; the state afterwards for each, None where it has no such issue."""
    states: dict[IssueKey, IssueState | None] = {}
    revoked: list[IssueKey] = []
    for token_id, atc in sorted(set(issues)):
        rows = await tx.fetch(
            "SELECT state FROM issue WHERE token_id = $1 AND atc = $2 AND requestor_id = $3 FOR UPDATE",
            token_id,
            atc,
            requestor_id,
        )
        state = IssueState(rows[0][0]) if rows else None
        if state is IssueState.ISSUED:
            state = IssueState.REVOKED
            revoked.append((token_id, atc))
        states[token_id, atc] = state
    await tx.execute_many("UPDATE issue SET state = 'revoked' WHERE token_id = $1 AND atc = $2", revoked)
    if revoked:
        detail = {"issues": [{"token": token_subject(token_id), "atc": atc} for token_id, atc in revoked]}
        await write_line(tx, actor, "qr.revoke", requestor_id, detail, now_s)
    return [states[key] for key in issues]


async def _lock_issues(tx: Transaction, intents: Sequence[ClaimIntent]) -> dict[IssueKey, _Issue]:
    keys = sorted({key for intent in intents if (key := _issue_key(intent)) is not None})
    if not keys:
        return {}
    rows = await tx.fetch(
        f"WITH wanted (token_id, atc) AS (VALUES {value_rows(len(keys), ('BIGINT', 'INTEGER'))})"  # noqa: S608
        " SELECT issue.token_id, issue.atc, issue.issued_at_s, issue.requestor_id, issue.state, token.state,"
        " requestor.suspended, requestor.webhook_url"
        " FROM wanted JOIN issue ON issue.token_id = wanted.token_id AND issue.atc = wanted.atc"
        " JOIN token ON token.token_id = issue.token_id"
        " LEFT JOIN requestor ON requestor.requestor_id = issue.requestor_id"
        " ORDER BY issue.token_id, issue.atc FOR UPDATE OF issue",
        *(value for key in keys for value in key),
    )
    return {
        (token_id, atc): _Issue(
            issued_at_s, requestor_id, state, token_state, bool(suspended), webhook_url or ""
        )
        for token_id, atc, issued_at_s, requestor_id, state, token_state, suspended, webhook_url in rows
    }


async def _earlier_answers(
    tx: Transaction, intents: Sequence[ClaimIntent]
) -> dict[AuthorizationKey, tuple[bytes, str, bytes]]:
    keys = sorted({(intent.authoriser_id, intent.authorization_id) for intent in intents})
    if not keys:
        return {}
    # The lock is a write: with it the commit waits for a synchronous standby even where nothing else is written,
    # and thus until the earlier answer is on it (docs/decisions/failover.md).
    rows = await tx.fetch(
        "WITH wanted (authoriser_id, authorization_id) AS"  # noqa: S608
        f" (VALUES {value_rows(len(keys), ('TEXT', 'TEXT'))})"
        " SELECT authoriser_id, authorization_id, digest, code, answer"
        " FROM wanted JOIN verification USING (authoriser_id, authorization_id)"
        " ORDER BY authoriser_id, authorization_id FOR UPDATE OF verification",
        *(value for key in keys for value in key),
    )
    return {(row[0], row[1]): (row[2], row[3], row[4]) for row in rows}


async def _store(tx: Transaction, new: Sequence[_New], issues: dict[IssueKey, _Issue]) -> None:
    for intent, code in sorted(new, key=lambda each: (each[0].authoriser_id, each[0].authorization_id)):
        inserted = await tx.execute(
            "INSERT INTO verification"
            " (authoriser_id, authorization_id, digest, code, answer, token_id, atc, answered_at_s)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
            intent.authoriser_id,
            intent.authorization_id,
            intent.digest,
            code,
            intent.answer,
            intent.token_id,
            intent.atc,
            intent.now_s,
        )
        if not inserted:
            raise ClaimedMeanwhile
    granted = [
        (intent, issue) for intent, code in new if code == GRANTED and (issue := _named(intent, issues))
    ]
    await tx.execute_many(
        # The time of issue names the partition, so that PostgreSQL looks into one only.
        "UPDATE issue SET state = 'used', used_at_s = $4 WHERE token_id = $1 AND atc = $2 AND issued_at_s = $3",
        [(intent.token_id, intent.atc, issue.issued_at_s, intent.now_s) for intent, issue in granted],
    )
    await outbox.put(
        tx,
        [
            (_event_id(intent), issue.requestor_id, outbox.QR_USED, intent.event_body, intent.now_s)
            for intent, issue in granted
            if issue.webhook_url and intent.event_body
        ],
    )


def _judge(issue: _Issue | None) -> str:
    if issue is None:
        return _NO_QR
    if issue.state != IssueState.ISSUED:
        return _BY_ISSUE_STATE[IssueState(issue.state)]
    if issue.token_state != TokenState.ACTIVE:
        return _BY_TOKEN_STATE[TokenState(issue.token_state)]
    return _REQUESTOR_SUSPENDED if issue.requestor_suspended else GRANTED


def _repeat(intent: ClaimIntent, digest: bytes, code: str, answer: bytes) -> Claimed:
    if hmac.compare_digest(digest, intent.digest):
        return Claimed(code, answer, repeated=True)
    return Claimed(_OTHER_CONTENT, b"", repeated=True)


def _issue_key(intent: ClaimIntent) -> IssueKey | None:
    if intent.token_id is None or intent.atc is None:
        return None
    return intent.token_id, intent.atc


def _named(intent: ClaimIntent, issues: dict[IssueKey, _Issue]) -> _Issue | None:
    key = _issue_key(intent)
    return None if key is None else issues.get(key)


def _event_id(intent: ClaimIntent) -> str:
    return outbox.event_id_of(
        intent.now_s, intent.authoriser_id, intent.authorization_id, str(intent.token_id), str(intent.atc)
    )


def _found(rows: Sequence[Sequence[Any]]) -> Found | None:
    if not rows:
        return None
    width = len(_ISSUE_COLUMNS)
    values = list(rows[0][:width])
    values[9] = IssueState(values[9])
    return Found(Issue(*values), read_token(rows[0][width:]))
