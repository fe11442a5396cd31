"""No statement of the request path could touch two shards in one of its parts (docs/scaling.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
from tests.store.shards import PLACED_BY, TOKEN, TRACE, complaints, parts
from tests.store.world import KEYS, NOW_S, intent, token, with_tokens

from cpmqr.store.postgres import PostgresStore
from cpmqr.store.postgres_issue import ISSUE, READ_FIRST, arguments
from cpmqr.store.postgres_pool import connect

pytestmark = pytest.mark.anyio

REQUEST_PATH = {"the batch": ISSUE, "the first issue of a retry": READ_FIRST}


@pytest.mark.parametrize("statement", REQUEST_PATH.values(), ids=REQUEST_PATH)
async def test_each_part_of_each_statement_stays_on_one_shard(statement: str) -> None:
    assert parts(statement), "nothing was found to judge"
    assert complaints(statement) == []


async def test_the_batch_is_cut_between_token_and_trace_number_alone() -> None:
    """The parts as docs/scaling.md lists them: the two of the trace number become the claim, the rest stays."""
    found = sorted((*sorted(part.tables.values()), *part.keys) for part in parts(ISSUE))
    assert found == [
        ("counter", TOKEN),
        ("counter", "token", TOKEN),
        ("issue", TOKEN),
        ("trace", TRACE),
        ("trace", TRACE),
    ]


BREACHES = {
    "a trace number found by its digest": (
        "WHERE requestor_id = intent.requestor_id AND trace_no = intent.trace_no",
        "WHERE digest = intent.digest",
    ),
    "a trace number of any requestor": ("WHERE requestor_id = intent.requestor_id AND ", "WHERE "),
    "a token found by its masked PAN": (
        "token.pan_index = intent.pan_index",
        "token.pan_masked = intent.pan_masked",
    ),
    "a counter of no token in particular": (
        "JOIN counter ON counter.token_id = token.token_id",
        "JOIN counter ON counter.atc > token.created_at_s",
    ),
    "a token's part that joins the trace number": (
        "FROM token JOIN counter ON counter.token_id = token.token_id",
        "FROM token JOIN counter ON counter.token_id = token.token_id JOIN trace ON trace.token_id = token.token_id",
    ),
    "a trace number's part that reads the token": (
        "AND trace_no = intent.trace_no\n",
        "AND trace_no = intent.trace_no AND digest = token.pan_index\n",
    ),
    "all counters at once": ("WHERE counter.token_id = highest.token_id", "WHERE counter.atc < highest.atc"),
    "an issue without its token": (
        "INSERT INTO issue (\n        token_id, atc,",
        "INSERT INTO issue (\n        atc,",
    ),
}


@pytest.mark.parametrize(("good", "bad"), BREACHES.values(), ids=BREACHES)
async def test_a_statement_that_could_touch_two_shards_is_found_out(good: str, bad: str) -> None:
    assert good in ISSUE, "the statement has changed: so must this breach"
    assert complaints(ISSUE.replace(good, bad)) != []


async def test_nothing_else_is_sent_for_a_request(postgres_url: str) -> None:
    """New, repeated, refused, duplicate: a statement that joins the path must be judged here first."""
    store = PostgresStore(postgres_url, connections=1)
    await store.upgrade()
    await with_tokens(store, token(1), token(2))
    batch = [intent("T1"), intent("T2", 2), intent("T1"), intent("T3", stale=True)]
    for _ in range(2):
        await store.issue(batch, KEYS)  # the driver asks for types once
    sent: list[str] = []
    async with store._pool.lease() as connection:
        connection.add_query_logger(lambda record: sent.append(record.query))
    for more in (batch, [intent("T4"), intent("T1", 2)], [intent("T5", 9)]):
        await store.issue(more, KEYS)
    await store.close()
    assert set(sent) == set(REQUEST_PATH.values())


async def test_postgresql_itself_goes_by_the_keys(postgres_url: str) -> None:
    """The plan that all batches use: each growing table by an index, with equality on its key."""
    store = PostgresStore(postgres_url)
    await store.upgrade()
    connection = await connect(postgres_url)
    batch = arguments([intent("T1")], KEYS)
    wanted = ([1], [1], [NOW_S])
    scans = [
        scan
        for statement, values in ((ISSUE, batch), (READ_FIRST, wanted))
        for scan in _scans(await _plan(connection, statement, values))
    ]
    await connection.close()
    await store.close()
    reached = {_table(scan) for scan in scans}
    assert reached == set(PLACED_BY)
    for scan in scans:
        keys = PLACED_BY[_table(scan)][1]
        assert any(all(f"({column} = " in scan["Index Cond"] for column in key) for key in keys), scan


async def _plan(connection: asyncpg.Connection, statement: str, values: tuple[Any, ...]) -> dict[str, Any]:
    (row,) = await connection.fetch(f"EXPLAIN (FORMAT JSON) {statement}", *values)
    plan: dict[str, Any] = json.loads(row[0])[0]["Plan"]
    return plan


def _scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every node that reads a table that grows."""
    if "Scan" in plan["Node Type"] and "Relation Name" in plan and _table(plan) in PLACED_BY:
        yield plan
    for below in plan.get("Plans", ()):
        yield from _scans(below)


def _table(scan: dict[str, Any]) -> str:
    """The table of a node, whichever partition it reads."""
    return re.sub(r"^issue_(?:default|on_\d{8})$", "issue", scan["Relation Name"])
