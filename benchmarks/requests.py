"""Made-up work: a sandbox with many tokens, and wallets' requests for them, each one new."""

from __future__ import annotations

import asyncio
import binascii
import importlib.resources
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.load import http_request
from cpmqr import sandbox
from cpmqr.crypto.blocks import hmac_sha256
from cpmqr.crypto.suites import DEFAULT_CRYPTO_TYPES, find_suite
from cpmqr.keys.keyring import Keyring
from cpmqr.keys.vault import Vault
from cpmqr.model import HashMode, KeyPurpose
from cpmqr.server import wiring
from cpmqr.server.settings import Settings, Storage
from cpmqr.service.issue import korean_text
from cpmqr.service.key_admin import KeyAdmin
from cpmqr.service.key_names import KeyName
from cpmqr.service.tokens import BinRange, Provisioned, TokenOrder, TokenRules, Tokens
from cpmqr.store.base import Actor
from cpmqr.wire import envelope, sealed

CHUNK = 500  # as many as one call takes
AES_PROFILE = (
    "bc-domestic-aes"  # the built-in one with EMV's AES cryptogram: two keyed ciphers in place of three
)


def prepare(
    data: Path, token_count: int, profile: str = "bc-domestic", database: str = ""
) -> tuple[sandbox.SandboxFile, list[str]]:
    """Make a sandbox in `data` with so many new tokens of a profile; its file, and their PANs."""
    return asyncio.run(_prepare(data, token_count, profile, database))


async def _prepare(
    data: Path, token_count: int, profile: str, database: str
) -> tuple[sandbox.SandboxFile, list[str]]:
    settings = Settings(sandbox=True, storage=Storage(data=str(data), database=database))
    kek = sandbox.kek(data)
    store = wiring.open_store(settings)
    now_s = int(time.time())
    await store.upgrade()
    await sandbox.seed(store, kek, data, "http://127.0.0.1:0", now_s)
    file = sandbox.read(data / sandbox.FILE_NAME)
    if profile == AES_PROFILE:
        keys = KeyAdmin(store, kek, master_key_algorithms={AES_PROFILE: "aes-128"})
        name = KeyName(KeyPurpose.ISSUER_MASTER, AES_PROFILE)
        await keys.generate(Actor("benchmark", "cli"), name, now_s, activate=True)
    vault = Vault(Keyring.open((await store.directory()).keys, kek))
    rules = TokenRules((file.requestor_id,), (profile,), (BinRange("535020"),))
    order = TokenOrder(file.requestor_id, "3012", psn="02", profile=profile)
    pans: list[str] = []
    while len(pans) < token_count:
        orders = [order] * min(CHUNK, token_count - len(pans))
        made = await Tokens(store, vault, rules).provision_many(Actor("benchmark", "cli"), orders, now_s)
        pans += [one.pan.reveal() for one in made if isinstance(one, Provisioned)]
    await store.close()
    return file, pans


def profile_files(data: Path, profile: str) -> tuple[str, ...]:
    """Write the file of a profile that is not built in; what `[issuing] profile_files` has to name."""
    if profile != AES_PROFILE:
        return ()
    text = (importlib.resources.files("cpmqr.emv") / "profiles" / "bc-domestic.toml").read_text("utf-8")
    for old, new in (
        ('name = "bc-domestic"', f'name = "{AES_PROFILE}"'),
        ('algorithm = "tdes"\noption = "a"', 'algorithm = "aes"\noption = "c"'),
        ("\npadding = 2", ""),
    ):
        assert old in text
        text = text.replace(old, new)
    file = data / f"{AES_PROFILE}.toml"
    file.write_text(text, "utf-8")
    return (str(file),)


def write_settings(data: Path, profile: str, *, issues_logged: bool) -> Path:
    """Write a gateway's configuration for a measurement."""
    file = data / "bench.toml"
    file.write_text(
        f"[logging]\nissues = {str(issues_logged).lower()}\n"
        f"[issuing]\nprofile_files = {json.dumps(profile_files(data, profile))}\n",
        "utf-8",
    )
    return file


def wallet_requests(
    file: sandbox.SandboxFile,
    pans: Sequence[str],
    count: int,
    crypto_type: str = "01",
    app_dv: str = "",
    *,
    scattered: bool = False,
) -> list[bytes]:
    """Make HTTP requests as a wallet sends them, the tokens taken in turn.

    Args:
        scattered: trace numbers are random, so that each lies elsewhere in its index; else they count up.
    """
    key = file.crypto_types[crypto_type]
    opener = find_suite(DEFAULT_CRYPTO_TYPES[crypto_type]).opener(bytes.fromhex(key.key_hex))
    mac = hmac_sha256(bytes.fromhex(file.hash_crc.key_hex))
    run, now = os.urandom(4).hex(), korean_text(int(time.time()))
    made = []
    for number in range(count):
        trace_no = os.urandom(10).hex() if scattered else f"B{run}{number:010d}"
        aad = sealed.associated_data(file.requestor_id, key.key_ver, trace_no)
        clear = sealed.plaintext(pans[number % len(pans)], now, trace_no)
        members = {
            "CRYPTO_KEY_VER": key.key_ver,
            "CRYPTO_TYPE": crypto_type,
            "MSG_VER": "01",
            "RSLT_TYPE": "JSON",
            "REQUESTOR_ID": file.requestor_id,
            "MSG_CD": "Q200",
            "REG_ATON": now,
            "TRNS_TRCE_NO": trace_no,
            "REQ_KEY_DV": "1",
            "ENC_DATA": binascii.b2a_base64(opener.seal(clear, aad, os.urandom), newline=False).decode(),
            "CPMQR_DATA_CLSS": "1",
            "DNF_DV": "1",
            "APP_DV": app_dv,
        }
        members["HASH_CRC"] = sealed.hash_crc(HashMode.HMAC_SHA256, mac, sealed.request_text(members))
        made.append(http_request(envelope.write("REQUEST", members), file.authorization))
    return made
