"""The schema's steps, forward only, in plain SQL from one description for both databases.

A step is a file `migrations/NNNN_name.sql`; its number is the schema version that it leads to. Rules for a step, so
that the version before it can go on serving meanwhile: add tables, nullable columns, columns with a constant
default, indexes; never rename, narrow or drop what the previous release still reads. What is no longer needed goes a
release later. A step that has been released is never edited.

The markers, all of them:

    {bigint}  {bytes}  {no_bytes}      a 64-bit integer, a byte string, the empty one
    {room_for_updates}                 PostgreSQL: leave room in each page for new row versions
    {without_rowid}                    SQLite: keep the rows in the primary key's own tree
    -- only: sqlite | postgres         stands before a statement that the other database does without
"""

from __future__ import annotations

import enum
import functools
import importlib.resources
import re
from typing import Final

import msgspec

from cpmqr.errors import ConfigError


class Dialect(enum.StrEnum):
    """The databases that we speak to."""

    SQLITE = "sqlite"
    POSTGRES = "postgres"


class Step(msgspec.Struct, frozen=True):
    """One step of the schema: the version that it leads to, its name, its statements in order."""

    version: int
    name: str
    statements: tuple[str, ...]


_MARKERS: Final = {
    Dialect.SQLITE: {
        "{bigint}": "INTEGER",
        "{bytes}": "BLOB",
        "{no_bytes}": "x''",
        "{room_for_updates}": "",
        "{without_rowid}": "WITHOUT ROWID",
    },
    Dialect.POSTGRES: {
        "{bigint}": "BIGINT",
        "{bytes}": "BYTEA",
        "{no_bytes}": "''::bytea",
        "{room_for_updates}": "WITH (fillfactor = 70)",
        "{without_rowid}": "",
    },
}
_FILE_NAME: Final = re.compile(r"(\d{4})_(\w+)\.sql")
_ONLY: Final = re.compile(r"^-- only: (\w+)$", re.MULTILINE)
_COMMENT: Final = re.compile(r"^\s*--.*\n", re.MULTILINE)

# Written by hand: both databases have it before the first step has run.
_STEPS_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS schema_step"
    " (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at_s {bigint} NOT NULL)"
)
READ_VERSION: Final = "SELECT COALESCE(MAX(version), 0) FROM schema_step"
RECORD_STEP: Final = "INSERT INTO schema_step (version, name, applied_at_s) VALUES ($1, $2, $3)"


@functools.cache
def steps(dialect: Dialect) -> tuple[Step, ...]:
    """Read all steps, in order, as this database is to run them.

    Raises:
        ConfigError: the files of this installation are not numbered 1, 2, 3… without gaps.
    """
    found: list[Step] = []
    folder = importlib.resources.files("cpmqr.store") / "migrations"
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        match = _FILE_NAME.fullmatch(file.name)
        if match is None:
            continue
        statements = _statements(file.read_text(encoding="utf-8"), dialect)
        found.append(Step(int(match[1]), f"{match[1]}_{match[2]}", statements))
    if [step.version for step in found] != list(range(1, len(found) + 1)) or not found:
        raise ConfigError("the schema's steps are not all there: install cpmqr anew")
    return tuple(found)


def latest() -> int:
    """Give the schema version that this release works with."""
    return steps(Dialect.SQLITE)[-1].version


def steps_table(dialect: Dialect) -> str:
    """Give the statement that makes the table of steps taken, if it is not there."""
    return _fill_in(_STEPS_TABLE, dialect)


def _statements(text: str, dialect: Dialect) -> tuple[str, ...]:
    kept: list[str] = []
    for chunk in re.split(r";\s*\n", text):
        only = _ONLY.search(chunk)
        statement = _COMMENT.sub("", chunk + "\n").strip()
        if not statement or (only is not None and only[1] != dialect):
            continue
        kept.append(_fill_in(statement, dialect))
    return tuple(kept)


def _fill_in(statement: str, dialect: Dialect) -> str:
    for marker, value in _MARKERS[dialect].items():
        statement = statement.replace(marker, value)
    return statement
