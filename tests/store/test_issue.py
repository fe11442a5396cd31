"""The main job: every outcome, the order of the checks, and how intents of one batch see each other."""

from __future__ import annotations

import msgspec
import pytest
from tests.store.world import (
    ACTOR,
    KEYS,
    NOW_S,
    OTHER_REQUESTOR_ID,
    codes,
    intent,
    issue_one,
    token,
    with_tokens,
)

from cpmqr.model import ATC_MAX, TokenState
from cpmqr.store.base import Issued, NotIssued, Store

pytestmark = pytest.mark.anyio


async def test_a_new_issue_carries_the_tokens_data_and_the_intents(store: Store) -> None:
    await with_tokens(store, token())
    outcome = await issue_one(store, intent("T1"))
    assert outcome == Issued(
        token_id=1,
        psn="02",
        expiry="3012",
        service_code="601",
        discretionary="0000000000099",
        profile="bc-domestic",
        dki="05",
        atc=1,
        unpredictable_number=b"\x00\x01\x02\x03",
        issued_at_s=NOW_S,
        expires_at_s=NOW_S + 180,
        repeated=False,
    )


async def test_an_empty_batch_has_no_outcomes(store: Store) -> None:
    assert await store.issue([], KEYS) == []


async def test_each_issue_counts_up_by_one(store: Store) -> None:
    await with_tokens(store, token(1), token(2, atc=41))
    assert codes(await store.issue([intent("A"), intent("B", 2), intent("C")], KEYS)) == ["1", "42", "2"]
    assert codes(await store.issue([intent("D"), intent("E", 2)], KEYS)) == ["3", "43"]
    found = await store.token(1)
    assert found is not None
    assert found.atc == 3


async def test_a_retry_gets_the_first_issue_whatever_has_changed_since(store: Store) -> None:
    await with_tokens(store, token())
    first = await issue_one(store, intent("T1"))
    await store.set_token_state(ACTOR, 1, TokenState.DELETED, [TokenState.ACTIVE], NOW_S)
    retry = intent(
        "T1",
        unpredictable_number=b"\xff\xff\xff\xff",
        issued_at_s=NOW_S + 4000,
        expires_at_s=NOW_S + 4180,
        stale=True,
        month="9912",
        profile="unionpay",
    )
    (repeated,) = await store.issue([retry], {})
    assert repeated == msgspec.structs.replace(first, repeated=True)


async def test_another_content_under_a_used_number_is_a_duplicate_and_the_first_stands(store: Store) -> None:
    await with_tokens(store, token(1), token(2))
    await issue_one(store, intent("T1"))
    assert await issue_one(store, intent("T1", digest=b"something else!!")) is NotIssued.DUPLICATE_TRACE
    assert await issue_one(store, intent("T1", 2)) is NotIssued.DUPLICATE_TRACE
    assert codes([await issue_one(store, intent("T1"))]) == ["=1"]


async def test_a_trace_number_belongs_to_its_requestor(store: Store) -> None:
    await with_tokens(store, token(1), token(2, requestor_id=OTHER_REQUESTOR_ID))
    other = intent("T1", 2, requestor_id=OTHER_REQUESTOR_ID)
    assert codes(await store.issue([intent("T1"), other], KEYS)) == ["1", "1"]


REFUSALS = [
    ("a stale request", {}, {"stale": True}, NotIssued.STALE),
    ("an unknown PAN", {}, {"pan_index": b"u" * 16}, NotIssued.NO_TOKEN),
    ("another requestor's token", {"requestor_id": OTHER_REQUESTOR_ID}, {}, NotIssued.NO_TOKEN),
    ("a deleted token", {"state": TokenState.DELETED}, {}, NotIssued.DELETED),
    ("a suspended token", {"state": TokenState.SUSPENDED}, {}, NotIssued.SUSPENDED),
    ("an expired token", {"expiry": "2604"}, {}, NotIssued.EXPIRED),
    ("an exhausted token", {"atc": ATC_MAX}, {}, NotIssued.EXHAUSTED),
    ("a token whose profile has no issuer key", {"profile": "qris"}, {}, NotIssued.NO_ISSUER_KEY),
    ("a profile that has no issuer key", {}, {"profile": "qris"}, NotIssued.NO_ISSUER_KEY),
]


@pytest.mark.parametrize(
    ("token_is", "intent_is", "refusal"), [row[1:] for row in REFUSALS], ids=[r[0] for r in REFUSALS]
)
async def test_a_refusal_stores_nothing_and_leaves_the_number_free(
    store: Store, token_is: dict, intent_is: dict, refusal: NotIssued
) -> None:
    await with_tokens(store, token(1, **token_is), token(2))
    assert await issue_one(store, intent("T1", **intent_is)) is refusal
    found = await store.token(1)
    assert found is not None
    assert found.atc == token_is.get("atc", 0)
    assert codes([await issue_one(store, intent("T1", 2))]) == ["1"]


async def test_a_token_is_good_to_the_end_of_its_month(store: Store) -> None:
    await with_tokens(store, token(1, expiry="2605"))
    assert codes([await issue_one(store, intent("T1"))]) == ["1"]


