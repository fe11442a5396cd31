"""The authoriser's side: an issue is consumed once, and an authorization id answered once."""

from __future__ import annotations

import msgspec
import pytest
from tests.store.world import (
    ACTOR,
    KEYS,
    NOW_S,
    OTHER_REQUESTOR_ID,
    REQUESTOR_ID,
    intent,
    requestor,
    token,
    with_tokens,
)

from cpmqr.model import IssueState, TokenState
from cpmqr.store.base import Claimed, ClaimIntent, Store

pytestmark = pytest.mark.anyio


def claim(authorization_id: str, atc: int | None = 1, **changes: object) -> ClaimIntent:
    plain = ClaimIntent(
        authoriser_id="authoriser",
        authorization_id=authorization_id,
        digest=b"what was asked..",
        now_s=NOW_S + 5,
        token_id=None if atc is None else 1,
        atc=atc,
        refused="",
        answer=b'{"for":"' + authorization_id.encode() + b'"}',
        event_body=b'{"used":true}',
    )
    return msgspec.structs.replace(plain, **changes)


async def with_issues(store: Store, count: int = 3) -> Store:
    await with_tokens(store, token(1))
    await store.issue([intent(f"T{n}") for n in range(1, count + 1)], KEYS)
    return store


async def state_of(store: Store, atc: int) -> IssueState:
    found = await store.issue_of(1, atc)
    assert found is not None
    return found.issue.state


async def test_a_claim_consumes_the_issue(store: Store) -> None:
    await with_issues(store)
    assert await store.claim([claim("A1")]) == [Claimed("0000", b'{"for":"A1"}', repeated=False)]
    found = await store.issue_of(1, 1)
    assert found is not None
    assert (found.issue.state, found.issue.used_at_s) == (IssueState.USED, NOW_S + 5)
    assert await state_of(store, 2) is IssueState.ISSUED


async def test_the_same_authorization_again_gets_the_same_answer_byte_for_byte(store: Store) -> None:
    await with_issues(store)
    (first,) = await store.claim([claim("A1")])
    again = claim("A1", now_s=NOW_S + 500, answer=b"computed differently now")
    assert await store.claim([again]) == [msgspec.structs.replace(first, repeated=True)]


async def test_a_refusal_is_repeated_too(store: Store) -> None:
    await with_issues(store)
    (refused,) = await store.claim([claim("A1", refused="5007")])
    assert refused.code == "5007"
    assert await state_of(store, 1) is IssueState.ISSUED
    (again,) = await store.claim([claim("A1")])
    assert again == msgspec.structs.replace(refused, repeated=True)
    assert await state_of(store, 1) is IssueState.ISSUED


async def test_another_content_under_a_used_authorization_id_is_a_duplicate(store: Store) -> None:
    await with_issues(store)
    (first,) = await store.claim([claim("A1")])
    (other,) = await store.claim([claim("A1", atc=2, digest=b"something else!!")])
    assert (other.code, other.answer) == ("5001", b"")
    assert await state_of(store, 2) is IssueState.ISSUED
    assert (await store.claim([claim("A1")]))[0].answer == first.answer


async def test_an_authorization_id_belongs_to_its_authoriser(store: Store) -> None:
    await with_issues(store)
    claims = [claim("A1"), claim("A1", atc=2, authoriser_id="another", digest=b"something else!!")]
    assert [each.code for each in await store.claim(claims)] == ["0000", "0000"]


async def test_the_claims_of_one_batch_see_each_other(store: Store) -> None:
    await with_issues(store)
    claims = [
        claim("A1"),
        claim("A2"),
        claim("A1"),
        claim("A3", atc=2),
        claim("A3", digest=b"something else!!"),
    ]
    outcomes = await store.claim(claims)
    assert [(each.code, each.repeated) for each in outcomes] == [
        ("0000", False),
        ("5005", False),
        ("0000", True),
        ("0000", False),
        ("5001", True),
    ]
    assert await store.claim([]) == []


async def test_a_claim_is_refused_by_the_state_of_issue_token_and_requestor(store: Store) -> None:
    await with_issues(store, 6)
    codes = {}
    codes["no issue named"] = (await store.claim([claim("A1", atc=None)]))[0].code
    codes["no such issue"] = (await store.claim([claim("A2", atc=99)]))[0].code
    await store.claim([claim("A3")])
    codes["used"] = (await store.claim([claim("A4")]))[0].code
    await store.revoke_issues(ACTOR, REQUESTOR_ID, [(1, 2)], NOW_S)
    codes["revoked"] = (await store.claim([claim("A5", atc=2)]))[0].code
    await store.put_requestor(ACTOR, requestor(suspended=True), NOW_S)
    codes["requestor suspended"] = (await store.claim([claim("A6", atc=3)]))[0].code
    await store.set_token_state(ACTOR, 1, TokenState.SUSPENDED, [TokenState.ACTIVE], NOW_S)
    codes["token suspended"] = (await store.claim([claim("A7", atc=3)]))[0].code
    await store.set_token_state(ACTOR, 1, TokenState.DELETED, list(TokenState), NOW_S)
    codes["token deleted"] = (await store.claim([claim("A8", atc=3)]))[0].code
    assert codes == {
        "no issue named": "5003",
        "no such issue": "5003",
        "used": "5005",
        "revoked": "5006",
        "requestor suspended": "2003",
        "token suspended": "4002",
        "token deleted": "4003",
    }
    assert await state_of(store, 3) is IssueState.ISSUED


async def test_a_requestor_with_a_webhook_is_told(store: Store) -> None:
    await with_issues(store)
    await store.claim([claim("A1")])
    assert await store.list_events() == []
    await store.put_requestor(ACTOR, requestor(webhook_url="https://wallet.example/hook"), NOW_S)
    await store.claim([claim("A1"), claim("A2"), claim("A3", atc=2), claim("A4", atc=3, event_body=b"")])
    (event,) = await store.list_events()
    assert (event.requestor_id, event.kind, event.body) == (REQUESTOR_ID, "qr.used", b'{"used":true}')
    assert (event.created_at_s, event.next_at_s, event.attempts, event.state) == (
        NOW_S + 5,
        NOW_S + 5,
        0,
        "pending",
    )


async def test_a_requestor_revokes_its_own_unused_issues(store: Store) -> None:
    await with_issues(store)
    await store.claim([claim("A1", atc=3)])
    wanted = [(1, 2), (1, 3), (1, 9), (1, 2)]
    states = [IssueState.REVOKED, IssueState.USED, None, IssueState.REVOKED]
    assert await store.revoke_issues(ACTOR, REQUESTOR_ID, wanted, NOW_S) == states
    assert await store.revoke_issues(ACTOR, REQUESTOR_ID, wanted, NOW_S) == states
    assert await store.revoke_issues(ACTOR, OTHER_REQUESTOR_ID, [(1, 1)], NOW_S) == [None]
    assert await state_of(store, 1) is IssueState.ISSUED
    lines = [line for line in await store.audit_page() if line.action == "qr.revoke"]
    assert [line.detail for line in lines] == [{"issues": [{"token": f"{1:016x}", "atc": 2}]}]
