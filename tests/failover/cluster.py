"""Two PostgreSQL under Patroni, and etcd: real ones, on ports of 127.0.0.1, run by `deploy/patroni/patroni.yml`.

Debian's packages are wanted: patroni, etcd-server and postgresql; CPMQR_PATRONI names another Patroni's program.
PostgreSQL does not run as root, so a root's cluster runs as the user `postgres`, which that package makes.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from tests.fault.deployment import free_port

PATRONI_YML = Path(__file__).parents[2] / "deploy" / "patroni" / "patroni.yml"
PATRONI = os.environ.get("CPMQR_PATRONI", "patroni")
POSTGRES_USER = "postgres"
Told = TypeVar("Told")
START_S_MAX = 90.0
FAILOVER_S_MAX = 120.0


def missing() -> list[str]:
    """What has to be installed first."""
    found = {"etcd": shutil.which("etcd"), PATRONI: shutil.which(PATRONI), "postgres": _postgres_bin()}
    return [name for name, path in found.items() if path is None]


def patroni_version() -> tuple[int, ...]:
    told = subprocess.run([PATRONI, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in told.split()[-1].split("."))


def _postgres_bin() -> Path | None:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    return folders[-1] if folders else None


class Process:
    """A program that runs until it is killed; its words go to a file."""

    def __init__(self, command: list[str], log: Path, env: dict[str, str]) -> None:
        self._command = command
        self._log = log
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        as_user = ["setpriv", f"--reuid={POSTGRES_USER}", f"--regid={POSTGRES_USER}", "--clear-groups", "--"]
        command = [*(as_user if os.geteuid() == 0 else []), *self._command]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **self._env},
                cwd="/",
                start_new_session=True,
            )

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)


class Node:
    """One database node: Patroni, and the PostgreSQL that it runs."""

    def __init__(self, name: str, folder: Path, etcd_port: int, passwords: dict[str, str]) -> None:
        self.name = name
        self.port = free_port()
        self._rest_port = free_port()
        self._data = folder / name
        env = {
            "PATRONI_NAME": name,
            "PATRONI_ETCD3_HOSTS": f"127.0.0.1:{etcd_port}",
            "PATRONI_POSTGRESQL_LISTEN": f"127.0.0.1:{self.port}",
            "PATRONI_POSTGRESQL_CONNECT_ADDRESS": f"127.0.0.1:{self.port}",
            "PATRONI_POSTGRESQL_DATA_DIR": str(self._data),
            "PATRONI_POSTGRESQL_BIN_DIR": str(_postgres_bin()),
            "PATRONI_POSTGRESQL_PGPASS": str(folder / f"{name}.pgpass"),
            "PATRONI_RESTAPI_LISTEN": f"127.0.0.1:{self._rest_port}",
            "PATRONI_RESTAPI_CONNECT_ADDRESS": f"127.0.0.1:{self._rest_port}",
            **passwords,
        }
        self.log = folder / f"{name}.log"
        self._patroni = Process([PATRONI, str(folder / "patroni.yml")], self.log, env)

    def start(self) -> None:
        self._patroni.start()

    def state(self) -> dict[str, object]:
        """What Patroni says of its PostgreSQL; {} where there is none to ask."""
        connection = http.client.HTTPConnection("127.0.0.1", self._rest_port, timeout=3)
        try:
            connection.request("GET", "/patroni")
            told: dict[str, object] = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return {}
        finally:
            connection.close()
        return told

    @property
    def is_primary(self) -> bool:
        told = self.state()
        return told.get("role") in ("master", "primary") and told.get("state") == "running"

    def is_followed_by(self, other: Node) -> bool:
        """The other node follows this primary, and commits wait for it."""
        followers = self.state().get("replication")
        wanted = (other.name, "streaming", "sync")
        keys = ("application_name", "state", "sync_state")
        return isinstance(followers, list) and any(
            tuple(each.get(key) for key in keys) == wanted for each in followers
        )

    @property
    def may_take_over(self) -> bool:
        """The cluster has this node on record as the one that has every commit."""
        return self.state().get("sync_standby") is True

    def kill(self) -> None:
        """SIGKILL to Patroni, to the postmaster and to all its processes: as if the machine were gone."""
        self._patroni.kill()
        self.kill_postgres()

    def kill_patroni(self) -> None:
        """SIGKILL to Patroni alone: its PostgreSQL goes on, with nobody to stop it."""
        self._patroni.kill()

    def kill_postgres(self) -> None:
        def all_gone() -> bool:
            self.signal_postgres(signal.SIGKILL)
            return not self.postgres_pids()

        wait_for(all_gone, f"end of {self.name}'s PostgreSQL", 20)

    def freeze(self) -> None:
        """SIGSTOP to Patroni and PostgreSQL: a machine that is there and says nothing."""
        self._patroni.signal(signal.SIGSTOP)
        self.signal_postgres(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on where they stood still."""
        self.signal_postgres(signal.SIGCONT)
        self._patroni.signal(signal.SIGCONT)

    def signal_postgres(self, number: signal.Signals) -> None:
        for pid in self.postgres_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def postgres_pids(self) -> list[int]:
        """The postmaster, found by its data folder, and its children (one just forked still looks like it)."""
        parents: dict[int, int] = {}
        found: set[int] = set()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                status = (entry / "stat").read_text().rpartition(")")[2].split()
                if status[0] == "Z":
                    continue
                parents[int(entry.name)] = int(status[1])
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if words[0].endswith(b"/postgres") and str(self._data).encode() in words:
                    found.add(int(entry.name))
        return [pid for pid, parent in parents.items() if pid in found or parent in found]


