"""What SQLite alone can do to us: file modes, other processes, a full disk."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import sys
from pathlib import Path

import pytest
from tests.store.world import ACTOR, KEYS, NOW_S, REQUESTOR_ID, codes, intent, issue_one, token, with_tokens

from cpmqr.errors import StoreUnavailable
from cpmqr.model import TokenState
from cpmqr.store.base import ClaimIntent
from cpmqr.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio


async def opened(path: Path) -> SqliteStore:
    store = SqliteStore.open(path)
    await store.upgrade()
    await with_tokens(store, token(1))
    return store


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_nobody_else_can_read_the_files(tmp_path: Path) -> None:
    store = await opened(tmp_path / "made" / "cpmqr.sqlite")
    files = sorted((tmp_path / "made").iterdir())
    assert [file.name for file in files] == ["cpmqr.sqlite", "cpmqr.sqlite-shm", "cpmqr.sqlite-wal"]
    assert {mode(file) for file in files} == {0o600}
    assert mode(tmp_path / "made") == 0o700
    await store.close()


async def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "cpmqr.sqlite"
    path.touch(0o644)
    path.chmod(0o644)
    await (await opened(path)).close()
    assert mode(path) == 0o600


async def test_what_is_no_database_can_not_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "cpmqr.sqlite"
    path.write_bytes(b"this is no database, and long enough to tell" * 100)
    with pytest.raises(StoreUnavailable, match="not a database"):
        SqliteStore.open(path)
    with pytest.raises(StoreUnavailable):
        SqliteStore.open(tmp_path)


async def test_another_process_at_work_is_waited_for(tmp_path: Path) -> None:
    store = await opened(tmp_path / "cpmqr.sqlite")
    other = sqlite3.connect(tmp_path / "cpmqr.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    issuing = asyncio.ensure_future(issue_one(store, intent("T1")))
    assert (await store.token(1)) is not None, "readers do not wait"
    await asyncio.sleep(0.2)
    assert not issuing.done()
    other.execute("COMMIT")
    assert codes([await issuing]) == ["1"]
    other.close()
    await store.close()


async def test_a_caller_that_gives_up_does_not_stop_the_issue(tmp_path: Path) -> None:
    store = await opened(tmp_path / "cpmqr.sqlite")
    issuing = asyncio.ensure_future(issue_one(store, intent("T1")))
    await asyncio.sleep(0)
    issuing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await issuing
    assert codes([await issue_one(store, intent("T1"))]) == ["=1"]
    await store.close()


async def test_a_value_that_does_not_fit_is_refused_without_being_repeated(tmp_path: Path) -> None:
    store = await opened(tmp_path / "cpmqr.sqlite")
    for call in (store.token(2**80), issue_one(store, intent("T\ud8001"))):
        with pytest.raises(StoreUnavailable, match="does not fit"):
            await call
    assert codes([await issue_one(store, intent("T1"))]) == ["1"]
    await store.close()


FULL_DISK = """
import asyncio, resource, signal, sys
from cpmqr.errors import OutcomeUnknown, StoreUnavailable
from cpmqr.store.sqlite import SqliteStore
from tests.store.world import KEYS, codes, intent

async def main():
    store = SqliteStore.open(sys.argv[1])
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    answered = []
    for number in range(200):
        batch = [intent(f"{number}-{position}") for position in range(16)]
        try:
            answered += codes(await store.issue(batch, KEYS))
        except (OutcomeUnknown, StoreUnavailable) as error:
            print(type(error).__name__)
            break
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
    again = codes(await store.issue(batch, KEYS))
    print(len(answered), again[0].lstrip("="), again[-1].lstrip("="))
    await store.close()

asyncio.run(main())
"""


async def test_a_full_disk_refuses_and_nothing_is_counted_twice(tmp_path: Path) -> None:
    await (await opened(tmp_path / "cpmqr.sqlite")).close()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        FULL_DISK,
        str(tmp_path / "cpmqr.sqlite"),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    output, _ = await process.communicate()
    error, last = output.decode().splitlines()
    answered, first_after, last_after = map(int, last.split())
    assert error in {"OutcomeUnknown", "StoreUnavailable"}
    assert answered > 0
    assert (first_after, last_after) == (answered + 1, answered + 16)


async def test_whatever_a_gateway_asks_for_is_searched_by_key(tmp_path: Path) -> None:
    """Each statement as it was run, explained: only what was given, and the few rows of small tables, are scanned."""
    store = await opened(tmp_path / "cpmqr.sqlite")
    statements: list[str] = []
    for lane in (store._writer, store._reader):
        lane._connection.set_trace_callback(statements.append)
    await store.issue([intent("T1"), intent("T2"), intent("T1")], KEYS)
    await store.issue([intent("T1")], KEYS)
    await store.claim([ClaimIntent("authoriser", f"A{n}", b"d" * 16, NOW_S, 1, n, "", b"{}") for n in (1, 2)])
    await store.find_issue(token(1).pan_index, 1)
    await store.issue_of(1, 1)
    await store.revoke_issues(ACTOR, REQUESTOR_ID, [(1, 1)], NOW_S)
    await store.set_token_state(ACTOR, 1, TokenState.SUSPENDED, [TokenState.ACTIVE], NOW_S)
    await store.list_tokens(requestor_id=REQUESTOR_ID)
    await store.due_events(NOW_S, 30, 10)
    await store.audit_page(after=3)
    await store.purge(NOW_S, 10)
    await store.close()
    connection = sqlite3.connect(tmp_path / "cpmqr.sqlite")
    verbs = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
    asked = [statement for statement in statements if statement.lstrip().startswith(verbs)]
    assert len(asked) > 20
    for statement in asked:
        steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
        scans = {step for step in steps if step.startswith("SCAN") and "CONSTANT ROW" not in step}
        # The purge walks the eldest issues in the order of their rowid, and stops at its limit.
        assert scans <= {"SCAN wanted", "SCAN eldest", "SCAN issue"}, (statement, steps)
        assert "SCAN issue" not in scans or "ORDER BY rowid LIMIT" in statement
    connection.close()
