"""Whatever a trace number or APP_DV holds, it is stored as itself, and harms nobody else in its batch."""

from __future__ import annotations

import pytest
from tests.store.world import KEYS, codes, intent, token, with_tokens

from cpmqr.store.base import Store

pytestmark = pytest.mark.anyio

TEXTS = [
    '"',
    '""',
    '","',
    "\\",
    '\\"',
    'a\\","b',
    "{}",
    '{"a","b"}',
    "NULL",
    "null",
    "'; DROP TABLE trace; --",
    "a,b",
    " with blanks around ",
    "거래-1",
    "𝄞",
    "\\x00",
    "$1",
]


async def test_each_text_stands_for_itself(store: Store) -> None:
    await with_tokens(store, token(1))
    batch = [intent(text, app_dv=text) for text in TEXTS]
    assert codes(await store.issue(batch, KEYS)) == [str(number) for number in range(1, len(TEXTS) + 1)]
    for atc, text in enumerate(TEXTS, start=1):
        found = await store.issue_of(1, atc)
        assert found is not None
        assert (found.issue.trace_no, found.issue.app_dv) == (text, text)
    assert codes(await store.issue(batch[::-1], KEYS)) == [f"={n}" for n in range(len(TEXTS), 0, -1)]


@pytest.mark.parametrize("text", TEXTS)
async def test_each_text_stands_for_itself_alone(store: Store, text: str) -> None:
    await with_tokens(store, token(1))
    assert codes(await store.issue([intent(text, app_dv=text)], KEYS)) == ["1"]
    assert codes(await store.issue([intent(text, app_dv=text)], KEYS)) == ["=1"]


async def test_all_values_of_a_byte_come_back(store: Store) -> None:
    await with_tokens(store, token(1))
    numbers = [bytes(range(at, at + 4)) for at in range(0, 256, 4)]
    batch = [intent(f"T{at}", unpredictable_number=number) for at, number in enumerate(numbers)]
    await store.issue(batch, KEYS)
    stored = [await store.issue_of(1, atc) for atc in range(1, len(numbers) + 1)]
    assert [found.issue.unpredictable_number for found in stored if found is not None] == numbers
