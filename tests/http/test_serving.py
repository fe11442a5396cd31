"""Starting and stopping: a drain under load, what a start refuses, TLS, and a database that is locked."""

from __future__ import annotations

import datetime
import http.client
import ipaddress
import json
import re
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests import by_hand
from tests.process import Answer, Process, serving

pytestmark = pytest.mark.slow
SENDERS = 24


class _Sender(threading.Thread):
    """A wallet on a connection of its own; it sends until it is refused a connection, and keeps every outcome."""

    def __init__(self, process: Process) -> None:
        super().__init__(daemon=True)
        self.process = process
        self.answers: list[tuple[dict[str, str], Answer]] = []
        self.unanswered: list[dict[str, str]] = []

    def run(self) -> None:
        connection = self.process.connection()
        while True:
            members = self.process.wallet.signed()
            try:
                connection.connect() if connection.sock is None else None
            except OSError:
                return
            try:
                answer = self.process.post(by_hand.body_of(members), connection=connection)
            except (OSError, http.client.HTTPException):
                self.unanswered.append(members)
                connection.close()
            else:
                self.answers.append((members, answer))


def test_sigterm_under_load_answers_what_is_under_way_and_ends_with_0(tmp_path: Path) -> None:
    with serving(tmp_path / "var") as process:
        senders = [_Sender(process) for _ in range(SENDERS)]
        for sender in senders:
            sender.start()
        time.sleep(1.0)
        assert process.terminate() == 0
        for sender in senders:
            sender.join(10)
            assert not sender.is_alive()
        assert process.secrets_in_log() == set()
        assert "Traceback" not in process.log.read_text()
    answers = [answer for sender in senders for _, answer in sender.answers]
    assert len(answers) > SENDERS
    assert {answer.status for answer in answers} <= {200, 503}
    counters = [by_hand.atc_of(answer.response["CPMQR_DATA"]) for answer in answers if answer.status == 200]
    # Gapless: whoever got no answer was not read, so that no counter is spent on nobody.
    assert sorted(counters) == list(range(1, len(counters) + 1))


def test_a_request_whose_body_is_still_coming_is_answered_before_the_end(tmp_path: Path) -> None:
    with serving(tmp_path / "var") as process:
        body = by_hand.body_of(process.wallet.signed())
        with socket.create_connection((process.host, process.port), timeout=10) as connection:
            connection.sendall(process.head(len(body)) + body[:100])
            time.sleep(0.1)
            ending = threading.Thread(target=process.terminate)
            ending.start()
            time.sleep(0.5)
            with pytest.raises(OSError):  # nobody new is let in meanwhile
                socket.create_connection((process.host, process.port), timeout=1).close()
            connection.sendall(body[100:])
            answer = b""
            while data := connection.recv(65_536):
                answer += data
        ending.join(10)
        assert b"HTTP/1.1 200" in answer
        assert b'"RSLT_CD":"0000"' in answer


