"""A model of "claim, then issue" on two kinds of shards, small enough to try every order of steps and every crash.

One trace number, some requests under it (each of a token), attempts at each request. A step is atomic on one shard.
Between two steps anything may happen: another attempt's step, the attempt's end (a crash, a lost connection), a token
suspended or resumed. `explore` visits every state that can be reached. `docs/scaling.md` tells the protocol in words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

EPOCHS_MAX = 4  # two attempts may take a claim from each other for ever; nothing new comes of it


class Claim(NamedTuple):
    """On the shard of the trace number: whose it is, and for the how manieth time it changed hands."""

    request: str
    epoch: int


class Told(NamedTuple):
    """On a token's shard: what became of the number there.

    Without a request it is a fence: claims up to `epoch` are void.
    """

    request: str
    epoch: int
    atc: int


class Attempt(NamedTuple):
    """An attempt at a request, between two steps."""

    request: str
    step: str = "claim"
    epoch: int = 0
    seen: Claim | None = None


class Answer(NamedTuple):
    """What a client was told: the ATC of its QR, or a code."""

    request: str
    atc: int
    code: str


@dataclass(frozen=True)
class World:
    """A state of everything: both shards, what is under way, what clients were told."""

    tokens: tuple[tuple[str, str], ...]  # request, its token
    claim: Claim | None = None
    told: tuple[tuple[str, Told], ...] = ()  # token, what it knows of the number
    counters: tuple[tuple[str, int], ...] = ()
    suspended: frozenset[str] = frozenset()
    under_way: tuple[Attempt, ...] = ()
    answers: frozenset[Answer] = frozenset()
    attempts_left: tuple[tuple[str, int], ...] = ()
    switches_left: int = 0

    def token_of(self, request: str) -> str:
        return dict(self.tokens)[request]

    def told_at(self, token: str) -> Told | None:
        return dict(self.told).get(token)

    def counter(self, token: str) -> int:
        return dict(self.counters).get(token, 0)

    def tell(self, token: str, told: Told) -> World:
        return replace(self, told=tuple(sorted({**dict(self.told), token: told}.items())))

    def count_up(self, token: str) -> World:
        return replace(
            self,
            counters=tuple(sorted({**dict(self.counters), token: self.counter(token) + 1}.items())),
        )

    def answer(self, request: str, *, atc: int = 0, code: str = "0000") -> World:
        return replace(self, answers=self.answers | {Answer(request, atc, code)})

    @property
    def issued(self) -> list[Told]:
        return [told for _, told in self.told if told.request]


Step = Callable[[World, Attempt], tuple[World, Attempt | None]]
"""An atomic step on one shard: the world afterwards, and how the attempt goes on (None: it was answered)."""


def claim(world: World, attempt: Attempt) -> tuple[World, Attempt | None]:
    """Shard of the number: claim it, or see whose it is."""
    held = world.claim
    if held is None:
        held = Claim(attempt.request, 1)
        world = replace(world, claim=held)
    if held.request == attempt.request:
        return world, attempt._replace(step="issue", epoch=held.epoch)
    return world, attempt._replace(step="fence", seen=held)


def fence(world: World, attempt: Attempt) -> tuple[World, Attempt | None]:
    """Shard of the holder's token: was it issued? If not, see to it that this claim can't be any more."""
    assert attempt.seen is not None
    token = world.token_of(attempt.seen.request)
    told = world.told_at(token)
    if told is not None and told.request:
        if told.request == attempt.request:
            return world.answer(attempt.request, atc=told.atc), None
        return world.answer(attempt.request, code="5001"), None
    epoch = max(attempt.seen.epoch, told.epoch if told else 0)
    return world.tell(token, Told("", epoch, 0)), attempt._replace(step="take")


def take(world: World, attempt: Attempt) -> tuple[World, Attempt | None]:
    """Shard of the number: take over the claim that was fenced off, if it still stands as it was seen."""
    if world.claim != attempt.seen or attempt.seen is None:
        return world, Attempt(attempt.request)
    taken = Claim(attempt.request, attempt.seen.epoch + 1)
    return replace(world, claim=taken), Attempt(attempt.request, "issue", taken.epoch)


def issue(world: World, attempt: Attempt) -> tuple[World, Attempt | None]:
    """Shard of the token: repeat, refuse, or count up and issue."""
    token = world.token_of(attempt.request)
    told = world.told_at(token)
    if told is not None and told.request:
        if told.request == attempt.request:
            return world.answer(attempt.request, atc=told.atc), None
        return world.answer(attempt.request, code="5001"), None
    if (
        told is not None and told.epoch >= attempt.epoch
    ):  # fenced off by one who then did not take it: renew it
        return world, Attempt(attempt.request, "take", seen=Claim(attempt.request, attempt.epoch))
    if token in world.suspended:
        return world.answer(attempt.request, code="4002"), None
    world = world.count_up(token)
    atc = world.counter(token)
    world = world.tell(token, Told(attempt.request, attempt.epoch, atc))
    return world.answer(attempt.request, atc=atc), None


CLAIM_THEN_ISSUE: dict[str, Step] = {"claim": claim, "fence": fence, "take": take, "issue": issue}


def start(
    tokens: dict[str, str],
    *,
    attempts: dict[str, int],
    switches: int,
    suspended: frozenset[str] = frozenset(),
) -> World:
    """Make a world in which requests may be tried so often each, and tokens may be switched so often."""
    return World(
        tokens=tuple(sorted(tokens.items())),
        suspended=suspended,
        attempts_left=tuple(sorted(attempts.items())),
        switches_left=switches,
    )


def explore(world: World, steps: dict[str, Step], *, states_max: int = 500_000) -> Iterator[World]:
    """Give every state that can be reached, each once; a claim changes hands `EPOCHS_MAX` times at most."""
    seen = {world}
    waiting = [world]
    while waiting:
        state = waiting.pop()
        yield state
        for following in _followers(state, steps):
            if following not in seen and (following.claim is None or following.claim.epoch <= EPOCHS_MAX):
                seen.add(following)
                waiting.append(following)
        assert len(seen) <= states_max, "the model has grown beyond what can be tried"


def _followers(world: World, steps: dict[str, Step]) -> Iterator[World]:
    for position, (request, left) in enumerate(world.attempts_left):
        if left:
            rest = list(world.attempts_left)
            rest[position] = (request, left - 1)
            begun = tuple(sorted((*world.under_way, Attempt(request)), key=repr))
            yield replace(world, attempts_left=tuple(rest), under_way=begun)
    for position, attempt in enumerate(world.under_way):
        others = world.under_way[:position] + world.under_way[position + 1 :]
        yield replace(world, under_way=others)  # a crash: whatever it had done stays done
        after, going_on = steps[attempt.step](world, attempt)
        under_way = others if going_on is None else tuple(sorted((*others, going_on), key=repr))
        yield replace(after, under_way=under_way)
    if world.switches_left:
        for token in {token for _, token in world.tokens}:
            yield replace(world, suspended=world.suspended ^ {token}, switches_left=world.switches_left - 1)


def alone(world: World, request: str, steps: dict[str, Step]) -> World:
    """Carry a fresh attempt out to its end with nobody else about and every token active."""
    world = replace(world, suspended=frozenset(), answers=frozenset())
    going_on: Attempt | None = Attempt(request)
    for _ in range(20):
        if going_on is None:
            return world
        world, going_on = steps[going_on.step](world, going_on)
    raise AssertionError("an attempt that is alone does not come to its end")
