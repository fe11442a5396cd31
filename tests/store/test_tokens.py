"""Tokens: added once for a PAN, found by either index, listed by page, changed in steps that are allowed."""

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
    pan_index,
    token,
    with_tokens,
)

from cpmqr.model import TokenState
from cpmqr.store.base import Store

pytestmark = pytest.mark.anyio


async def test_a_token_comes_back_as_it_was_added(store: Store) -> None:
    full = token(
        2**63 - 1, pan_index=b"\x00" * 15 + b"\xff", atc=9, funding_ref="계좌-7", state=TokenState.SUSPENDED
    )
    await with_tokens(store, full)
    assert await store.token(full.token_id) == full
    assert await store.token_by_index(full.pan_index) == full
    assert await store.token(1) is None
    assert await store.token_by_index(b"nobody's index..") is None


async def test_a_pan_belongs_to_one_token(store: Store) -> None:
    await with_tokens(store, token(1))
    rival = token(2, pan_index=pan_index(1), requestor_id=OTHER_REQUESTOR_ID)
    assert await store.add_tokens(ACTOR, [token(3), rival, token(4), token(4)]) == [True, False, True, False]
    assert await store.token_by_index(pan_index(1)) == token(1)
    assert await store.token(2) is None
    subjects = [line.subject for line in await store.audit_page() if line.action == "token.add"]
    assert sorted(subjects) == [f"{token_id:016x}" for token_id in (1, 3, 4)]


async def test_tokens_are_listed_by_page_requestor_and_state(store: Store) -> None:
    mine = [token(number) for number in range(1, 8)]
    theirs = [token(number, requestor_id=OTHER_REQUESTOR_ID) for number in range(8, 12)]
    await with_tokens(store, *theirs, *mine)
    await store.set_token_state(ACTOR, 2, TokenState.SUSPENDED, [TokenState.ACTIVE], NOW_S)

    async def ids(**wanted: object) -> list[int]:
        return [each.token_id for each in await store.list_tokens(**wanted)]

    assert await ids() == list(range(1, 12))
    assert await ids(limit=3) == [1, 2, 3]
    assert await ids(limit=3, after=3) == [4, 5, 6]
    assert await ids(requestor_id=OTHER_REQUESTOR_ID, after=8) == [9, 10, 11]
    assert await ids(state="suspended") == [2]
    assert await ids(requestor_id=REQUESTOR_ID, state="active", limit=2) == [1, 3]
    assert await ids(requestor_id="nobody") == []
    assert await ids(limit=0) == [1]


async def test_a_state_changes_only_from_those_allowed(store: Store) -> None:
    await with_tokens(store, token(1))
    suspended = await store.set_token_state(ACTOR, 1, TokenState.SUSPENDED, [TokenState.ACTIVE], NOW_S)
    assert suspended == token(1, state=TokenState.SUSPENDED)
    unchanged = await store.set_token_state(ACTOR, 1, TokenState.DELETED, [TokenState.ACTIVE], NOW_S)
    assert unchanged == suspended
    assert await store.set_token_state(ACTOR, 2, TokenState.DELETED, list(TokenState), NOW_S) is None
    lines = [line for line in await store.audit_page() if line.action == "token.state"]
    assert [line.detail for line in lines] == [
        {"pan": "535020******0066", "from": "active", "to": "suspended"}
    ]


async def test_a_sealed_pan_is_replaced_only_under_the_version_expected(store: Store) -> None:
    await with_tokens(store, token(1), token(2))
    changes = [(1, "1", b"new seal", "2"), (2, "7", b"too late", "8"), (3, "1", b"nobody", "2")]
    assert await store.reseal_tokens(changes) == 1
    assert await store.token(1) == token(1, pan_sealed=b"new seal", vault_key_ver="2")
    assert await store.token(2) == token(2)


async def test_an_issue_and_a_change_of_state_keep_each_others_work(store: Store) -> None:
    await with_tokens(store, token(1))
    await store.issue([intent("T1")], KEYS)
    await store.set_token_state(ACTOR, 1, TokenState.SUSPENDED, [TokenState.ACTIVE], NOW_S)
    await store.reseal_tokens([(1, "1", b"new seal", "2")])
    found = await store.token(1)
    assert found is not None
    assert msgspec.structs.replace(found, pan_sealed=b"", vault_key_ver="") == token(
        1, atc=1, state=TokenState.SUSPENDED, pan_sealed=b"", vault_key_ver=""
    )