def _serve(*arguments: str, timeout: float = 20) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cpmqr", "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_a_port_that_is_taken_is_said_in_words_with_status_2(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = _serve("--sandbox", "--data", str(tmp_path / "var"), "--port", str(port))
    assert done.returncode == 2
    assert f"127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "var").exists()


def test_outside_the_sandbox_there_is_no_start_without_a_private_key_encryption_key(tmp_path: Path) -> None:
    data = tmp_path / "var"
    missing = _serve("--data", str(data), "--port", "0")
    assert missing.returncode == 2
    assert "kek.key" in missing.stderr
    with serving(data) as process:
        assert process.terminate() == 0
    (data / "kek.key").chmod(0o640)
    for arguments in (["--data", str(data)], ["--sandbox", "--data", str(data)]):
        readable = _serve(*arguments, "--port", "0")
        assert readable.returncode == 2
        assert "chmod 600" in readable.stderr
        assert "Traceback" not in readable.stderr


@pytest.mark.parametrize("mode", [[], ["--sandbox"]], ids=["deployment", "sandbox"])
def test_another_key_encryption_key_is_told_with_both_check_values(tmp_path: Path, mode: list[str]) -> None:
    data = tmp_path / "var"
    with serving(data) as process:
        assert process.terminate() == 0
    (data / "kek.key").write_text("07" * 32)
    done = _serve(*mode, "--data", str(data), "--port", "0")
    assert done.returncode in (2, 3)
    assert re.search("wrapped under KEK [0-9A-F]{6}, this one is [0-9A-F]{6}", done.stderr)
    assert "Traceback" not in done.stderr


def test_outside_the_sandbox_an_old_schema_is_not_changed_by_a_start(tmp_path: Path) -> None:
    data = tmp_path / "var"
    data.mkdir(mode=0o700)
    (data / "kek.key").write_text("00" * 32)
    (data / "kek.key").chmod(0o600)
    done = _serve("--data", str(data), "--port", "0")
    assert done.returncode == 2
    assert "cpmqr db upgrade" in done.stderr
    assert "Traceback" not in done.stderr


def test_plain_http_off_this_machine_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    done = _serve("--sandbox", "--data", str(tmp_path / "var"), "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 2
    assert "behind_tls_proxy" in done.stderr
    assert not (tmp_path / "var").exists()


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "cert.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate_file, key_file


def test_with_a_certificate_the_gateway_speaks_tls_and_nothing_else(tmp_path: Path) -> None:
    certificate_file, key_file = _certificate(tmp_path)
    config = tmp_path / "cpmqr.toml"
    config.write_text(
        f'[listen]\ntls_cert_file = "{certificate_file}"\ntls_key_file = "{key_file}"\nrequest_timeout_s = 1\n'
    )
    trust = ssl.create_default_context(cafile=str(certificate_file))
    with serving(tmp_path / "var", "--config", str(config), tls=trust) as process:
        assert process.wallet.known["base_url"] == f"https://127.0.0.1:{process.port}"
        assert process.ask().code == "0000"
        assert b"HTTP/1.1 200" not in process.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", timeout=2)
        assert process.terminate() == 0


def test_a_database_that_goes_away_is_not_ready_and_comes_back_without_a_restart(tmp_path: Path) -> None:
    """Another process holds the file's write lock: requests get 9001 or 9003 in time, retries then succeed."""
    config = tmp_path / "cpmqr.toml"
    config.write_text("[storage]\nwait_max_s = 0.5\n")
    with serving(tmp_path / "var", "--config", str(config)) as process:
        lock = sqlite3.connect(process.data / "cpmqr.sqlite", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        wishes = {"trace_no": by_hand.new_trace_no(), "time": by_hand.korean_now()}
        started = time.monotonic()
        answer = process.ask(**wishes)
        assert (answer.status, answer.code) == (504, "9003")
        assert "retry-after" not in answer.headers
        assert time.monotonic() - started < 1.5
        waiting = process.ask()
        assert (waiting.status, waiting.code, waiting.headers["retry-after"]) == (503, "9001", "1")
        lock.execute("ROLLBACK")
        lock.close()
        deadline = time.monotonic() + 5
        while (again := process.ask(**wishes)).status != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        counter = by_hand.atc_of(again.response["CPMQR_DATA"])
        assert counter <= 2
        assert process.ask(**wishes).response == again.response
        assert by_hand.atc_of(process.ask().response["CPMQR_DATA"]) == counter + 1
        assert process.terminate() == 0


def test_the_sandbox_file_is_whole_json_with_every_part_of_the_contract(served: Process) -> None:
    known = json.loads((served.data / "sandbox.json").read_text("utf-8"))
    assert known.keys() >= {
        "base_url", "requestor_id", "authorization", "crypto_types", "hash_crc", "tokens", "issuer_keys",
        "authoriser", "operator",
    }  # fmt: skip
    assert known["requestor_id"] == "42000000066"
    assert {code: len(key["key_hex"]) for code, key in known["crypto_types"].items()} == {
        "01": 64,
        "02": 64,
        "11": 32,
    }
    assert {key["key_ver"] for key in known["crypto_types"].values()} == {"00"}
    assert known["hash_crc"]["mode"] == "hmac-sha256"
    states = [token["state"] for token in known["tokens"]]
    assert set(states) == {"active", "suspended", "deleted", "expired", "exhausted"}
    assert known["tokens"][0] == {
        "pan": "5350206900000066",
        "psn": "02",
        "expiry": "3012",
        "state": "active",
        "profile": "bc-domestic",
        "service_code": "601",
        "discretionary": "0000000000099",
    }
    assert known["issuer_keys"]["bc-domestic"].keys() >= {"master_key_hex", "dki"}
    assert len(known["authoriser"]["authorization"]) >= 43
    assert len(known["operator"]["authorization"]) >= 43
