"""The main job on PostgreSQL: `postgres_issue.sql`, and what its rows mean.

One round trip for a batch, without BEGIN and COMMIT; a second one where a known trace number is repeated, to read
the first issue back.
"""

from __future__ import annotations

import hmac
import importlib.resources
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from cpmqr.model import ATC_MAX
from cpmqr.store.base import Issued, IssueIntent, IssueOutcome, NotIssued

ISSUE: Final = (importlib.resources.files("cpmqr.store") / "postgres_issue.sql").read_text(encoding="utf-8")
READ_FIRST: Final = """
    SELECT token.token_id, token.psn, token.expiry, token.service_code, token.discretionary, issue.profile,
        issue.dki, issue.atc, issue.unpredictable_number, issue.issued_at_s, issue.expires_at_s
    FROM unnest($1::bigint[], $2::integer[], $3::bigint[]) AS wanted (token_id, atc, issued_at_s)
    JOIN issue ON issue.token_id = wanted.token_id AND issue.atc = wanted.atc
        AND issue.issued_at_s = wanted.issued_at_s
    JOIN token ON token.token_id = wanted.token_id
"""

IssueKey = tuple[int, int, int]
"""token_id, atc, issued_at_s."""


class FirstGone(Exception):
    """A repeated issue was purged between our two statements: carry the batch out again."""


def without_contests(intents: Sequence[IssueIntent]) -> Iterator[Sequence[IssueIntent]]:
    """Cut a batch so that no part has one trace number with two PANs.

    Within the statement the intents of a trace number are judged together, which needs them on one token. Two
    tokens under one number are a client's mistake; the second then goes into the next statement, and finds the first.
    """
    start = 0
    pan_indexes: dict[tuple[str, str], bytes] = {}
    for position, intent in enumerate(intents):
        key = (intent.requestor_id, intent.trace_no)
        if pan_indexes.setdefault(key, intent.pan_index) != intent.pan_index:
            yield intents[start:position]
            start = position
            pan_indexes = {key: intent.pan_index}
    yield intents[start:]


def arguments(intents: Sequence[IssueIntent], issuer_keys: Mapping[str, str]) -> tuple[str, ...]:
    """Lay the intents out column by column, as `ISSUE` takes them: each column as the text of an array.

    asyncpg's own encoder asks of each element whether it is an array itself, which made up half of this room's time.
    """
    return (
        _texts([intent.requestor_id for intent in intents]),
        _texts([intent.trace_no for intent in intents]),
        _bytes([intent.digest for intent in intents]),
        _bytes([intent.pan_index for intent in intents]),
        _bytes([intent.unpredictable_number for intent in intents]),
        _plain([str(intent.issued_at_s) for intent in intents]),
        _plain([str(intent.expires_at_s) for intent in intents]),
        _texts([intent.month for intent in intents]),
        _plain(["t" if intent.stale else "f" for intent in intents]),
        _texts([intent.profile for intent in intents]),
        _texts([intent.app_dv for intent in intents]),
        _texts(list(issuer_keys.keys())),
        _texts(list(issuer_keys.values())),
    )


def _texts(values: Sequence[str]) -> str:
    """Write a text array; each element in quotes, so that it stands for itself whatever it holds."""
    if not values:
        return "{}"
    joined = '","'.join(values)
    if "\\" in joined or joined.count('"') > 2 * (len(values) - 1):
        joined = '","'.join([value.replace("\\", "\\\\").replace('"', '\\"') for value in values])
    return f'{{"{joined}"}}'


def _bytes(values: Sequence[bytes]) -> str:
    """Write a bytea array, in hex."""
    return '{"\\\\x' + '","\\\\x'.join([value.hex() for value in values]) + '"}'


def _plain(values: Sequence[str]) -> str:
    """Write an array of numbers or booleans."""
    return f"{{{','.join(values)}}}"


def firsts_wanted(intents: Sequence[IssueIntent], rows: Sequence[Any]) -> list[IssueKey]:
    """Name the earlier issues that have to be read back: those that an intent rightly repeats."""
    return list(
        {
            (row[11], row[12], row[13]): None
            for intent, row in zip(intents, rows, strict=True)
            if row[10] is not None and hmac.compare_digest(row[10], intent.digest)
        }
    )


def outcomes(
    intents: Sequence[IssueIntent], rows: Sequence[Any], firsts: Mapping[tuple[int, int], Issued]
) -> list[IssueOutcome]:
    """Read the outcome of each intent from the statement's rows.

    Args:
        firsts: what `firsts_wanted` named, by token_id and atc.

    Raises:
        FirstGone: one of them is not there.
    """
    heads: dict[int, Issued] = {}
    return [
        _outcome(position, intent, row, intents, heads, firsts)
        for position, (intent, row) in enumerate(zip(intents, rows, strict=True), start=1)
    ]


def _outcome(
    position: int,
    intent: IssueIntent,
    row: Any,
    intents: Sequence[IssueIntent],
    heads: dict[int, Issued],
    firsts: Mapping[tuple[int, int], Issued],
) -> IssueOutcome:
    refusal, head, atc, token_id, psn, expiry, service_code, discretionary, profile, dki, *first = row
    if first[0] is not None:
        return _repeat_first(intent, first, firsts)
    if head in heads and position > head:
        if not hmac.compare_digest(intents[head - 1].digest, intent.digest):
            return NotIssued.DUPLICATE_TRACE
        return msgspec.structs.replace(heads[head], repeated=True)
    if refusal is None and position == head and atc <= ATC_MAX:
        issued = heads[head] = Issued(
            token_id,
            psn,
            expiry,
            service_code,
            discretionary,
            profile,
            dki,
            atc,
            intent.unpredictable_number,
            intent.issued_at_s,
            intent.expires_at_s,
            False,
        )
        return issued
    # The counter ran out in this very batch: it did so before the question of an issuer key came up.
    if refusal is None or (refusal == NotIssued.NO_ISSUER_KEY.value and atc >= ATC_MAX):
        return NotIssued.EXHAUSTED
    return NotIssued(refusal)


def _repeat_first(
    intent: IssueIntent, first: Sequence[Any], firsts: Mapping[tuple[int, int], Issued]
) -> IssueOutcome:
    digest, token_id, atc, _ = first
    if not hmac.compare_digest(digest, intent.digest):
        return NotIssued.DUPLICATE_TRACE
    issued = firsts.get((token_id, atc))
    if issued is None:
        raise FirstGone
    return issued
