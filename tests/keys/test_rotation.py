"""Rotations as a running gateway sees them: its directory over the real store, refreshed between the steps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.unit.keys import made
from tests.unit.keys.made import key_bytes
from tests.unit.service.site import ACTOR, NOW, WALLET, Site, on_a_site, order

from cpmqr.crypto.suites import DEFAULT_CRYPTO_TYPES
from cpmqr.errors import KeyUnavailable
from cpmqr.keys.chain import KekChain
from cpmqr.keys.keyring import Keyring
from cpmqr.model import KeyPurpose
from cpmqr.service.access import Access, Snapshot
from cpmqr.service.key_names import KeyName

DAY = NOW // made.DAY_S
AAD = b"aad"


def gateway(site: Site, *keks: str) -> Callable[[], Awaitable[Snapshot]]:
    """Give what a gateway knows after its next refresh."""
    kek = KekChain([made.kek(label) for label in keks or ("kek",)])
    access = Access(site.store, lambda wrapped: Keyring.open(wrapped, kek), DEFAULT_CRYPTO_TYPES)

    async def refreshed() -> Snapshot:
        await access.refresh()
        return access.current

    return refreshed


def test_a_transport_key_s_rotation_refuses_nobody_who_is_in_time(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        refreshed = gateway(site)
        await site.keys.generate_set(ACTOR, WALLET, "00", NOW)
        before = (await refreshed()).principals[WALLET]
        of_the_old_wallet = before.openers["01", "00"].seal(
            b"a request", AAD, lambda n: key_bytes("nonce", n)
        )

        await site.keys.generate_set(ACTOR, WALLET, "", NOW + 1)
        both = (await refreshed()).principals[WALLET]
        assert both.openers["01", "00"].unseal(of_the_old_wallet, AAD) == b"a request"
        of_the_new_wallet = both.openers["01", "01"].seal(b"a request", AAD, lambda n: key_bytes("nonce", n))
        assert of_the_new_wallet != of_the_old_wallet
        assert set(both.hash_keys) == {"00", "01"}

        for key in await site.keys.keys(owner=WALLET):
            if key.version == "00":
                name = KeyName(key.purpose, key.owner, key.name, key.version)
                await site.keys.retire(ACTOR, name, NOW + 2)
        after = (await refreshed()).principals[WALLET]
        assert ("01", "00") not in after.openers
        assert after.openers["01", "01"].unseal(of_the_new_wallet, AAD) == b"a request"
        assert set(after.hash_keys) == {"01"}
        assert after.dead_versions == {"00": "retired"}

    on_a_site(tmp_path, run)


def test_a_pending_key_is_accepted_from_its_activation_on(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        refreshed = gateway(site)
        name = KeyName(KeyPurpose.TRANSPORT, WALLET, "01", "07")
        await site.keys.generate(ACTOR, name, NOW)
        assert ("01", "07") not in (await refreshed()).principals[WALLET].openers
        await site.keys.activate(ACTOR, name, NOW)
        assert ("01", "07") in (await refreshed()).principals[WALLET].openers

    on_a_site(tmp_path, run)


def test_new_qrs_use_the_new_issuer_key_and_old_ones_still_compute(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        refreshed = gateway(site)
        name = KeyName(KeyPurpose.ISSUER_MASTER, "bc-domestic", version="05")
        await site.keys.generate(ACTOR, name, NOW, activate=True)
        before = (await refreshed()).issuer
        assert before.current["bc-domestic"] == "05"
        block = before.encryptors["bc-domestic", "05"](bytes(8))

        await site.keys.rotate(ACTOR, KeyName(KeyPurpose.ISSUER_MASTER, "bc-domestic"), NOW)
        rotated = (await refreshed()).issuer
        assert rotated.current["bc-domestic"] == "06"

        await site.keys.retire(ACTOR, name, NOW)
        after = (await refreshed()).issuer
        assert after.current["bc-domestic"] == "06"
        assert after.encryptors["bc-domestic", "05"](bytes(8)) == block

    on_a_site(tmp_path, run)


def test_a_mapping_key_s_rotation_changes_no_handle_of_today(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        refreshed = gateway(site)
        first = (await refreshed()).vault.mapping_value(7, 1, DAY)
        await site.keys.rotate(ACTOR, KeyName(KeyPurpose.MAPPING), NOW)
        vault = (await refreshed()).vault
        assert vault.mapping_value(7, 1, DAY) == first
        tomorrow = vault.mapping_value(7, 1, DAY + 1)
        await site.keys.retire(ACTOR, KeyName(KeyPurpose.MAPPING, version="1"), NOW + 60)
        vault = (await refreshed()).vault
        assert vault.mapping_value(7, 1, DAY) == first
        assert vault.mapping_value(7, 1, DAY + 1) == tomorrow
        assert vault.read_mapping_value(first) == (7, 1, DAY)
        assert vault.read_mapping_value(tomorrow) == (7, 1, DAY + 1)

    on_a_site(tmp_path, run)


def test_no_rotation_moves_a_token_s_index(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        refreshed = gateway(site)
        new = await (await site.tokens()).provision(ACTOR, order(), NOW)
        await site.keys.rotate(ACTOR, KeyName(KeyPurpose.VAULT_PAN), NOW)
        await site.keys.rewrap(ACTOR, made.kek("new"), NOW)
        vault = (await gateway(site, "new")()).vault
        assert vault.index(new.pan.reveal()) == new.token.pan_index
        with pytest.raises(KeyUnavailable, match="wrapped under KEK"):
            await refreshed()  # a gateway that nobody gave the new KEK

    on_a_site(tmp_path, run)


def test_a_gateway_with_both_keks_serves_throughout_a_re_wrap(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        await site.keys.generate_set(ACTOR, WALLET, "00", NOW)
        refreshed = gateway(site, "new", "kek")
        before = await refreshed()
        await site.keys.rewrap(ACTOR, made.kek("new"), NOW)
        after = await refreshed()
        assert after.version > before.version
        assert after.principals[WALLET].hash_keys["00"](b"a text") == before.principals[WALLET].hash_keys[
            "00"
        ](b"a text")
        await site.keys.generate_set(ACTOR, WALLET, "01", NOW)  # by a command that still has the old one
        assert set((await refreshed()).principals[WALLET].hash_keys) == {"00", "01"}

    on_a_site(tmp_path, run)
