from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import msgspec
import pytest
from tests.unit.keys import made
from tests.unit.service.site import ACTOR, NOW, WALLET, Site, on_a_site

from cpmqr.errors import ConfigError, KeyUnavailable
from cpmqr.keys.ceremony import Component
from cpmqr.keys.check_value import check_value
from cpmqr.keys.keyring import Keyring
from cpmqr.keys.tr31 import read_block, write_block
from cpmqr.model import KeyPurpose, KeyState, Secret
from cpmqr.service.key_admin import KeyAdmin
from cpmqr.service.key_names import KeyName

TRANSPORT = KeyName(KeyPurpose.TRANSPORT, WALLET, "01")
ISSUER = KeyName(KeyPurpose.ISSUER_MASTER, "bc-domestic")
VAULT_PAN = KeyName(KeyPurpose.VAULT_PAN)


def version(name: KeyName, number: str) -> KeyName:
    return msgspec.structs.replace(name, version=number)


async def refused(call: Awaitable[object], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        await call


def test_init_makes_the_gateway_s_own_keys_once(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        own = await site.keys.keys()
        assert [key.purpose for key in own] == [
            KeyPurpose.MAPPING,
            KeyPurpose.VAULT_INDEX,
            KeyPurpose.VAULT_PAN,
        ]
        assert all(key.state is KeyState.ACTIVE for key in own)
        assert await site.keys.init(ACTOR, NOW) == []
        assert await site.keys.keys() == own

    on_a_site(tmp_path, run)


def test_a_generated_key_is_pending_until_activated_and_then_opens(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        key = await site.keys.generate(ACTOR, TRANSPORT, NOW)
        assert (key.version, key.state, key.algorithm, key.activated_at_s) == (
            "00",
            KeyState.PENDING,
            "aes-256",
            None,
        )
        assert (await site.keyring()).find(KeyPurpose.TRANSPORT, WALLET, "01") is None
        for _ in range(2):
            active = await site.keys.activate(ACTOR, version(TRANSPORT, "00"), NOW + 5)
            assert (active.state, active.activated_at_s, active.kcv) == (KeyState.ACTIVE, NOW + 5, key.kcv)
        entry = (await site.keyring()).find(KeyPurpose.TRANSPORT, WALLET, "01")
        assert entry is not None
        assert check_value("aes-256", entry.secret.reveal()) == key.kcv

    on_a_site(tmp_path, run)


@pytest.mark.parametrize(
    ("name", "algorithm", "first", "second"),
    [
        (TRANSPORT, "aes-256", "00", "01"),
        (KeyName(KeyPurpose.TRANSPORT, WALLET, "11"), "seed-128", "00", "01"),
        (KeyName(KeyPurpose.HASH_CRC, WALLET), "hmac-sha256", "00", "01"),
        (KeyName(KeyPurpose.WEBHOOK, WALLET), "hmac-sha256", "1", "2"),
        (ISSUER, "tdes-112", "01", "02"),
    ],
)
def test_algorithm_and_versions_follow_from_the_purpose(
    tmp_path: Path, name: KeyName, algorithm: str, first: str, second: str
) -> None:
    async def run(site: Site) -> None:
        made_first = await site.keys.generate(ACTOR, name, NOW, activate=True)
        made_second = await site.keys.rotate(ACTOR, name, NOW)
        assert (made_first.version, made_second.version) == (first, second)
        assert made_first.algorithm == made_second.algorithm == algorithm
        assert made_first.kcv != made_second.kcv

    on_a_site(tmp_path, run)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (KeyName(KeyPurpose.TRANSPORT, "4200000006", "01"), "a requestor's id"),
        (KeyName(KeyPurpose.TRANSPORT, WALLET), "CRYPTO_TYPE"),
        (KeyName(KeyPurpose.TRANSPORT, WALLET, "99"), "CRYPTO_TYPE is one of 00, 01, 02, 11"),
        (KeyName(KeyPurpose.TRANSPORT, WALLET, "00"), "takes no key"),
        (KeyName(KeyPurpose.TRANSPORT, WALLET, "01", "000"), "CRYPTO_KEY_VER"),
        (KeyName(KeyPurpose.HASH_CRC, WALLET, "01"), "a requestor's id"),
        (KeyName(KeyPurpose.ISSUER_MASTER, "visa"), "no profile of that name"),
        (KeyName(KeyPurpose.ISSUER_MASTER, "qris"), "no profile of that name makes cryptograms"),
        (KeyName(KeyPurpose.ISSUER_MASTER, "bc-domestic", "", "0a"), "upper-case hex"),
        (KeyName(KeyPurpose.VAULT_PAN, WALLET), "has no owner"),
        (KeyName(KeyPurpose.VAULT_PAN, "", "", "0"), "a number from 1"),
        (KeyName(KeyPurpose.VAULT_INDEX), "the vault index key stays"),
    ],
)
def test_generate_refuses_a_name_that_no_key_can_have(tmp_path: Path, name: KeyName, text: str) -> None:
    on_a_site(tmp_path, lambda site: refused(site.keys.generate(ACTOR, name, NOW), text))


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        before = await site.keys.generate(ACTOR, version(TRANSPORT, "07"), NOW)
        await refused(
            site.keys.generate(ACTOR, version(TRANSPORT, "07"), NOW), "already: a key is never replaced"
        )
        assert before in await site.keys.keys()

    on_a_site(tmp_path, run)


def test_versions_made_at_once_get_numbers_of_their_own(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        keys = await asyncio.gather(*(site.keys.generate(ACTOR, TRANSPORT, NOW) for _ in range(12)))
        assert sorted(key.version for key in keys) == [f"{number:02d}" for number in range(12)]

    on_a_site(tmp_path, run)


def test_version_numbers_end_with_their_field(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        await site.keys.generate(ACTOR, version(TRANSPORT, "99"), NOW)
        await refused(site.keys.generate(ACTOR, TRANSPORT, NOW), "used up: name a free one")
        assert (await site.keys.generate(ACTOR, version(TRANSPORT, "5A"), NOW)).version == "5A"
        await site.keys.generate(ACTOR, version(ISSUER, "FF"), NOW)
        await refused(site.keys.generate(ACTOR, ISSUER, NOW), "used up")

    on_a_site(tmp_path, run)


def test_rotate_overlaps_and_the_new_version_is_the_newest(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        await refused(site.keys.rotate(ACTOR, ISSUER, NOW), "no such key yet")
        await site.keys.generate(ACTOR, ISSUER, NOW, activate=True)
        for _ in range(11):
            await site.keys.rotate(ACTOR, ISSUER, NOW)  # within one second, past 09 to 0A
        entries = (await site.keyring()).versions(KeyPurpose.ISSUER_MASTER, "bc-domestic")
        assert len(entries) == 12
        assert all(entry.live for entry in entries)
        assert entries[0].version == "0C"

    on_a_site(tmp_path, run)


def test_retire_needs_another_active_version_unless_the_owner_is_to_be_cut_off(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        await site.keys.generate(ACTOR, TRANSPORT, NOW, activate=True)
        first = version(TRANSPORT, "00")
        await refused(site.keys.retire(ACTOR, first, NOW), "the only active one: rotate first")
        await site.keys.rotate(ACTOR, TRANSPORT, NOW)
        for _ in range(2):
            retired = await site.keys.retire(ACTOR, first, NOW + 9)
            assert (retired.state, retired.retired_at_s) == (KeyState.RETIRED, NOW + 9)
        entry = (await site.keyring()).find(KeyPurpose.TRANSPORT, WALLET, "01", "00")
        assert entry is not None  # it still opens what is old
        last = version(TRANSPORT, "01")
        await refused(site.keys.retire(ACTOR, last, NOW), "the only active one")
        assert (await site.keys.retire(ACTOR, last, NOW, even_the_last=True)).state is KeyState.RETIRED

    on_a_site(tmp_path, run)


def test_retirements_at_once_leave_one_active(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        await site.keys.rotate(ACTOR, VAULT_PAN, NOW)
        outcomes = await asyncio.gather(
            *(site.keys.retire(ACTOR, version(VAULT_PAN, number), NOW) for number in ("1", "2")),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, ConfigError) for outcome in outcomes) == 1
        assert await site.vault()

    on_a_site(tmp_path, run)


@pytest.mark.parametrize("purpose", [purpose for purpose, _ in made.OWN])
def test_the_gateway_s_last_own_key_stays_whoever_insists(tmp_path: Path, purpose: KeyPurpose) -> None:
    name = KeyName(purpose, version="1")
    on_a_site(
        tmp_path, lambda site: refused(site.keys.retire(ACTOR, name, NOW, even_the_last=True), "rotate first")
    )


def test_a_retirement_is_taken_back_only_when_asked_for(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        await site.keys.generate(ACTOR, TRANSPORT, NOW, activate=True)
        await site.keys.rotate(ACTOR, TRANSPORT, NOW)
        first = version(TRANSPORT, "00")
        await site.keys.retire(ACTOR, first, NOW)
        await refused(site.keys.activate(ACTOR, first, NOW), "version 00 is retired")
        again = await site.keys.activate(ACTOR, first, NOW + 1, reinstate=True)
        assert (again.state, again.activated_at_s, again.retired_at_s) == (KeyState.ACTIVE, NOW + 1, None)

    on_a_site(tmp_path, run)


def test_a_retired_mapping_key_does_not_come_back_for_its_days_are_settled(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        mapping = KeyName(KeyPurpose.MAPPING)
        await site.keys.rotate(ACTOR, mapping, NOW)
        await site.keys.retire(ACTOR, version(mapping, "1"), NOW)
        await refused(site.keys.activate(ACTOR, version(mapping, "1"), NOW, reinstate=True), "is retired")

    on_a_site(tmp_path, run)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        name = version(TRANSPORT, "00")
        await refused(
            site.keys.activate(ACTOR, name, NOW), f"there is no transport key {WALLET} 01 version 00"
        )
        await refused(site.keys.retire(ACTOR, name, NOW), "there is no transport key")
        await refused(site.keys.export_tr31(ACTOR, name, Secret(bytes(32)), NOW), "there is no transport key")

    on_a_site(tmp_path, run)


def test_a_set_is_one_version_of_all_keys_and_the_next_set_the_next(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        await site.keys.generate(ACTOR, KeyName(KeyPurpose.WEBHOOK, WALLET), NOW)
        for expected in ("00", "01"):
            keys = await site.keys.generate_set(ACTOR, WALLET, "", NOW)
            assert {(key.purpose, key.name) for key in keys} == {
                (KeyPurpose.TRANSPORT, "01"),
                (KeyPurpose.TRANSPORT, "02"),
                (KeyPurpose.TRANSPORT, "11"),
                (KeyPurpose.HASH_CRC, ""),
            }
            assert {key.version for key in keys} == {expected}
            assert all(key.state is KeyState.ACTIVE for key in keys)
        some = await site.keys.generate_set(ACTOR, WALLET, "K1", NOW, codes=["01"])
        assert [(key.name, key.version) for key in some] == [("01", "K1"), ("", "K1")]
        await refused(site.keys.generate_set(ACTOR, WALLET, "01", NOW), "already")
        await refused(site.keys.generate_set(ACTOR, WALLET, "", NOW, codes=["99"]), "CRYPTO_TYPE is one of")

    on_a_site(tmp_path, run)


def test_components_make_the_key_that_their_check_value_names(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        parts = [made.key_bytes(f"custodian {number}", 16) for number in range(3)]
        whole = bytes(a ^ b ^ c for a, b, c in zip(*parts, strict=True))
        components = [Component(Secret(part), check_value("tdes-112", part)) for part in parts]
        kcv = check_value("tdes-112", whole)
        key = await site.keys.import_components(ACTOR, version(ISSUER, "05"), components, kcv, NOW)
        assert (key.kcv, key.state, key.version) == (kcv, KeyState.PENDING, "05")
        entry = (await site.keyring()).find(KeyPurpose.ISSUER_MASTER, "bc-domestic", "", "05")
        assert entry is not None
        assert entry.secret.reveal() == whole
        await refused(
            site.keys.import_components(ACTOR, version(ISSUER, "06"), components[:2], kcv, NOW),
            "the combined key: its check value",
        )
        assert [key.version for key in await site.keys.keys(purpose=KeyPurpose.ISSUER_MASTER)] == ["05"]

    on_a_site(tmp_path, run)


def test_a_key_goes_out_and_comes_in_as_tr31_and_both_are_in_the_audit(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        shared = Secret(made.key_bytes("shared"))
        key = await site.keys.generate(ACTOR, TRANSPORT, NOW, activate=True)
        block = await site.keys.export_tr31(ACTOR, version(TRANSPORT, "00"), shared, NOW)
        secret = read_block(block, shared, KeyPurpose.TRANSPORT, "aes-256")
        assert check_value("aes-256", secret.reveal()) == key.kcv

        theirs = Secret(made.key_bytes("theirs"))
        incoming = write_block(theirs, shared, KeyPurpose.TRANSPORT, "aes-256")
        imported = await site.keys.import_tr31(ACTOR, TRANSPORT, incoming, shared, NOW)
        assert (imported.version, imported.kcv) == ("01", check_value("aes-256", theirs.reveal()))
        await refused(
            site.keys.import_tr31(ACTOR, KeyName(KeyPurpose.HASH_CRC, WALLET), incoming, shared, NOW),
            "usage is D0",
        )
        actions = [line.action for line in await site.store.audit_page(limit=1000)]
        assert "key.export-tr31" in actions
        assert "key.import-tr31" in actions

    on_a_site(tmp_path, run)


def test_the_gateway_s_own_keys_are_not_exported(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        for purpose, _ in made.OWN:
            call = site.keys.export_tr31(ACTOR, KeyName(purpose, version="1"), Secret(bytes(range(32))), NOW)
            await refused(call, "this gateway's own")

    on_a_site(tmp_path, run)


def test_rewrap_moves_every_key_to_the_new_kek_and_may_be_repeated(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        await site.keys.generate_set(ACTOR, WALLET, "", NOW)
        before = {key.kcv: key for key in await site.keys.keys()}
        new = made.kek("new")
        assert await site.keys.rewrap(ACTOR, new, NOW) == len(before) == 7
        assert await site.keys.rewrap(ACTOR, new, NOW) == 0
        after = await site.keys.keys()
        assert {key.kek_id for key in after} == {new.kek_id}
        assert {key.kcv for key in after} == set(before)
        assert len(Keyring.open(after, new)) == 7
        assert len(Keyring.open(after, site.kek)) == 0

    on_a_site(tmp_path, run)


def test_rewrap_with_the_wrong_old_kek_changes_nothing(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        before = await site.keys.keys()
        stranger = KeyAdmin(site.store, made.kek("stranger"))
        with pytest.raises(KeyUnavailable, match="wrapped under KEK"):
            await stranger.rewrap(ACTOR, made.kek("new"), NOW)
        assert await site.keys.keys() == before

    on_a_site(tmp_path, run)


def test_a_rewrap_that_was_cut_off_is_finished_by_the_next(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        await site.keys.rewrap(ACTOR, made.kek("new"), NOW)
        await site.keys.generate(ACTOR, TRANSPORT, NOW)  # somebody still used the old KEK
        assert await site.keys.rewrap(ACTOR, made.kek("new"), NOW) == 1

    on_a_site(tmp_path, run)


def test_the_audit_tells_each_step_by_check_value_and_no_file_holds_a_key(tmp_path: Path) -> None:
    secrets: list[bytes] = []

    async def run(site: Site) -> None:
        await site.keys.generate(ACTOR, TRANSPORT, NOW)
        await site.keys.activate(ACTOR, version(TRANSPORT, "00"), NOW)
        await site.keys.rotate(ACTOR, TRANSPORT, NOW)
        await site.keys.retire(ACTOR, version(TRANSPORT, "00"), NOW)
        lines = [line for line in await site.store.audit_page(limit=1000) if line.subject.endswith("01/00")]
        assert [line.action for line in lines] == ["key.generate", "key.activate", "key.retire"]
        keyring = await site.keyring()
        entries = [
            keyring.find(key.purpose, key.owner, key.name, key.version) for key in await site.keys.keys()
        ]
        secrets.extend(entry.secret.reveal() for entry in entries if entry)
        shown = repr(lines) + repr(await site.keys.keys())
        for secret in secrets:
            assert secret.hex() not in shown.lower()

    on_a_site(tmp_path, run)
    assert len(secrets) == 5
    for file in tmp_path.iterdir():
        content = file.read_bytes()
        assert not [
            secret for secret in secrets if secret in content or secret.hex().encode() in content.lower()
        ]
