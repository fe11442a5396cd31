"""The main job on SQLite: all that waits, in one transaction of seven statements.

Whatever the batch's size, each step is one statement, so that the writer's thread gives the interpreter lock away
and takes it back seven times and not a hundred: beside a busy event loop that is what costs.

    1 BEGIN IMMEDIATE         4 token counters
    2 known trace numbers     5 issues, 6 trace numbers
    3 tokens                  7 COMMIT (the one fsync)

Outcomes are worked out in between, in the order of the intents, by `decide`.
"""

from __future__ import annotations

import functools
import hmac
import itertools
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from cpmqr.model import ATC_MAX, TokenState
from cpmqr.store.base import Issued, IssueIntent, IssueOutcome, NotIssued

# A statement's text grows with its rows; powers of two keep the number of texts, and of prepared statements, small.
_ROWS_MAX: Final = 256  # 256 rows of 12 values: far under SQLite's 32,766 parameters

TraceKey = tuple[str, str]

_KNOWN: Final = (
    # CROSS JOIN is SQLite's word for "in this order": begin with what is wanted, not with the table.
    "WITH wanted (requestor_id, trace_no) AS (VALUES {rows})"
    " SELECT trace.requestor_id, trace.trace_no, trace.digest, token.token_id, token.psn, token.expiry,"
    " token.service_code, token.discretionary, issue.profile, issue.dki, issue.atc, issue.unpredictable_number,"
    " issue.issued_at_s, issue.expires_at_s"
    " FROM wanted CROSS JOIN trace ON trace.requestor_id = wanted.requestor_id AND trace.trace_no = wanted.trace_no"
    " JOIN issue ON issue.token_id = trace.token_id AND issue.atc = trace.atc"
    " JOIN token ON token.token_id = trace.token_id"
)
_TOKENS: Final = (
    "SELECT pan_index, token_id, requestor_id, atc, state, expiry, psn, service_code, discretionary, profile"
    " FROM token JOIN counter USING (token_id) WHERE pan_index IN (VALUES {rows})"
)
_COUNT_UP: Final = (
    # Every row is there: written so because SQLite takes a third of the time of UPDATE … FROM for it.
    "INSERT INTO counter (token_id, atc) VALUES {rows} ON CONFLICT (token_id) DO UPDATE SET atc = excluded.atc"
)
_ISSUE: Final = (
    "INSERT INTO issue (token_id, atc, requestor_id, trace_no, profile, dki, unpredictable_number, issued_at_s,"
    " expires_at_s, state, app_dv) VALUES {rows}"
)
_TRACE: Final = "INSERT INTO trace (requestor_id, trace_no, digest, token_id, atc, issued_at_s) VALUES {rows}"


class _Token:
    """What the decision needs of a token; its counter moves on."""

    __slots__ = (
        "atc",
        "atc_before",
        "discretionary",
        "expiry",
        "profile",
        "psn",
        "requestor_id",
        "service_code",
        "state",
        "token_id",
    )

    def __init__(
        self,
        token_id: int,
        requestor_id: str,
        atc: int,
        state: str,
        expiry: str,
        psn: str,
        service_code: str,
        discretionary: str,
        profile: str,
    ) -> None:
        self.token_id = token_id
        self.requestor_id = requestor_id
        self.atc = self.atc_before = atc
        self.state = state
        self.expiry = expiry
        self.psn = psn
        self.service_code = service_code
        self.discretionary = discretionary
        self.profile = profile


def issue_batch(
    connection: sqlite3.Connection, intents: Sequence[IssueIntent], issuer_keys: Mapping[str, str]
) -> list[IssueOutcome]:
    """Carry out a batch inside an open transaction; outcomes in order. See `IssueStore.issue`."""
    known = _read_known(connection, intents)
    tokens = _read_tokens(connection, intents)
    issues: list[Any] = []
    traces: list[Any] = []
    outcomes: list[IssueOutcome] = []
    for intent in intents:
        key = (intent.requestor_id, intent.trace_no)
        first = known.get(key)
        if first is not None:
            outcomes.append(_again(intent, *first))
            continue
        outcome = _decide(intent, tokens.get(intent.pan_index), issuer_keys)
        outcomes.append(outcome)
        if isinstance(outcome, Issued):
            known[key] = (intent.digest, outcome)
            issues += _issue_row(intent, outcome)
            traces += (*key, intent.digest, outcome.token_id, outcome.atc, intent.issued_at_s)
    _write(connection, _ISSUE, 11, issues)
    _write(connection, _TRACE, 6, traces)
    counters = [(token.token_id, token.atc) for token in tokens.values() if token.atc != token.atc_before]
    _write(connection, _COUNT_UP, 2, list(itertools.chain.from_iterable(counters)))
    return outcomes


