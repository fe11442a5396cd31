"""Requestors, tokens and intents for the store's tests. Nothing here is a real card."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from cpmqr.model import HashMode, Requestor, Role, Token, TokenState
from cpmqr.store.base import Actor, Issued, IssueIntent, Store

ACTOR = Actor("tester", "cli")
REQUESTOR_ID = "42000000066"
OTHER_REQUESTOR_ID = "42000000077"
NOW_S = 1_780_000_000  # in May 2026
MONTH = "2605"
KEYS = {"bc-domestic": "05", "unionpay": "01"}


def requestor(requestor_id: str = REQUESTOR_ID, **changes: Any) -> Requestor:
    """A requestor without a webhook, unless told otherwise."""
    plain = Requestor(
        requestor_id, "A wallet", Role.REQUESTOR, False, False, HashMode.HMAC_SHA256, created_at_s=NOW_S
    )
    return msgspec.structs.replace(plain, **changes)


def pan_index(number: int) -> bytes:
    """The blind index of token number `number`."""
    return number.to_bytes(16, "big")


def token(number: int = 1, **changes: Any) -> Token:
    """An active token that expires in 2030."""
    plain = Token(
        token_id=number,
        requestor_id=REQUESTOR_ID,
        pan_index=pan_index(number),
        pan_sealed=random.Random(number).randbytes(47),
        vault_key_ver="1",
        pan_masked="535020******0066",
        psn="02",
        expiry="3012",
        service_code="601",
        discretionary="0000000000099",
        profile="bc-domestic",
        state=TokenState.ACTIVE,
        atc=0,
        funding_ref=f"acct-{number}",
        created_at_s=NOW_S,
    )
    return msgspec.structs.replace(plain, **changes)


def intent(trace_no: str, number: int = 1, **changes: Any) -> IssueIntent:
    """A fresh wish for a QR on token `number`."""
    plain = IssueIntent(
        requestor_id=REQUESTOR_ID,
        trace_no=trace_no,
        digest=b"content of " + bytes([number % 256]) * 5,
        pan_index=pan_index(number),
        unpredictable_number=b"\x00\x01\x02\x03",
        issued_at_s=NOW_S,
        expires_at_s=NOW_S + 180,
        month=MONTH,
    )
    return msgspec.structs.replace(plain, **changes)


async def with_tokens(store: Store, *tokens: Token) -> Store:
    """Store a requestor and its tokens."""
    await store.put_requestor(ACTOR, requestor(), NOW_S)
    assert all(await store.add_tokens(ACTOR, tokens))
    return store


async def issue_one(store: Store, one: IssueIntent) -> Any:
    """Issue a batch of one."""
    (outcome,) = await store.issue([one], KEYS)
    return outcome


def codes(outcomes: list[Any]) -> list[str]:
    """Write outcomes briefly: the ATC of a new issue, `=` and the ATC of a repeated one, or the code."""
    return [
        (f"={each.atc}" if each.repeated else str(each.atc)) if isinstance(each, Issued) else each.value
        for each in outcomes
    ]