async def test_the_checks_go_in_the_contracts_order(store: Store) -> None:
    """Everything is wrong at first; each cure uncovers the next refusal."""
    bad = {"expiry": "2001", "atc": ATC_MAX, "profile": "qris"}
    await with_tokens(
        store,
        token(1, state=TokenState.DELETED, **bad),
        token(2, state=TokenState.SUSPENDED, **bad),
        token(3, **bad),
        token(4, **(bad | {"expiry": "3012"})),
        token(5, profile="qris"),
        token(6),
    )
    await issue_one(store, intent("used", 6))
    batch = [
        intent("used", 1, stale=True),
        intent("T1", 1, stale=True),
        intent("T1", 99),
        *(intent("T1", number) for number in (1, 2, 3, 4, 5, 6)),
    ]
    order = ["5001", "3006", "4001", "4003", "4002", "4004", "4006", "9002", "2"]
    one_by_one = [await issue_one(store, each) for each in batch[:-1]]
    assert codes(one_by_one) == order[:-1]
    assert codes(await store.issue(batch, KEYS)) == order


async def test_the_intents_profile_wins_over_the_tokens(store: Store) -> None:
    await with_tokens(store, token(1))
    outcome = await issue_one(store, intent("T1", profile="unionpay"))
    assert (outcome.profile, outcome.dki) == ("unionpay", "01")
    assert (await issue_one(store, intent("T1"))).profile == "unionpay"


async def test_a_retry_in_the_same_batch_repeats_the_first(store: Store) -> None:
    await with_tokens(store, token(1))
    batch = [
        intent("T1"),
        intent("T1", unpredictable_number=b"\xff" * 4, stale=True),
        intent("T1", digest=b"something else!!"),
        intent("T2"),
    ]
    outcomes = await store.issue(batch, KEYS)
    assert codes(outcomes) == ["1", "=1", "5001", "2"]
    assert outcomes[1] == msgspec.structs.replace(outcomes[0], repeated=True)


async def test_the_first_good_intent_of_a_number_makes_the_issue(store: Store) -> None:
    await with_tokens(store, token(1))
    batch = [intent("T1", stale=True), intent("T1", digest=b"something else!!"), intent("T1"), intent("T2")]
    assert codes(await store.issue(batch, KEYS)) == ["3006", "1", "5001", "2"]


async def test_two_tokens_under_one_number_are_judged_in_their_order(store: Store) -> None:
    await with_tokens(store, token(1, state=TokenState.SUSPENDED), token(2), token(3))
    batch = [
        intent("T1", 1),
        intent("T1", 2),
        intent("T2", 2),
        intent("T1", 3),
        intent("T1", 2),
        intent("T3", 3),
    ]
    assert codes(await store.issue(batch, KEYS)) == ["4002", "1", "2", "5001", "=1", "1"]


async def test_a_counter_runs_out_within_a_batch_and_no_further(store: Store) -> None:
    await with_tokens(store, token(1, atc=ATC_MAX - 2), token(2))
    batch = [
        intent("T1"),
        intent("T2"),
        intent("T3"),
        intent("T3"),
        intent("T4", profile="qris"),
        intent("T2"),
        intent("T5", 2),
    ]
    expected = [str(ATC_MAX - 1), str(ATC_MAX), "4006", "4006", "4006", f"={ATC_MAX}", "1"]
    assert codes(await store.issue(batch, KEYS)) == expected
    found = await store.token(1)
    assert found is not None
    assert found.atc == ATC_MAX
    assert await issue_one(store, intent("T3")) is NotIssued.EXHAUSTED


async def test_a_large_batch_is_carried_out_like_a_small_one(store: Store) -> None:
    await with_tokens(store, *(token(number) for number in range(1, 8)))
    batch = [intent(f"T{n}", 1 + n % 7) for n in range(1000)]
    outcomes = await store.issue(batch, KEYS)
    assert codes(outcomes) == [str(1 + n // 7) for n in range(1000)]
    assert codes(await store.issue(batch, KEYS)) == [f"={1 + n // 7}" for n in range(1000)]


async def test_an_issue_is_stored_as_it_was_answered(store: Store) -> None:
    await with_tokens(store, token(1))
    outcome = await issue_one(store, intent("거래-1", app_dv="app 7"))
    found = await store.issue_of(1, 1)
    assert found is not None
    issue = found.issue
    assert (issue.requestor_id, issue.trace_no, issue.app_dv) == ("42000000066", "거래-1", "app 7")
    assert (issue.profile, issue.dki, issue.atc) == (outcome.profile, outcome.dki, outcome.atc)
    assert issue.unpredictable_number == outcome.unpredictable_number
    assert (issue.issued_at_s, issue.expires_at_s, issue.used_at_s) == (NOW_S, NOW_S + 180, None)
    assert found.token == await store.token(1)
    assert await store.find_issue(token(1).pan_index, 1) == found
    assert await store.issue_of(1, 2) is None
