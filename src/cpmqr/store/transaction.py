"""A transaction as the rest of this room sees it: three verbs over either database.

Statements are written as PostgreSQL reads them (`$1`, `FOR UPDATE`). For SQLite `to_sqlite` turns the numbers into
question marks and drops the row locks: its one writer holds the whole database.

Every function that takes a transaction is a coroutine. On PostgreSQL it waits for the network; on SQLite no await in
it ever suspends, so that `run_to_end` carries it out on the writer's thread as if it were plain code. One text of
each rule thus serves both.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, Final, Protocol, TypeVar

Result = TypeVar("Result")
Value = str | int | bytes | None
Row = Sequence[Any]

_PARAMETER: Final = re.compile(r"\$(\d+)")
_ROW_LOCK: Final = re.compile(r"\s+FOR UPDATE(?: OF \w+)?(?: SKIP LOCKED)?")


class Transaction(Protocol):
    """An open transaction; whoever opened it commits it, or rolls it back when an exception passes."""

    async def fetch(self, sql: str, *values: Value) -> Sequence[Row]:
        """Give all rows of a query."""
        ...

    async def execute(self, sql: str, *values: Value) -> int:
        """Carry out a statement; how many rows it changed."""
        ...

    async def execute_many(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        """Carry out a statement for each row of values, in order."""
        ...


@functools.lru_cache(maxsize=512)  # some statements grow with the number of their keys
def to_sqlite(sql: str) -> tuple[str, tuple[int, ...]]:
    """Translate a statement for SQLite: its text, and which value goes to each question mark (0-based)."""
    text = _ROW_LOCK.sub("", sql)
    order = tuple(int(number) - 1 for number in _PARAMETER.findall(text))
    return _PARAMETER.sub("?", text), order


def run_to_end(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Carry out a coroutine that never suspends, without an event loop.

    Raises:
        RuntimeError: it did suspend: it awaits something else than an SQLite transaction.
    """
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    coroutine.close()
    raise RuntimeError("a step over SQLite waited for something that is not the database")


def value_rows(count: int, casts: Sequence[str], first: int = 1) -> str:
    """Write `count` rows for a VALUES list, numbered on from `first`; a cast of "" leaves the type to the database.

    `value_rows(2, ("", "BIGINT"))` is `($1, CAST($2 AS BIGINT)), ($3, CAST($4 AS BIGINT))`.
    """
    width = len(casts)
    return ", ".join(
        "("
        + ", ".join(_parameter(first + row * width + column, cast) for column, cast in enumerate(casts))
        + ")"
        for row in range(count)
    )


def _parameter(number: int, cast: str) -> str:
    return f"CAST(${number} AS {cast})" if cast else f"${number}"
