"""The embedded store: one SQLite file, one thread that writes it, one that reads.

WAL, so that readers never wait for the writer; `synchronous=FULL`, so that a commit that was reported survives a
power cut. A second process (a command beside a running gateway) may write too: it waits its turn for the file's
lock. Two gateways on one file would be correct, and slow: `serve` refuses that.
"""

from __future__ import annotations

import asyncio
import functools
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from cpmqr.errors import ConfigError, CpmqrError, OutcomeUnknown, StoreUnavailable
from cpmqr.store import retention, schema
from cpmqr.store.base import IssueIntent, IssueOutcome
from cpmqr.store.sqlite_issue import issue_batch
from cpmqr.store.transaction import Row, Value, run_to_end, to_sqlite
from cpmqr.store.transactional import Step, TransactionalStore

P = ParamSpec("P")
Result = TypeVar("Result")

VERSION_MIN: Final = (3, 25)  # upserts, and what Python 3.11 itself asks for is older
BUSY_TIMEOUT_MS: Final = 5_000  # how long we wait for another process's transaction; ours take milliseconds
_STATEMENTS_KEPT: Final = 256
_CACHE_KIB: Final = 65_536
_CHECKPOINT_PAGES: Final = (
    4_000  # 16 MB of log between two checkpoints: each page is then copied once for many commits
)


