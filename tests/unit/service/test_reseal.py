from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.unit.service.site import ACTOR, NOW, Site, on_a_site, order

from cpmqr.errors import KeyUnavailable, Refusal
from cpmqr.keys.keyring import Keyring
from cpmqr.keys.vault import Vault
from cpmqr.model import KeyPurpose, TokenState
from cpmqr.service import reseal
from cpmqr.service.key_names import KeyName
from cpmqr.service.reseal import Resealing, reseal_all, reseal_step

VAULT_PAN = KeyName(KeyPurpose.VAULT_PAN)
LATER = NOW + reseal.SETTLE_S


async def provisioned(site: Site, count: int) -> dict[int, str]:
    tokens = await site.tokens()
    outcomes = await tokens.provision_many(ACTOR, [order() for _ in range(count)], NOW)
    return {new.token.token_id: new.pan.reveal() for new in outcomes if not isinstance(new, Refusal)}


def test_after_a_rotation_every_pan_is_sealed_anew_and_opens(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        pans = await provisioned(site, 25)
        await site.keys.rotate(ACTOR, VAULT_PAN, NOW)
        vault = await site.vault()
        steps: list[Resealing] = []
        done = await reseal_all(site.store, vault, LATER, pause_s=0, told=steps.append)
        assert (done.seen, done.changed, done.unreadable, done.after) == (25, 25, (), None)
        for token in await site.store.list_tokens(limit=100):
            assert token.vault_key_ver == "2"
            assert vault.open(token).reveal() == pans[token.token_id]
        again = await reseal_all(site.store, vault, LATER, pause_s=0)
        assert (again.seen, again.changed) == (25, 0)

    on_a_site(tmp_path, run)


def test_it_goes_in_small_steps_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        await provisioned(site, 10)
        await site.keys.rotate(ACTOR, VAULT_PAN, NOW)
        vault, state, changed = await site.vault(), Resealing(), []
        while state.after is not None:
            state = await reseal_step(site.store, vault, state, limit=4)
            changed.append(state.changed)
        assert changed == [4, 8, 10]
        assert await reseal_step(site.store, vault, state, limit=4) == state

    on_a_site(tmp_path, run)


def test_two_machines_at_once_change_each_token_once(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        pans = await provisioned(site, 40)
        await site.keys.rotate(ACTOR, VAULT_PAN, NOW)
        vault = await site.vault()
        done = await asyncio.gather(*(reseal_all(site.store, vault, LATER, pause_s=0) for _ in range(2)))
        assert sum(one.changed for one in done) == 40
        for token in await site.store.list_tokens(limit=100):
            assert vault.open(token).reveal() == pans[token.token_id]

    on_a_site(tmp_path, run)


def test_tokens_live_on_while_they_are_sealed_anew(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        pans = await provisioned(site, 60)
        await site.keys.rotate(ACTOR, VAULT_PAN, NOW)
        tokens, vault = await site.tokens(), await site.vault()

        async def use() -> None:
            for token_id in pans:
                await tokens.suspend(ACTOR, token_id, NOW)
                assert vault.open(await tokens.get(token_id)).reveal() == pans[token_id]

        await asyncio.gather(reseal_all(site.store, vault, LATER, pause_s=0), use())
        await reseal_all(site.store, vault, LATER, pause_s=0)
        for token in await site.store.list_tokens(limit=100):
            assert (token.state, token.vault_key_ver) == (TokenState.SUSPENDED, "2")
            assert vault.open(token).reveal() == pans[token.token_id]

    on_a_site(tmp_path, run)


def test_a_seal_that_does_not_open_is_reported_and_stops_no_other(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        pans = await provisioned(site, 3)
        spoilt = sorted(pans)[1]
        token = await site.store.token(spoilt)
        assert token is not None
        await site.store.reseal_tokens([(spoilt, "1", b"\0" * len(token.pan_sealed), "1")])
        await site.keys.rotate(ACTOR, VAULT_PAN, NOW)
        done = await reseal_all(site.store, await site.vault(), LATER, pause_s=0)
        assert (done.seen, done.changed, done.unreadable) == (3, 2, (spoilt,))

    on_a_site(tmp_path, run)


def test_after_it_the_old_version_is_needed_no_more(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        pans = await provisioned(site, 3)
        await site.keys.rotate(ACTOR, VAULT_PAN, NOW)
        await reseal_all(site.store, await site.vault(), LATER, pause_s=0)
        left = [
            key
            for key in (await site.store.directory()).keys
            if (key.purpose, key.version) != (KeyPurpose.VAULT_PAN, "1")
        ]
        vault = Vault(Keyring.open(left, site.kek))
        for token in await site.store.list_tokens():
            assert vault.open(token).reveal() == pans[token.token_id]

    on_a_site(tmp_path, run)


def test_a_young_key_is_waited_for_until_every_gateway_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reseal, "SETTLE_S", 1)

    async def run(site: Site) -> None:
        await provisioned(site, 1)
        stale_vault = await site.vault()  # a gateway's, from before the rotation
        await site.keys.rotate(ACTOR, VAULT_PAN, NOW)
        work = asyncio.create_task(reseal_all(site.store, await site.vault(), NOW, pause_s=0))
        await asyncio.sleep(0.3)
        (token,) = await site.store.list_tokens()
        assert stale_vault.open(token)
        await work
        (token,) = await site.store.list_tokens()
        with pytest.raises(KeyUnavailable):
            stale_vault.open(token)

    on_a_site(tmp_path, run)
