"""Claim, then issue, as docs/scaling.md has it: every order of steps, every crash, and why not otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.store import two_steps
from tests.store.two_steps import CLAIM_THEN_ISSUE, Attempt, Claim, Step, Told, World, alone, explore, start

# Another content under the same number: on another token's shard, or on the same one.
TWO_TOKENS = {"first": "token 1", "second": "token 2"}
ONE_TOKEN = {"first": "token 1", "second": "token 1"}


def _complaints(world: World, steps: dict[str, Step]) -> Iterator[str]:
    """What contract §5 would say to this state."""
    qrs = {(answer.request, answer.atc) for answer in world.answers if answer.code == "0000"}
    if len(world.issued) > 1:
        yield "two issues under one number"
    if len(qrs) > 1:
        yield "two QRs were answered under one number"
    if sum(count for _, count in world.counters) != len(world.issued):
        yield "a counter went up without an issue"
    if qrs and any(answer.code != "0000" and (answer.request, 0) in qrs for answer in world.answers):
        yield "answered and refused"
    for answer in world.answers:
        if answer.code == "5001" and not any(told.request != answer.request for told in world.issued):
            yield "5001, and nobody has the number"
    if not world.under_way:
        yield from _after_quiet(world, steps)


def _after_quiet(world: World, steps: dict[str, Step]) -> Iterator[str]:
    """With nothing under way, whoever tries now must get what the contract promises."""
    for request, _ in world.tokens:
        after = alone(world, request, steps)
        (answer,) = after.answers
        holder = world.issued[0] if world.issued else None
        if holder is None and answer.code != "0000":
            yield "a number that nobody has is not free"
        if holder is not None and holder.request == request and answer.atc != holder.atc:
            yield "a retry gets another QR"
        if holder is not None and holder.request != request and answer.code != "5001":
            yield "another content gets a QR under a used number"


def _worlds(attempts: int, switches: int) -> list[World]:
    """Both ways in which two requests may share a number, with the first one's token live or suspended at first."""
    return [
        start(tokens, attempts=dict.fromkeys(tokens, attempts), switches=switches, suspended=suspended)
        for tokens in (TWO_TOKENS, ONE_TOKEN)
        for suspended in (frozenset[str](), frozenset({"token 1"}))
    ]


def _all_complaints(steps: dict[str, Step], worlds: list[World]) -> Iterator[str]:
    for world in worlds:
        for state in explore(world, steps):
            yield from _complaints(state, steps)


@pytest.mark.slow
def test_claim_then_issue_keeps_the_contract_in_every_order_and_after_every_crash() -> None:
    worlds = [*_worlds(attempts=2, switches=0), *_worlds(attempts=1, switches=2)]
    assert set(_all_complaints(CLAIM_THEN_ISSUE, worlds)) == set()


def test_every_step_of_the_protocol_is_reached() -> None:
    reached = {
        attempt.step
        for world in _worlds(attempts=1, switches=1)
        for state in explore(world, CLAIM_THEN_ISSUE)
        for attempt in state.under_way
    }
    assert reached == set(CLAIM_THEN_ISSUE)


def _release_when_refused(world: World, attempt: Attempt) -> tuple[World, Attempt | None]:
    """Alternative: a refused attempt gives its claim back."""
    after, going_on = two_steps.issue(world, attempt)
    if going_on is None and after.answers != world.answers and not after.issued:
        return world, attempt._replace(step="release")
    return after, going_on


def _release(world: World, attempt: Attempt) -> tuple[World, Attempt | None]:
    held = world.claim
    if held is not None and held.request == attempt.request:
        world = replace(world, claim=None)
    return world.answer(attempt.request, code="4002"), None


def _never_taken_over(world: World, attempt: Attempt) -> tuple[World, Attempt | None]:
    """Alternative: a claim stands whatever becomes of it."""
    after, going_on = two_steps.claim(world, attempt)
    if going_on is not None and going_on.step == "fence":
        return world.answer(attempt.request, code="5001"), None
    return after, going_on


def _taken_unfenced(world: World, attempt: Attempt) -> tuple[World, Attempt | None]:
    """Alternative: take a claim over when it has no issue, without a fence."""
    assert attempt.seen is not None
    told = world.told_at(world.token_of(attempt.seen.request))
    if told is not None:
        return two_steps.fence(world, attempt)
    return world, attempt._replace(step="take")


def _issue_first(world: World, attempt: Attempt) -> tuple[World, Attempt | None]:
    """Alternative: issue on the token's shard, then claim; who comes too late has counted up for nothing."""
    token = world.token_of(attempt.request)
    told = world.told_at(token)
    if told is None:
        if token in world.suspended:
            return world.answer(attempt.request, code="4002"), None
        world = world.count_up(token)
        world = world.tell(token, Told(attempt.request, 1, world.counter(token)))
    elif told.request != attempt.request:
        return world.answer(attempt.request, code="5001"), None
    return world, attempt._replace(step="confirm")


def _confirm(world: World, attempt: Attempt) -> tuple[World, Attempt | None]:
    held = world.claim or Claim(attempt.request, 1)
    world = replace(world, claim=held)
    if held.request != attempt.request:
        return world.answer(attempt.request, code="5001"), None
    told = world.told_at(world.token_of(attempt.request))
    assert told is not None
    return world.answer(attempt.request, atc=told.atc), None


ALTERNATIVES: dict[str, tuple[dict[str, Step], str]] = {
    "a claim is given back when it is refused": (
        {**CLAIM_THEN_ISSUE, "issue": _release_when_refused, "release": _release},
        "two issues under one number",
    ),
    "a claim stands for ever": (
        {**CLAIM_THEN_ISSUE, "claim": _never_taken_over},
        "5001, and nobody has the number",
    ),
    "a claim is taken over without a fence": (
        {**CLAIM_THEN_ISSUE, "fence": _taken_unfenced},
        "two issues under one number",
    ),
    "issue first, claim afterwards": (
        {"claim": _issue_first, "confirm": _confirm},
        "two issues under one number",
    ),
}


@pytest.mark.parametrize(("steps", "complaint"), ALTERNATIVES.values(), ids=ALTERNATIVES)
def test_the_simpler_ways_each_break_the_contract_somewhere(steps: dict[str, Step], complaint: str) -> None:
    suspended = start(
        TWO_TOKENS, attempts={"first": 2, "second": 1}, switches=1, suspended=frozenset({"token 1"})
    )
    worlds = [*_worlds(attempts=1, switches=1), suspended]
    assert complaint in _all_complaints(steps, worlds), "as far as it was tried"
