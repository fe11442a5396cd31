from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from cpmqr import sandbox
from cpmqr.emv.profile import BUILT_IN, Profile
from cpmqr.errors import ConfigError
from cpmqr.keys.check_value import check_value
from cpmqr.keys.keyring import Keyring
from cpmqr.keys.vault import Vault
from cpmqr.model import ATC_MAX, KeyPurpose, KeyState, TokenPan, TokenState
from cpmqr.sandbox import SandboxFile
from cpmqr.service.requestors import credential_digest
from cpmqr.service.tokens import standing
from cpmqr.store.base import Actor
from cpmqr.store.sqlite import SqliteStore

Result = TypeVar("Result")

NOW = 1_795_000_000  # in November 2026
URL = "http://127.0.0.1:8080"
ACTOR = Actor("test", "here")


async def with_store(folder: Path, run: Callable[[SqliteStore], Awaitable[Result]]) -> Result:
    store = SqliteStore.open(folder / "cpmqr.sqlite")
    try:
        await store.upgrade()
        return await run(store)
    finally:
        await store.close()


def start(folder: Path, base_url: str = URL, store: Any = None) -> SandboxFile:
    """Start a sandbox as `cpmqr serve --sandbox` does."""

    async def run(opened: SqliteStore) -> SandboxFile:
        kek = sandbox.kek(folder)
        return await sandbox.seed(store(opened) if store else opened, kek, folder, base_url, NOW)

    sandbox.kek(folder)
    return asyncio.run(with_store(folder, run))


def assert_whole(folder: Path) -> None:
    """File and database belong together, and nothing is missing."""
    file = sandbox.read(folder / sandbox.FILE_NAME)

    async def run(store: SqliteStore) -> None:
        directory = await store.directory()
        keyring = Keyring.open(directory.keys, sandbox.kek(folder))
        assert keyring.unusable == ()
        live = {one.digest: one.requestor_id for one in directory.credentials if one.revoked_at_s is None}
        assert live == {
            credential_digest(file.authorization): file.requestor_id,
            credential_digest(file.authoriser.authorization): "authoriser",
            credential_digest(file.operator.authorization): "operator",
            credential_digest(file.suspended_requestor.authorization): file.suspended_requestor.requestor_id,
        }
        suspended = {one.requestor_id for one in directory.requestors if one.suspended}
        assert suspended == {file.suspended_requestor.requestor_id}
        for code, key in file.crypto_types.items():
            entry = keyring.find(KeyPurpose.TRANSPORT, file.requestor_id, code, key.key_ver)
            assert entry is not None
            assert entry.live
            assert entry.secret.reveal().hex() == key.key_hex
        for profile, issuer_key in file.issuer_keys.items():
            entry = keyring.find(KeyPurpose.ISSUER_MASTER, profile)
            assert entry is not None
            assert (entry.version, entry.secret.reveal().hex()) == (issuer_key.dki, issuer_key.master_key_hex)
        for purpose, key_hex in (
            (KeyPurpose.HASH_CRC, file.hash_crc.key_hex),
            (KeyPurpose.WEBHOOK, file.webhook.key_hex),
        ):
            entry = keyring.find(purpose, file.requestor_id)
            assert entry is not None
            assert entry.secret.reveal().hex() == key_hex
        vault = Vault(keyring)
        tokens = await store.list_tokens(limit=1000)
        assert len(tokens) == len(file.tokens)
        for planned in file.tokens:
            token = await store.token_by_index(vault.index(planned.pan))
            assert token is not None
            assert standing(token, NOW) == planned.state
            assert vault.open(token).reveal() == planned.pan
            assert (token.psn, token.expiry, token.profile) == (planned.psn, planned.expiry, planned.profile)
            assert (token.service_code, token.discretionary) == (planned.service_code, planned.discretionary)

    asyncio.run(with_store(folder, run))


