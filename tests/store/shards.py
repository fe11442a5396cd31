"""The rule of docs/scaling.md for statements of the request path: no part of one may need rows of two shards.

Each table that grows has one distribution key: rows of a token live on the token's shard, a trace number on a shard of
its own. A *part* is a SELECT, INSERT or UPDATE without its subqueries, which are parts themselves. A part obeys if all
of its growing tables have the same key, and each of them is reached by equality on it, from a value that the part is
given or from another of its tables. Parts hand each other values only, so a statement can be cut between them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

TOKEN, TRACE = "token", "trace"

# Table → its key, and the columns that place a row; any one of the alternatives will do. `token_id` is drawn from
# `pan_index` where there are shards, so that both name the same one.
PLACED_BY: dict[str, tuple[str, tuple[tuple[str, ...], ...]]] = {
    "token": (TOKEN, (("pan_index",), ("token_id",))),
    "counter": (TOKEN, (("token_id",),)),
    "issue": (TOKEN, (("token_id",),)),
    "trace": (TRACE, (("requestor_id", "trace_no"),)),
}

_COMMENT = re.compile(r"--[^\n]*")
_SUBQUERY = re.compile(r"\(\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)
_SOURCES = re.compile(
    r"\b(?:FROM|USING|INTO|UPDATE)\b.*?(?=\b(?:WHERE|SET|GROUP|ORDER|LIMIT|RETURNING|VALUES|FROM|USING)\b|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_NAMED = re.compile(
    r"(?:\b(?:FROM|JOIN|INTO|UPDATE|USING)|,)\s+(?:ONLY\s+)?(\w+)\b(?!\.)(?:\s+AS)?(?:\s+(?!ON\b|JOIN\b|LEFT\b|CROSS\b)(\w+))?",
    re.IGNORECASE,
)
_INSERT = re.compile(r"\bINSERT\s+INTO\s+(\w+)[^(]*\(([^)]*)\)", re.IGNORECASE)
_EQUALITY = re.compile(r"(?<![<>!\w.$])(\$\d+|\w+(?:\.\w+)?)\s*=\s*(\$\d+|\w+(?:\.\w+)?)")
_QUALIFIED = re.compile(r"\b(\w+)\.\w+")


class Part(NamedTuple):
    """A part of a statement: its text without subqueries, its growing tables by the names that it calls them."""

    text: str
    tables: dict[str, str]

    @property
    def keys(self) -> set[str]:
        return {PLACED_BY[table][0] for table in self.tables.values()}


def parts(statement: str) -> list[Part]:
    """Take a statement apart; the parts that touch tables that grow."""
    found = [Part(text, _tables(text)) for text in _texts(_COMMENT.sub("", statement))]
    return [part for part in found if part.tables]


def complaints(statement: str) -> list[str]:
    """Say what in a statement could need rows of two shards; nothing where it obeys."""
    return [complaint for part in parts(statement) for complaint in _complaints(part)]


def _complaints(part: Part) -> list[str]:
    found = []
    if len(part.keys) > 1:
        found.append(f"one part joins {' and '.join(sorted(part.tables.values()))}")
    foreign = {
        name
        for name in _QUALIFIED.findall(part.text)
        if name in PLACED_BY and name not in part.tables and not {PLACED_BY[name][0]} <= part.keys
    }
    found += [f"a part over {sorted(part.keys)} reads {name}" for name in sorted(foreign)]
    placed = _placed(part)
    found += [
        f"{table} is not reached by its key: {' '.join(part.text.split())[:120]}"
        for alias, table in part.tables.items()
        if alias not in placed
    ]
    return found


def _placed(part: Part) -> set[str]:
    """The tables that are reached by their key, from given values or from each other."""
    insert = _INSERT.search(part.text)
    placed: set[str] = set()
    if insert is not None and insert[1] in part.tables:
        columns = {column.strip() for column in insert[2].split(",")}
        placed |= {insert[1] for key in PLACED_BY[insert[1]][1] if set(key) <= columns}
    pairs = _EQUALITY.findall(part.text)
    pairs += [(right, left) for left, right in pairs]
    growing = True
    while growing:
        before = len(placed)
        for alias, table in part.tables.items():
            for key in PLACED_BY[table][1]:
                if all(_given(part, alias, column, pairs, placed) for column in key):
                    placed.add(alias)
        growing = len(placed) > before
    return placed


def _given(part: Part, alias: str, column: str, pairs: list[tuple[str, str]], placed: set[str]) -> bool:
    """Is this column equal to a value given from outside, or to the key of a table that is placed already?"""
    names = {f"{alias}.{column}"} | ({column} if len(part.tables) == 1 else set())
    for left, right in pairs:
        if left not in names or right in names:
            continue
        owner, _, other = right.rpartition(".")
        if right.startswith("$") or (owner and owner not in part.tables):
            return True
        if owner in placed and any(other in key for key in PLACED_BY[part.tables[owner]][1]):
            return True
    return False


def _tables(text: str) -> dict[str, str]:
    named = [pair for clause in _SOURCES.findall(text) for pair in _NAMED.findall(clause)]
    return {(alias or table): table for table, alias in named if table in PLACED_BY}


def _texts(statement: str) -> list[str]:
    """Cut the subqueries out, innermost first, and what is left of the statement last."""
    texts: list[str] = []
    while True:
        openings = [match.start() for match in _SUBQUERY.finditer(statement)]
        if not openings:
            return [*texts, statement]
        start = openings[-1]
        end = _closing(statement, start)
        texts.append(statement[start + 1 : end])
        statement = f"{statement[:start]} cut_out {statement[end + 1 :]}"


def _closing(statement: str, start: int) -> int:
    depth = 0
    for position in range(start, len(statement)):
        depth += {"(": 1, ")": -1}.get(statement[position], 0)
        if depth == 0:
            return position
    raise AssertionError("a bracket is left open")