class SqliteStore(TransactionalStore):
    """`Store` over one file. Make it with `SqliteStore.open`; close it with `await store.close()`."""

    def __init__(self, writer: _Lane, reader: _Lane) -> None:
        self._writer = writer
        self._reader = reader

    @classmethod
    def open(cls, path: str | Path) -> SqliteStore:
        """Open a database file, or make an empty one (mode 0600, in a directory that is made with 0700).

        The schema is left as it is: call `upgrade()`.

        Raises:
            StoreUnavailable: the file can't be opened, or is no database.
            ConfigError: this Python's SQLite is too old.
        """
        if sqlite3.sqlite_version_info < VERSION_MIN:
            raise ConfigError(f"SQLite {sqlite3.sqlite_version} is too old: 3.25 or newer is needed")
        path = Path(path)
        try:
            _make_private(path)
            writer, reader = _connect(path), _connect(path)
        except (OSError, sqlite3.Error) as error:
            raise StoreUnavailable(f"the database file can't be opened: {error}") from error
        return cls(_Lane(writer, "cpmqr-sqlite-writer"), _Lane(reader, "cpmqr-sqlite-reader"))

    async def issue(
        self, intents: Sequence[IssueIntent], issuer_keys: Mapping[str, str]
    ) -> list[IssueOutcome]:
        """Carry out all intents in one durable transaction; see `IssueStore.issue`."""
        if not intents:
            return []
        return await self._writer.run(
            lambda connection: _transact(connection, lambda: issue_batch(connection, intents, issuer_keys))
        )

    async def _read(self, step: Step[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        return await self._reader.run(
            lambda connection: _carry_out(connection, "BEGIN", step, *args, **kwargs)
        )

    async def _write(self, step: Step[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        return await self._writer.run(
            lambda connection: _carry_out(connection, "BEGIN IMMEDIATE", step, *args, **kwargs)
        )

    async def schema_version(self) -> int:
        return await self._reader.run(_schema_version)

    async def upgrade(self) -> list[str]:
        return await self._writer.run(_upgrade)

    async def prepare_days(self, now_s: int) -> list[str]:
        """Nothing to do: SQLite has no partitions."""
        return []

    async def purge(self, before_s: int, limit: int) -> int:
        return await self._write(retention.purge_sqlite, before_s, limit)

    async def ping(self) -> None:
        await self._reader.run(lambda connection: connection.execute("SELECT 1").fetchone())

    async def close(self) -> None:
        """Finish what waits, then close the file. Later calls raise StoreUnavailable."""
        await asyncio.gather(self._writer.close(), self._reader.close())


class _Lane:
    """A connection with a thread of its own; jobs from any event loop, one after the other."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection = connection
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, job: Callable[[sqlite3.Connection], Result]) -> Result:
        """Carry out a job on the thread; one wake-up of the event loop brings its result."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._jobs.put(functools.partial(self._carry_out, job, loop, future))
        return await future

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
        self._connection.close()

    def _carry_out(
        self,
        job: Callable[[sqlite3.Connection], Result],
        loop: asyncio.AbstractEventLoop,
        future: asyncio.Future[Result],
    ) -> None:
        try:
            settle = functools.partial(_set_result, future, job(self._connection))
        except CpmqrError as error:
            settle = functools.partial(_set_exception, future, error)
        except (sqlite3.Error, OverflowError, UnicodeError) as error:
            settle = functools.partial(_set_exception, future, _unavailable(error))
        except Exception as error:  # a fault of ours must reach its caller, and not end the thread
            settle = functools.partial(_set_exception, future, error)
        try:
            loop.call_soon_threadsafe(settle)
        except RuntimeError:
            return  # the loop has ended: nobody waits any more


class _Transaction:
    """`Transaction` over an open SQLite transaction. Its awaits never suspend."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *values: Value) -> Sequence[Row]:
        text, order = to_sqlite(sql)
        return self._connection.execute(text, [values[position] for position in order]).fetchall()

    async def execute(self, sql: str, *values: Value) -> int:
        text, order = to_sqlite(sql)
        return self._connection.execute(text, [values[position] for position in order]).rowcount

    async def execute_many(self, sql: str, rows: Any) -> None:
        text, order = to_sqlite(sql)
        self._connection.executemany(text, [[row[position] for position in order] for row in rows])


def _carry_out(
    connection: sqlite3.Connection, begin: str, step: Step[P, Result], *args: P.args, **kwargs: P.kwargs
) -> Result:
    return _transact(
        connection, lambda: run_to_end(step(_Transaction(connection), *args, **kwargs)), begin=begin
    )


def _transact(
    connection: sqlite3.Connection, body: Callable[[], Result], *, begin: str = "BEGIN IMMEDIATE"
) -> Result:
    """Run a body in a transaction: nothing of it is stored unless the commit is.

    Raises:
        OutcomeUnknown: the commit itself failed (a disk that is full or failing): it may be found after a crash.
    """
    connection.execute(begin)
    try:
        result = body()
    except BaseException:
        _roll_back(connection)
        raise
    try:
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        _roll_back(connection)
        raise OutcomeUnknown(f"the commit failed: {error}") from error
    return result


def _roll_back(connection: sqlite3.Connection) -> None:
    # SQLite rolls back by itself on some errors (full disk, I/O); then there is nothing left to do.
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _upgrade(connection: sqlite3.Connection) -> list[str]:
    """Take each step that is missing in a transaction of its own; a second process waits, and finds it taken."""
    connection.execute(schema.steps_table(schema.Dialect.SQLITE))
    return [
        step.name
        for step in schema.steps(schema.Dialect.SQLITE)
        if _transact(connection, functools.partial(_take_step, connection, step))
    ]


def _take_step(connection: sqlite3.Connection, step: schema.Step) -> bool:
    if _schema_version(connection) >= step.version:
        return False
    for statement in step.statements:
        connection.execute(statement)
    text, _ = to_sqlite(schema.RECORD_STEP)
    connection.execute(text, (step.version, step.name, int(time.time())))
    return True


def _schema_version(connection: sqlite3.Connection) -> int:
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_step'").fetchone()
    if known is None:
        return 0
    (version,) = connection.execute(schema.READ_VERSION).fetchone()
    return int(version)


def _make_private(path: Path) -> None:
    """Make the file before SQLite does, so that nobody else can read it for a moment; -wal and -shm follow its mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    path.chmod(0o600)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=_STATEMENTS_KEPT
    )
    try:
        for pragma in (
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            f"cache_size = -{_CACHE_KIB}",
            f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:  # it is no database, or a locked one
        connection.close()
        raise
    return connection


def _unavailable(error: Exception) -> StoreUnavailable:
    if "no such table" in str(error) or "no such column" in str(error):
        return StoreUnavailable(f"the schema is not up to date ({error}): run `cpmqr db upgrade`")
    if isinstance(error, OverflowError | UnicodeError):  # its text would repeat the value
        return StoreUnavailable("a value does not fit its column")
    return StoreUnavailable(f"the database refused: {error}")


def _set_result(future: asyncio.Future[Result], result: Result) -> None:
    if not future.done():
        future.set_result(result)


def _set_exception(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