def test_the_first_start_makes_all_that_the_contract_names(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    start(folder)
    assert_whole(folder)
    content = json.loads((folder / "sandbox.json").read_bytes())
    assert (content["base_url"], content["requestor_id"]) == (URL, "42000000066")
    assert set(content["crypto_types"]) == {"01", "02", "11"}
    lengths = {code: len(key["key_hex"]) for code, key in content["crypto_types"].items()}
    assert lengths == {"01": 64, "02": 64, "11": 32}
    assert {key["key_ver"] for key in content["crypto_types"].values()} == {"00"}
    assert content["hash_crc"]["mode"] == "hmac-sha256"
    assert len(content["hash_crc"]["key_hex"]) == 64
    assert content["tokens"][0] == {
        "pan": "5350206900000066",
        "psn": "02",
        "expiry": "3012",
        "state": "active",
        "profile": "bc-domestic",
        "service_code": "601",
        "discretionary": "0000000000099",
    }
    bc_states = [token["state"] for token in content["tokens"] if token["profile"] == "bc-domestic"]
    assert sorted(bc_states) == ["active", "deleted", "exhausted", "expired", "suspended"]
    assert [token["state"] for token in content["tokens"] if token["profile"] == "unionpay"] == ["active"]
    assert content["issuer_keys"]["bc-domestic"]["dki"] == "05"
    assert len(content["issuer_keys"]["bc-domestic"]["master_key_hex"]) == 32
    for side in ("authoriser", "operator"):
        assert len(content[side]["authorization"]) == 43


def test_every_pan_of_a_sandbox_is_one_and_the_domestic_ones_are_of_one_range(tmp_path: Path) -> None:
    file = start(tmp_path)
    assert len({token.pan for token in file.tokens}) == len(file.tokens)
    for token in file.tokens:
        assert TokenPan(token.pan)
        assert token.pan.startswith("535020" if token.profile == "bc-domestic" else "62")


def test_every_profile_that_makes_cryptograms_has_an_issuer_key_of_its_algorithm(tmp_path: Path) -> None:
    file = start(tmp_path)
    algorithms = {name: Profile.load(name).master_key_algorithm for name in BUILT_IN}
    assert set(file.issuer_keys) == {name for name, algorithm in algorithms.items() if algorithm}
    for name, key in file.issuer_keys.items():
        assert check_value(algorithms[name], bytes.fromhex(key.master_key_hex))


def test_folder_and_files_are_the_owner_s_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "var"
    start(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "sandbox.json").stat().st_mode & 0o777 == 0o600
    assert (folder / "kek.key").stat().st_mode & 0o777 == 0o600


def test_two_sandboxes_share_no_secret(tmp_path: Path) -> None:
    one, two = (start(tmp_path / name) for name in ("one", "two"))

    def secrets(file: SandboxFile) -> set[str]:
        return {
            file.authorization,
            file.authoriser.authorization,
            file.operator.authorization,
            file.suspended_requestor.authorization,
            file.hash_crc.key_hex,
            file.webhook.key_hex,
            *(key.key_hex for key in file.crypto_types.values()),
            *(key.master_key_hex for key in file.issuer_keys.values()),
        }

    assert len(secrets(one)) == len(secrets(two)) == 12
    assert not secrets(one) & secrets(two)


def test_there_is_a_pending_and_a_retired_key_version_to_be_refused(tmp_path: Path) -> None:
    file = start(tmp_path)

    async def run(store: SqliteStore) -> dict[str, KeyState]:
        keys = (await store.directory()).keys
        return {
            key.version: key.state for key in keys if (key.purpose, key.name) == (KeyPurpose.TRANSPORT, "01")
        }

    states = asyncio.run(with_store(tmp_path, run))
    assert states["00"] is KeyState.ACTIVE
    assert {
        state.value: version for version, state in states.items() if version != "00"
    } == file.refused_key_versions


def test_seeding_takes_well_under_300_ms(tmp_path: Path) -> None:
    def timed(name: str) -> float:
        began = time.perf_counter()
        start(tmp_path / name)
        return time.perf_counter() - began

    assert min(timed(name) for name in "abc") < 0.3


def test_a_second_start_keeps_what_is_there_and_notes_the_new_address(tmp_path: Path) -> None:
    first = start(tmp_path)
    same = start(tmp_path)
    assert msgspec.json.encode(same) == msgspec.json.encode(first)
    second = start(tmp_path, "http://127.0.0.1:9999")
    assert second.base_url == "http://127.0.0.1:9999"
    assert msgspec.json.encode(msgspec.structs.replace(second, base_url=URL)) == msgspec.json.encode(first)
    assert sandbox.read(tmp_path / "sandbox.json").base_url == "http://127.0.0.1:9999"
    assert_whole(tmp_path)


def test_a_second_start_changes_nothing_in_the_database(tmp_path: Path) -> None:
    async def lines(store: SqliteStore) -> int:
        return len(await store.audit_page(limit=1000))

    start(tmp_path)
    before = asyncio.run(with_store(tmp_path, lines))
    start(tmp_path, "http://127.0.0.1:9999")
    assert asyncio.run(with_store(tmp_path, lines)) == before


def test_a_second_start_undoes_nothing_that_the_user_did(tmp_path: Path) -> None:
    file = start(tmp_path)

    async def use(store: SqliteStore) -> int:
        vault = Vault(Keyring.open((await store.directory()).keys, sandbox.kek(tmp_path)))
        token = await store.token_by_index(vault.index(file.tokens[0].pan))
        assert token is not None
        await store.set_token_state(ACTOR, token.token_id, TokenState.DELETED, [TokenState.ACTIVE], NOW)
        requestor = next(
            one for one in (await store.directory()).requestors if one.requestor_id == file.requestor_id
        )
        await store.put_requestor(ACTOR, msgspec.structs.replace(requestor, rate_limit_per_s=5), NOW)
        return token.token_id

    async def look(store: SqliteStore) -> tuple[TokenState, int]:
        token = await store.token(token_id)
        assert token is not None
        requestor = next(
            one for one in (await store.directory()).requestors if one.requestor_id == file.requestor_id
        )
        return token.state, requestor.rate_limit_per_s

    token_id = asyncio.run(with_store(tmp_path, use))
    start(tmp_path)
    assert asyncio.run(with_store(tmp_path, look)) == (TokenState.DELETED, 5)


class Crash(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


class DyingStore:
    """The real store, whose process dies at the n-th write: just before it, or when it is durable."""

    WRITES = ("put_keys", "put_requestor", "add_credential", "revoke_credential", "add_tokens")

    def __init__(self, store: SqliteStore, lives: int, *, after: bool) -> None:
        self._store = store
        self._lives = lives
        self._after = after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in self.WRITES:
            return method

        async def dying(*args: Any) -> Any:
            self._lives -= 1
            if self._lives < 0 and not self._after:
                raise Crash
            outcome = await method(*args)
            if self._lives < 0:
                raise Crash
            return outcome

        return dying


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_any_write_is_mended_by_the_next_start(tmp_path: Path, after: bool) -> None:
    crashes = 0
    for lives in range(30):
        folder = tmp_path / f"{lives}"

        def dying(store: SqliteStore, lives: int = lives) -> DyingStore:
            return DyingStore(store, lives, after=after)

        try:
            start(folder, store=dying)
        except Crash:
            crashes += 1
        else:
            break
        planned = (folder / "sandbox.json").read_bytes() if (folder / "sandbox.json").exists() else None
        start(folder)
        assert_whole(folder)
        assert planned is None or (folder / "sandbox.json").read_bytes() == planned
    assert crashes == 11  # own keys, four requestors, four credentials, keys, tokens


def test_a_crash_while_the_file_is_written_is_mended_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cpmqr.sandbox.file as sandbox_file

    def die(*_: Any, **__: Any) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(sandbox_file, "write_private", die)
        with pytest.raises(Crash):
            start(tmp_path)
    assert not (tmp_path / "sandbox.json").exists()
    start(tmp_path)
    assert_whole(tmp_path)


SEED = """
import asyncio, sys
from pathlib import Path
from cpmqr import sandbox
from cpmqr.store.sqlite import SqliteStore

async def main(folder):
    print("go", flush=True)
    kek = sandbox.kek(folder)
    store = SqliteStore.open(folder / "cpmqr.sqlite")
    await store.upgrade()
    await sandbox.seed(store, kek, folder, "http://127.0.0.1:8080", 1795000000)
    print("done", flush=True)

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.slow
def test_sigkill_at_any_moment_leaves_a_sandbox_that_starts(tmp_path: Path) -> None:
    killed = 0
    for delay_ms in (0, 2, 4, 7, 10, 14, 18, 24):
        folder = tmp_path / f"{delay_ms}"
        with subprocess.Popen(
            [sys.executable, "-c", SEED, str(folder)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "go\n"
            time.sleep(delay_ms / 1000)
            child.send_signal(signal.SIGKILL)
            killed += child.stdout.readline() == ""
        start(folder)
        assert_whole(folder)
    assert killed > 0


def test_a_deleted_file_is_made_anew_around_the_keys_and_tokens_that_there_are(tmp_path: Path) -> None:
    first = start(tmp_path)
    (tmp_path / "sandbox.json").unlink()
    second = start(tmp_path)
    assert_whole(tmp_path)  # the old credentials are not live any more
    assert second.authorization != first.authorization
    assert {code: key.key_hex for code, key in second.crypto_types.items()} == {
        code: key.key_hex for code, key in first.crypto_types.items()
    }
    assert {token.pan for token in second.tokens} == {token.pan for token in first.tokens}
    assert second.tokens[0].pan == sandbox.PAGE_PAN


def test_a_deleted_database_is_made_anew_from_the_file(tmp_path: Path) -> None:
    first = start(tmp_path)
    for file in tmp_path.glob("cpmqr.sqlite*"):
        file.unlink()
    assert msgspec.json.encode(start(tmp_path)) == msgspec.json.encode(first)
    assert_whole(tmp_path)


def test_a_lost_kek_is_said_plainly(tmp_path: Path) -> None:
    start(tmp_path)
    (tmp_path / "kek.key").unlink()
    with pytest.raises(ConfigError, match=r"put the kek\.key back that belongs to them, or begin anew"):
        start(tmp_path)


def test_the_file_of_another_sandbox_is_refused(tmp_path: Path) -> None:
    start(tmp_path / "one")
    start(tmp_path / "two")
    (tmp_path / "one" / "sandbox.json").replace(tmp_path / "two" / "sandbox.json")
    with pytest.raises(ConfigError, match="belongs to another database"):
        start(tmp_path / "two")


def test_a_damaged_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    start(tmp_path)
    path = tmp_path / "sandbox.json"
    good = path.read_bytes()
    content = json.loads(good)
    spoilt = {
        "half": good[: len(good) // 2],
        "no UTF-8": b"\xff\xfe",
        "empty": b"",
        "a list": b"[]",
        "a PAN's check digit": good.replace(b"5350206900000066", b"5350206900000067"),
        "a key of no hex": good.replace(content["hash_crc"]["key_hex"].encode(), b"zz" * 32),
        "a member missing": json.dumps({**content, "operator": {}}).encode(),
    }
    for what, damaged in spoilt.items():
        path.write_bytes(damaged)
        with pytest.raises(ConfigError, match="delete it, and the next start makes one"):
            start(tmp_path)
        assert what
    path.write_bytes(good.replace(b'"unionpay": {', b'"visa": {'))
    with pytest.raises(ConfigError, match="no CRYPTO_TYPE or profile 'visa'"):
        start(tmp_path)


def test_read_says_how_the_file_comes_to_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`cpmqr serve --sandbox` makes it"):
        sandbox.read(tmp_path / "sandbox.json")


def test_nothing_of_the_file_is_printed(tmp_path: Path) -> None:
    file = start(tmp_path)
    shown = f"{file!r} {file.tokens!r} {file.crypto_types!r} {file.operator!r} {file.issuer_keys!r} {file.hash_crc!r}"
    for secret in (file.authorization, file.hash_crc.key_hex, sandbox.PAGE_PAN, file.operator.authorization):
        assert secret not in shown


def test_the_exhausted_token_has_the_last_counter(tmp_path: Path) -> None:
    start(tmp_path)

    async def run(store: SqliteStore) -> list[int]:
        return sorted(token.atc for token in await store.list_tokens())

    assert asyncio.run(with_store(tmp_path, run))[-1] == ATC_MAX