class Cluster:
    """etcd and two nodes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._password = secrets.token_urlsafe(24)
        etcd_port, peer_port = free_port(), free_port()
        client, peer = f"http://127.0.0.1:{etcd_port}", f"http://127.0.0.1:{peer_port}"
        command = ["etcd", "--name=only", f"--data-dir={folder}/etcd", f"--initial-cluster=only={peer}"]
        for flag, address in (
            ("listen-client-urls", client),
            ("advertise-client-urls", client),
            ("listen-peer-urls", peer),
            ("initial-advertise-peer-urls", peer),
        ):
            command.append(f"--{flag}={address}")
        self._etcd = Process(command, folder / "etcd.log", {})
        kinds = ("SUPERUSER", "REPLICATION", "REWIND")
        passwords = {f"PATRONI_{kind}_PASSWORD": self._password for kind in kinds}
        self.nodes = [Node(name, folder, etcd_port, passwords) for name in ("db1", "db2")]

    def start(self) -> None:
        """Start all, and return when there is a primary with a standby that its commits wait for."""
        shutil.copy(PATRONI_YML, self._folder / "patroni.yml")
        self._etcd.start()
        for node in self.nodes:
            node.start()
        self.wait_whole(START_S_MAX)

    def stop(self) -> None:
        with contextlib.ExitStack() as each:
            each.callback(self._etcd.kill)
            for node in self.nodes:
                each.callback(node.kill)

    def url(self, database: str, *, hosts_first: str = "db1") -> str:
        """A URL that names both nodes."""
        nodes = sorted(self.nodes, key=lambda node: node.name != hosts_first)
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        return f"postgresql://postgres:{quote(self._password)}@{hosts}/{database}?target_session_attrs=read-write"

    @property
    def primary(self) -> Node | None:
        return next((node for node in self.nodes if node.is_primary), None)

    def other(self, node: Node) -> Node:
        return next(each for each in self.nodes if each is not node)

    def wait_whole(self, seconds: float = FAILOVER_S_MAX) -> Node:
        """Wait for a primary with its standby; give the primary."""

        def whole() -> Node | None:
            primary = self.primary
            if primary is None:
                return None
            other = self.other(primary)
            return primary if primary.is_followed_by(other) and other.may_take_over else None

        return wait_for(whole, "a primary with a standby", seconds, self.told)

    def wait_primary(self, wanted: Node, seconds: float = FAILOVER_S_MAX) -> None:
        wait_for(lambda: wanted.is_primary, f"{wanted.name} as primary", seconds, self.told)

    def told(self) -> str:
        """The last words of each part."""
        logs = [self._folder / "etcd.log", *(node.log for node in self.nodes)]
        return "\n".join(
            f"{log.name}: {log.read_text(errors='replace')[-1500:]}" for log in logs if log.exists()
        )


def wait_for(
    ask: Callable[[], Told], what: str, seconds: float, told: Callable[[], str] = lambda: ""
) -> Told:
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"no {what} within {seconds} s\n{told()}"
        time.sleep(0.2)
    return answer


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """Run a cluster until the block ends; whatever happens, it is gone afterwards."""
    if os.geteuid() == 0:
        shutil.chown(folder, POSTGRES_USER, POSTGRES_USER)
    folder.chmod(0o700)
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
