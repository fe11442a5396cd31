"""Rate limits: what a second's worth is, whose it is, and how much memory it may take."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpmqr.errors import Refusal
from cpmqr.model import HashMode, Requestor, Role
from cpmqr.service.limits import RateLimits

REQUESTOR = Requestor(
    "42000000066", "wallet", Role.REQUESTOR, False, True, HashMode.HMAC_SHA256, rate_limit_per_s=5
)
OTHER = msgspec.structs.replace(REQUESTOR, requestor_id="42000000067")
PER_TOKEN = msgspec.structs.replace(REQUESTOR, rate_limit_per_s=0, token_rate_limit_per_s=2)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rates(clock: Clock) -> RateLimits:
    return RateLimits(clock)


def taken(rates: RateLimits, requestor: Requestor, tries: int) -> int:
    """How many of so many tries at one moment are let through."""
    let_through = 0
    for _ in range(tries):
        try:
            rates.take(requestor)
            let_through += 1
        except Refusal:
            pass
    return let_through


def token_taken(rates: RateLimits, requestor: Requestor, pan_index: bytes, tries: int) -> int:
    let_through = 0
    for _ in range(tries):
        try:
            rates.take_token(requestor, pan_index)
            let_through += 1
        except Refusal:
            pass
    return let_through


def test_a_requestor_may_send_its_seconds_worth_at_once_and_then_waits(
    rates: RateLimits, clock: Clock
) -> None:
    assert taken(rates, REQUESTOR, 20) == 5
    clock.now += 0.5
    assert taken(rates, REQUESTOR, 20) == 2
    clock.now += 100
    assert taken(rates, REQUESTOR, 20) == 5


def test_the_refusal_is_8001_with_retry_after(rates: RateLimits) -> None:
    taken(rates, REQUESTOR, 5)
    with pytest.raises(Refusal) as caught:
        rates.take(REQUESTOR)
    assert (caught.value.rslt_cd, caught.value.retry_after_s) == ("8001", 1)
    token_taken(rates, PER_TOKEN, b"a", 2)
    with pytest.raises(Refusal) as caught:
        rates.take_token(PER_TOKEN, b"a")
    assert (caught.value.rslt_cd, caught.value.retry_after_s) == ("8001", 1)


def test_what_was_refused_does_not_count(rates: RateLimits, clock: Clock) -> None:
    taken(rates, REQUESTOR, 1_000)
    clock.now += 1
    assert taken(rates, REQUESTOR, 20) == 5


def test_one_requestors_rate_is_not_anothers(rates: RateLimits) -> None:
    assert taken(rates, REQUESTOR, 20) == 5
    assert taken(rates, OTHER, 20) == 5


def test_a_rate_of_zero_is_none(rates: RateLimits) -> None:
    assert taken(rates, PER_TOKEN, 1_000) == 1_000
    assert token_taken(rates, REQUESTOR, b"a", 1_000) == 1_000


def test_a_lowered_rate_holds_from_the_next_request(rates: RateLimits, clock: Clock) -> None:
    taken(rates, msgspec.structs.replace(REQUESTOR, rate_limit_per_s=1_000), 1)
    assert taken(rates, REQUESTOR, 100) == 5


def test_each_token_has_its_own_rate(rates: RateLimits) -> None:
    assert token_taken(rates, PER_TOKEN, b"a", 10) == 2
    assert token_taken(rates, PER_TOKEN, b"b", 10) == 2


def test_nobody_uses_up_the_rate_of_anothers_token(rates: RateLimits) -> None:
    stranger = msgspec.structs.replace(PER_TOKEN, requestor_id="42000000067")
    token_taken(rates, stranger, b"a", 100)
    assert token_taken(rates, PER_TOKEN, b"a", 10) == 2


def test_the_longest_unused_token_is_forgotten_first(clock: Clock) -> None:
    rates = RateLimits(clock, tokens_max=3)
    for pan_index in (b"a", b"b", b"c"):
        token_taken(rates, PER_TOKEN, pan_index, 2)
    token_taken(rates, PER_TOKEN, b"a", 1)
    token_taken(rates, PER_TOKEN, b"d", 1)
    assert len(rates._tokens) == 3
    assert token_taken(rates, PER_TOKEN, b"a", 1) == 0
    assert token_taken(rates, PER_TOKEN, b"b", 1) == 1


@given(
    st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=50),
    st.integers(1, 20),
)
def test_over_any_time_no_more_goes_through_than_rate_times_time_and_one_burst(
    pauses: list[float], rate: int
) -> None:
    clock = Clock()
    rates = RateLimits(clock)
    requestor = msgspec.structs.replace(REQUESTOR, rate_limit_per_s=rate)
    let_through = 0
    for pause in pauses:
        clock.now += pause
        let_through += taken(rates, requestor, 30)
    assert let_through <= rate * sum(pauses) + rate + 1e-6
