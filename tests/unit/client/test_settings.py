"""Settings: what is refused, from where it is read, and that nothing secret is said about it."""

from __future__ import annotations

import dataclasses
import json
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.client import stage as play

from cpmqr.client import Gateway, HashCrc, Transport, Wallet
from cpmqr.client.config import FILE_BYTES_MAX, read_config, read_sandbox
from cpmqr.client.http import ssl_context
from cpmqr.client.settings import GatewayOptions
from cpmqr.crypto import suites
from cpmqr.errors import ConfigError, CpmqrError

WRONG = {
    "base_url": ["", "paygw.example", "ftp://h", "https://", "https://h:x", "https://h:99999", "https://h?q",
                 "https://h#f", "https://u:p@h", "https://h h", "https://a..b", "https://" + "a" * 64, "https://h\n",
                 "https://한글", None, 5],
    "path": ["", "x", "/x?y", "/x y", "/x#y", None],
    "requestor_id": ["", "4200000006", "420000000660", "4200000006x", "４２００００００６６", None],
    "authorization": ["", "a\r\nX: y", " a", "ä", "x" * 5000, None, b"x"],
    "spelling": ["", "Sample", None],
    "proxy": ["h:1", "socks5://h", None],
    "ca_bundle": [None, 5],
    "insecure": ["yes", None],
    "pan_must_match": [1],
    "headers": [{"X Y": "z"}, {"X-Y": "a\nb"}, {"X-Y": ""}, {"Authorization": "z"}, {"Host": "z"}, [], {5: "z"}],
    "timeout_s": [0, -1, 301, "5", None, True, float("nan"), float("inf")],
    "deadline_s": [0, 301],
    "attempts_max": [0, 11],
    "first_pause_s": [-1, 301],
    "pause_max_s": [-0.1],
    "qr_ttl_s": [0, 86_401],
    "crypto": [None, "01"],
    "hash_crc": [None, "off"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values], ids=str
)
def test_a_wrong_setting_is_refused_by_its_name_and_without_its_value(name: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        play.gateway(**{name: value})
    text = str(caught.value)
    assert name.split("_")[0].lower() in text.lower().replace("header", "headers")
    if isinstance(value, str) and len(value) > 12:
        assert value not in text


@pytest.mark.parametrize(
    ("base_url", "allowed"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://127.7.7.7", True),
        ("http://localhost:1", True),
        ("http://[::1]:8080", True),
        ("http://paygwdev.bccard.com", False),
        ("http://10.0.0.1", False),
        ("http://127.0.0.1.example", False),
        ("http://localhost.example", False),
        ("https://paygwdev.bccard.com", True),
    ],
)
def test_plain_http_goes_to_this_machine_alone_unless_it_is_said(base_url: str, allowed: bool) -> None:
    if not allowed:
        with pytest.raises(ConfigError, match="insecure"):
            play.gateway(base_url=base_url)
    assert play.gateway(base_url=base_url, insecure=True).url == f"{base_url}/paygw/cpmqrdatareq"


@pytest.mark.parametrize("crypto_type", ["02", "11"])
@pytest.mark.parametrize("mode", ["off", "sha256"])
def test_cbc_is_refused_without_an_hmac(crypto_type: str, mode: str) -> None:
    key = play.KEY[: 16 if crypto_type == "11" else 32]
    with pytest.raises(ConfigError, match="hmac-sha256"):
        play.gateway(crypto=Transport(crypto_type, "00", key), hash_crc=HashCrc(mode))


@pytest.mark.parametrize(
    ("crypto_type", "key_ver", "key", "scheme"),
    [
        ("01", "00", b"x" * 31, ""),
        ("01", "0", b"x" * 32, ""),
        ("1", "00", b"x" * 32, ""),
        ("77", "00", b"x" * 32, ""),
        ("01", "00", b"x" * 32, "aria-256-gcm"),
        ("01", "00", "x" * 32, ""),
    ],
)
def test_a_transport_that_can_seal_nothing_is_refused(
    crypto_type: str, key_ver: str, key: Any, scheme: str
) -> None:
    with pytest.raises(ConfigError):
        Transport(crypto_type, key_ver, key, scheme)


def test_a_code_of_a_deployments_own_names_its_scheme() -> None:
    assert Transport("G1", "07", play.KEY, "aes-256-gcm").suite() is suites.find_suite("aes-256-gcm")


@pytest.mark.parametrize(
    ("mode", "key"), [("md5", b"x"), ("hmac-sha256", b""), ("hmac-sha256", "x"), (None, b"")]
)
def test_a_hash_that_can_sign_nothing_is_refused(mode: Any, key: Any) -> None:
    with pytest.raises(ConfigError):
        HashCrc(mode, key)


def test_the_options_are_the_settings_fields() -> None:
    assert list(GatewayOptions.__annotations__) == [field.name for field in dataclasses.fields(Gateway)]


def test_a_wallet_made_of_keywords_says_what_is_missing_or_unknown() -> None:
    with pytest.raises(ConfigError, match="crypto is missing"):
        Wallet(base_url="https://h", requestor_id=play.REQUESTOR_ID, authorization="x")
    with pytest.raises(ConfigError, match="no setting 'colour'"):
        Wallet(colour="red")  # type: ignore[call-arg]
    wallet = Wallet(play.gateway(), timeout_s=1.0, spelling="table")
    assert (wallet.gateway.timeout_s, wallet.gateway.spelling) == (1.0, "table")
    wallet.close()


SANDBOX = {
    "base_url": "http://127.0.0.1:8080",
    "requestor_id": play.REQUESTOR_ID,
    "authorization": play.AUTHORIZATION,
    "crypto_types": {
        "01": {"key_ver": "00", "key_hex": play.KEY.hex()},
        "11": {"key_ver": "03", "key_hex": play.KEY[:16].hex()},
    },
    "hash_crc": {"mode": "hmac-sha256", "key_hex": play.HASH_KEY.hex()},
    "tokens": [
        {
            "pan": "5350205023145170",
            "psn": "02",
            "expiry": "3012",
            "state": "suspended",
            "profile": "bc-domestic",
        },
        {"pan": play.PAN, "psn": "02", "expiry": "3012", "state": "active", "profile": "bc-domestic"},
    ],
    "issuer_keys": {"bc-domestic": {"master_key_hex": "00", "dki": "05"}},
    "operator": {"authorization": "…"},
}


def test_the_sandboxs_file_gives_a_wallet(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.json"
    path.write_text(json.dumps(SANDBOX), "utf-8")
    with Wallet.from_sandbox(path, crypto_type="11", timeout_s=1.5) as wallet:
        gateway = wallet.gateway
    assert (gateway.crypto.key_ver, gateway.crypto.key, gateway.timeout_s) == ("03", play.KEY[:16], 1.5)
    assert gateway.hash_crc == HashCrc("hmac-sha256", play.HASH_KEY)
    sandbox = read_sandbox(path)
    assert sandbox.first_active_pan() == play.PAN
    assert sandbox.transport("00") == Transport("00", "00", b"")
    for secret in (play.PAN, play.AUTHORIZATION, play.KEY.hex(), play.HASH_KEY.hex()):
        assert secret not in repr(sandbox)
    with pytest.raises(ConfigError, match="00, 01, 11"):
        sandbox.transport("02")


def test_a_sandbox_that_was_never_started_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cpmqr serve --sandbox"):
        Wallet.from_sandbox(tmp_path / "sandbox.json")


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[]", b"{}", b"[" * 100_000, b"{" + b" " * FILE_BYTES_MAX + b"}", b'{"base_url": 5}'],
    ids=["empty", "no text", "a list", "nothing in it", "deep", "long", "a number"],
)
def test_a_file_that_is_no_sandboxs_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "sandbox.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        read_sandbox(path)
    with pytest.raises(ConfigError):
        read_sandbox(tmp_path)
    with pytest.raises(ConfigError):
        read_sandbox("a\0b")


CONFIG = """
base_url = "https://paygw.example"
requestor_id = "42000000066"
authorization_env = "TEST_WALLET_CREDENTIAL"
path = "/paygw/cpmqrdatareq"
spelling = "table"
timeout_s = 3
deadline_s = 9.5
attempts_max = 1
pan_must_match = false
headers = { X-Client = "w1" }

[crypto]
type = "A1"
scheme = "aes-256-gcm"
key_ver = "01"
key_file = "transport.key"

[hash_crc]
mode = "hmac-sha256"
key_hex = "202122"
answer = "if-present"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEST_WALLET_CREDENTIAL", f"{play.AUTHORIZATION}\n")
    (tmp_path / "transport.key").write_text(play.KEY.hex() + "\n", "ascii")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "wallet.toml"
    path.write_text(text, "utf-8")
    return path


def test_a_configuration_is_enough_for_another_gateway(folder: Path) -> None:
    gateway = read_config(write(folder, CONFIG))
    assert gateway == Gateway(
        base_url="https://paygw.example",
        requestor_id="42000000066",
        authorization=play.AUTHORIZATION,
        crypto=Transport("A1", "01", play.KEY, "aes-256-gcm"),
        hash_crc=HashCrc("hmac-sha256", b"\x20\x21\x22", "if-present"),
        spelling="table",
        timeout_s=3,
        deadline_s=9.5,
        attempts_max=1,
        pan_must_match=False,
        headers={"X-Client": "w1"},
    )
    with Wallet.from_config(folder / "wallet.toml") as wallet:
        assert wallet.gateway == gateway


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("requestor_id", "requester_id", "requester_id"),
        ('base_url = "https://paygw.example"', "", "base_url is missing"),
        ("authorization_env", "authorization_file", "there is no"),
        ("TEST_WALLET_CREDENTIAL", "TEST_WALLET_UNSET", "TEST_WALLET_UNSET is not set"),
        ("authorization_env =", "x =", "authorization"),
        ("authorization_env =", 'authorization = "x"\nauthorization_env =', "given twice"),
        ("[hash_crc]", "[hash]", "hash_crc"),
        ("mode =", "modus =", "hash_crc.mode"),
        ('type = "A1"', "type = 1", "crypto.type"),
        ('key_hex = "202122"', 'key_hex = "20212"', "hash_crc.key"),
        ('scheme = "aes-256-gcm"', 'scheme = "rot13"', "rot13"),
        ("timeout_s = 3", 'timeout_s = "3"', "timeout_s"),
        ("answer =", "answers =", "answers"),
        ("[crypto]", "[crypto", "TOML"),
        ('"transport.key"', '"other.key"', "there is no"),
        ('"transport.key"', '"wallet.toml"', "hex"),
    ],
)
def test_a_faulty_configuration_is_refused_with_its_file_and_name(
    folder: Path, old: str, new: str, said: str
) -> None:
    assert old in CONFIG
    path = write(folder, CONFIG.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert said in str(caught.value)
    assert "wallet.toml" in str(caught.value)
    assert play.AUTHORIZATION not in str(caught.value)


@given(st.text(max_size=200) | st.sampled_from(["a = 1", "[crypto]\n[hash_crc]", "base_url = []"]))
def test_no_text_of_a_configuration_brings_more_than_a_typed_error(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.raises(CpmqrError):
        read_config(write(Path(folder), text.encode("utf-8", "replace").decode()))


def test_certificates_and_names_are_always_verified(tmp_path: Path) -> None:
    for gateway in (
        play.gateway(base_url="https://h"),
        play.gateway(),
        play.gateway(base_url="http://h", insecure=True),
    ):
        context = ssl_context(gateway)
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
    with pytest.raises(ConfigError, match="ca_bundle"):
        ssl_context(play.gateway(base_url="https://h", ca_bundle=str(tmp_path / "none.pem")))
    (tmp_path / "empty.pem").write_text("nothing", "ascii")
    with pytest.raises(ConfigError, match="ca_bundle"):
        ssl_context(play.gateway(base_url="https://h", ca_bundle=str(tmp_path / "empty.pem")))


def test_a_scheme_of_another_package_is_found_by_its_entry_point(tmp_path: Path) -> None:
    (tmp_path / "rot.py").write_text(
        "class Rot:\n"
        "    name, key_bytes, needs_hmac, sandbox_only = 'rot-1', 1, False, False\n"
        "    def opener(self, key): return self\n"
        "    def seal(self, plaintext, aad, entropy): return bytes((byte + 1) % 256 for byte in plaintext)\n"
        "    def unseal(self, blob, aad): return bytes((byte - 1) % 256 for byte in blob)\n"
        "rot = Rot()\n",
        "ascii",
    )
    information = tmp_path / "rot-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: rot\nVersion: 1.0\n", "ascii")
    (information / "entry_points.txt").write_text(
        "[cpmqr.suites]\nrot-1 = rot:rot\nbad = rot:none\n", "ascii"
    )
    script = (
        "from cpmqr.client import Transport\n"
        "from cpmqr.errors import ConfigError\n"
        "try: Transport('R1', '00', b'k', 'rot-1')\n"
        "except ConfigError as error: print(error)\n"
        "print(Transport('R1', '00', b'k', 'rot-1').suite().name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout.splitlines() == ["encryption scheme 'bad' can't be loaded: AttributeError", "rot-1"], (
        done.stderr
    )
