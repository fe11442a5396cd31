"""Random scripts against a model of thirty lines: whatever the database, the outcomes are the model's to the letter."""

from __future__ import annotations

import random

import pytest
from tests.store.world import ACTOR, KEYS, MONTH, NOW_S, OTHER_REQUESTOR_ID, codes, intent, requestor, token

from cpmqr.model import ATC_MAX, Token, TokenState
from cpmqr.store.base import IssueIntent, Store

pytestmark = pytest.mark.anyio

SCRIPTS = 40
BATCHES = 6
INTENTS_MAX = 14


class Model:
    """What contract §5 and §6 say of issuing, one intent after the other."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = {each.pan_index: each for each in tokens}
        self.atcs = {each.pan_index: each.atc for each in tokens}
        self.states = {each.pan_index: each.state for each in tokens}
        self.issued: dict[tuple[str, str], tuple[bytes, int]] = {}

    def issue(self, each: IssueIntent, keys: dict[str, str]) -> str:
        first = self.issued.get((each.requestor_id, each.trace_no))
        if first is not None:
            return f"={first[1]}" if first[0] == each.digest else "5001"
        if each.stale:
            return "3006"
        known = self.tokens.get(each.pan_index)
        if known is None or known.requestor_id != each.requestor_id:
            return "4001"
        state = self.states[each.pan_index]
        if state is not TokenState.ACTIVE:
            return "4003" if state is TokenState.DELETED else "4002"
        if known.expiry < each.month:
            return "4004"
        if self.atcs[each.pan_index] == ATC_MAX:
            return "4006"
        if (each.profile or known.profile) not in keys:
            return "9002"
        self.atcs[each.pan_index] += 1
        self.issued[each.requestor_id, each.trace_no] = (each.digest, self.atcs[each.pan_index])
        return str(self.atcs[each.pan_index])


def random_tokens(chance: random.Random, script: int) -> list[Token]:
    """Five tokens: mostly good ones, some near their end or somebody else's."""
    return [
        token(
            1000 * script + number,
            requestor_id=chance.choice(["42000000066"] * 5 + [OTHER_REQUESTOR_ID]),
            expiry=chance.choice(["3012"] * 5 + ["2604"]),
            atc=chance.choice([0, 0, 7, ATC_MAX - 3, ATC_MAX - 1, ATC_MAX]),
            profile=chance.choice(["bc-domestic"] * 4 + ["qris"]),
        )
        for number in range(5)
    ]


def random_intent(chance: random.Random, script: int) -> IssueIntent:
    """Few trace numbers, few contents, few tokens: they meet often."""
    number = 1000 * script + chance.choice([0, 0, 0, 1, 2, 3, 4, 9])
    return intent(
        f"{script}-{chance.randrange(12)}",
        number,
        requestor_id=chance.choice(["42000000066"] * 6 + [OTHER_REQUESTOR_ID]),
        digest=bytes([number % 256, chance.choice([0, 0, 0, 1])]) * 8,
        unpredictable_number=chance.randbytes(4),
        stale=chance.random() < 0.15,
        month=chance.choice([MONTH] * 5 + ["3101"]),
        profile=chance.choice([""] * 6 + ["unionpay", "qris"]),
    )


@pytest.mark.parametrize("seed", range(3))
async def test_random_scripts_end_as_the_model_says(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    await store.put_requestor(ACTOR, requestor(), NOW_S)
    for script in range(SCRIPTS):
        tokens = random_tokens(chance, script)
        await store.add_tokens(ACTOR, tokens)
        model = Model(tokens)
        for _ in range(BATCHES):
            batch = [random_intent(chance, script) for _ in range(chance.randint(1, INTENTS_MAX))]
            expected = [model.issue(each, KEYS) for each in batch]
            assert codes(await store.issue(batch, KEYS)) == expected, f"seed {seed}, script {script}: {batch}"
            chosen = chance.choice(tokens)
            state = chance.choice(list(TokenState))
            await store.set_token_state(ACTOR, chosen.token_id, state, list(TokenState), NOW_S)
            model.states[chosen.pan_index] = state
        for each in tokens:
            found = await store.token(each.token_id)
            assert found is not None
            assert found.atc == model.atcs[each.pan_index]