def _again(intent: IssueIntent, digest: bytes, issued: Issued) -> IssueOutcome:
    if not hmac.compare_digest(digest, intent.digest):
        return NotIssued.DUPLICATE_TRACE
    return issued if issued.repeated else msgspec.structs.replace(issued, repeated=True)


def _decide(intent: IssueIntent, token: _Token | None, issuer_keys: Mapping[str, str]) -> IssueOutcome:
    """Judge an intent whose trace number is free, in the order of contract §6; count up if it is good."""
    if intent.stale:
        return NotIssued.STALE
    if token is None or token.requestor_id != intent.requestor_id:
        return NotIssued.NO_TOKEN
    if token.state != TokenState.ACTIVE:
        return NotIssued.DELETED if token.state == TokenState.DELETED else NotIssued.SUSPENDED
    if token.expiry < intent.month:
        return NotIssued.EXPIRED
    if token.atc >= ATC_MAX:
        return NotIssued.EXHAUSTED
    profile = intent.profile or token.profile
    dki = issuer_keys.get(profile)
    if dki is None:
        return NotIssued.NO_ISSUER_KEY
    token.atc += 1
    return Issued(
        token.token_id,
        token.psn,
        token.expiry,
        token.service_code,
        token.discretionary,
        profile,
        dki,
        token.atc,
        intent.unpredictable_number,
        intent.issued_at_s,
        intent.expires_at_s,
        False,
    )


def _issue_row(intent: IssueIntent, issued: Issued) -> tuple[Any, ...]:
    return (
        issued.token_id,
        issued.atc,
        intent.requestor_id,
        intent.trace_no,
        issued.profile,
        issued.dki,
        issued.unpredictable_number,
        issued.issued_at_s,
        issued.expires_at_s,
        "issued",
        intent.app_dv,
    )


def _read_known(
    connection: sqlite3.Connection, intents: Sequence[IssueIntent]
) -> dict[TraceKey, tuple[bytes, Issued]]:
    keys = list({(intent.requestor_id, intent.trace_no): None for intent in intents})
    known: dict[TraceKey, tuple[bytes, Issued]] = {}
    for size, chunk in _padded(keys):
        values = list(itertools.chain.from_iterable(chunk))
        for row in connection.execute(_sized(_KNOWN, 2, size), values):
            known[row[0], row[1]] = (row[2], Issued(*(*row[3:], True)))
    return known


def _read_tokens(connection: sqlite3.Connection, intents: Sequence[IssueIntent]) -> dict[bytes, _Token]:
    keys = list({intent.pan_index: None for intent in intents})
    tokens: dict[bytes, _Token] = {}
    for size, chunk in _padded(keys):
        for pan_index, *token in connection.execute(_sized(_TOKENS, 1, size), chunk):
            tokens[pan_index] = _Token(*token)
    return tokens


def _write(connection: sqlite3.Connection, statement: str, width: int, values: list[Any]) -> None:
    """Carry out a statement over rows laid end to end, in chunks of a power of two."""
    position = 0
    rows = len(values) // width
    while rows:
        size = min(_ROWS_MAX, 1 << (rows.bit_length() - 1))
        connection.execute(_sized(statement, width, size), values[position : position + size * width])
        position += size * width
        rows -= size


def _padded(keys: list[Any]) -> Iterator[tuple[int, list[Any]]]:
    """Cut keys into chunks whose size is a power of two, the last one filled up with its own first key."""
    for start in range(0, len(keys), _ROWS_MAX):
        chunk = keys[start : start + _ROWS_MAX]
        size = 1 << (len(chunk) - 1).bit_length()
        yield size, chunk + chunk[:1] * (size - len(chunk))


@functools.cache
def _sized(statement: str, width: int, rows: int) -> str:
    row = "(" + ",".join("?" * width) + ")"
    return statement.format(rows=",".join([row] * rows))
