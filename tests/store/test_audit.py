"""The audit's chain: lines follow each other, and a changed, missing or cut line is found."""

from __future__ import annotations

import asyncio
import hashlib
import json

import msgspec
import pytest
from tests.store.world import ACTOR, NOW_S

from cpmqr.store.base import Actor, AuditEntry, Store
from cpmqr.store.chain import Break, find_break

pytestmark = pytest.mark.anyio


async def five_lines(store: Store) -> list[AuditEntry]:
    for number in range(1, 6):
        detail = {"b": number, "a": ["한글", None, {"y": 1, "x": True}]}
        await store.audit(
            Actor("운영자", "192.0.2.1"), f"test.{number}", f"subject {number}", detail, NOW_S + number
        )
    return await store.audit_page()


async def test_lines_come_back_by_page(store: Store) -> None:
    assert await store.audit_head() == (0, b"")
    lines = await five_lines(store)
    assert [line.seq for line in lines] == [1, 2, 3, 4, 5]
    assert (lines[0].actor, lines[0].source, lines[0].action) == ("운영자", "192.0.2.1", "test.1")
    assert lines[2].detail == {"b": 3, "a": ["한글", None, {"y": 1, "x": True}]}
    assert await store.audit_page(after=1, limit=2) == lines[1:3]
    assert await store.audit_page(after=5) == []
    assert await store.audit_head() == (5, lines[-1].chain)


async def test_an_untouched_chain_holds_from_any_line_on(store: Store) -> None:
    lines = await five_lines(store)
    assert find_break(lines) is None
    assert find_break(lines[2:], after_seq=2, after_chain=lines[1].chain) is None
    assert find_break([]) is None


async def test_anybody_can_compute_the_chain_from_its_description(store: Store) -> None:
    lines = await five_lines(store)
    chain = b""
    for line in lines:
        members = {name: value for name, value in msgspec.to_builtins(line).items() if name != "chain"}
        text = json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        chain = hashlib.sha256(chain + text.encode()).digest()
        assert line.chain == chain


@pytest.mark.parametrize(
    "change",
    [
        {"at_s": NOW_S},
        {"actor": "somebody"},
        {"source": "192.0.2.2"},
        {"action": "test.x"},
        {"subject": "subject"},
        {"detail": {}},
        {"chain": b"\x00" * 32},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_a_changed_line_is_found(store: Store, change: dict[str, object]) -> None:
    lines = await five_lines(store)
    lines[2] = msgspec.structs.replace(lines[2], **change)
    assert find_break(lines) == Break(3, "the line, or one before it, was changed")


async def test_a_missing_a_doubled_and_an_exchanged_line_are_found(store: Store) -> None:
    lines = await five_lines(store)
    assert find_break(lines[:2] + lines[3:]) == Break(3, "the line is missing")
    assert find_break(lines[1:]) == Break(1, "the line is missing")
    assert find_break([lines[0], lines[0]]) == Break(2, "the line is missing")
    assert find_break([lines[0], lines[2], lines[1]]) == Break(2, "the line is missing")
    renumbered = [*lines[:2], *(msgspec.structs.replace(line, seq=line.seq - 1) for line in lines[3:])]
    assert find_break(renumbered) == Break(3, "the line, or one before it, was changed")


async def test_writers_at_once_make_one_chain(store: Store) -> None:
    await asyncio.gather(*(store.audit(ACTOR, "test", str(number), {}, NOW_S) for number in range(20)))
    lines = await store.audit_page()
    assert find_break(lines) is None
    assert sorted(int(line.subject) for line in lines) == list(range(20))
    assert await store.audit_head() == (20, lines[-1].chain)
