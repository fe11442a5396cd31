"""The operator's services over both databases, each with two stores open on one database, as two processes have."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from tests.store.conftest import Backend
from tests.unit.keys import made
from tests.unit.service.site import ACTOR, NOW, WALLET, Site, furnished, order, wallet

from cpmqr import sandbox
from cpmqr.errors import Refusal
from cpmqr.keys.keyring import Keyring
from cpmqr.keys.vault import Vault
from cpmqr.model import KeyPurpose, TokenPan, TokenState
from cpmqr.service.key_names import KeyName
from cpmqr.service.reseal import SETTLE_S, reseal_all
from cpmqr.service.token_import import import_tokens
from cpmqr.service.tokens import standing

pytestmark = pytest.mark.anyio


async def two_sites(backend: Backend) -> tuple[Site, Site]:
    first, second = backend.open(), backend.open()
    await first.upgrade()
    return await furnished(first), await furnished(second)


async def close(*sites: Site) -> None:
    for site in sites:
        await site.store.close()


async def test_two_processes_for_one_pan_make_one_token(backend: Backend) -> None:
    sites = await two_sites(backend)
    tokens = [await site.tokens() for site in sites]
    pan = TokenPan("5350206900000066")
    outcomes = await asyncio.gather(
        *(tokens[turn % 2].provision(ACTOR, order(pan=pan), NOW) for turn in range(10)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Refusal) for outcome in outcomes) == 9
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
    await close(*sites)


async def test_moves_by_two_processes_leave_a_deleted_token_deleted(backend: Backend) -> None:
    sites = await two_sites(backend)
    tokens = [await site.tokens() for site in sites]
    token_id = (await tokens[0].provision(ACTOR, order(), NOW)).token.token_id
    moves = [
        move(ACTOR, token_id, NOW)
        for _ in range(5)
        for one in tokens
        for move in (one.suspend, one.resume, one.delete)
    ]
    outcomes = await asyncio.gather(*moves, return_exceptions=True)
    refusals = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert all(isinstance(refusal, Refusal) and refusal.rslt_cd == "4003" for refusal in refusals)
    assert (await tokens[1].get(token_id)).state is TokenState.DELETED
    await close(*sites)


async def test_two_processes_never_leave_three_credentials(backend: Backend) -> None:
    sites = await two_sites(backend)
    outcomes = await asyncio.gather(
        *(sites[turn % 2].requestors.add_credential(ACTOR, WALLET, NOW) for turn in range(8)),
        return_exceptions=True,
    )
    given = {one.credential.credential_id for one in outcomes if not isinstance(one, BaseException)}
    live = {one.credential_id for one in await sites[0].requestors.credentials(WALLET)}
    assert given == live
    assert len(live) <= 2
    await close(*sites)


async def test_a_requestor_reads_back_as_it_was_written(backend: Backend) -> None:
    site, other = await two_sites(backend)
    whole = msgspec.structs.replace(
        wallet("42000000077"), sandbox=True, networks=("192.0.2.0/24", "2001:db8::/32"), crypto_types=("00", "01"),
        rate_limit_per_s=1_000_000, webhook_url="https://wallet.example/결과".encode().decode("ascii", "ignore"),
    )  # fmt: skip
    created = await site.requestors.create(ACTOR, whole, NOW)
    assert await other.requestors.get("42000000077") == created
    await close(site, other)


async def test_an_import_stores_in_batches_and_once(backend: Backend) -> None:
    site, other = await two_sites(backend)
    lines = ["expiry,pan", *["3012,"] * 600, "3012,5350206900000066", "3012,5350206900000066"]
    report = await import_tokens(
        await site.tokens(), ACTOR, lines, NOW, requestor_id=WALLET, keep_made=lambda _: None
    )
    assert (report.stored, report.made) == (601, 600)
    assert [refused.line for refused in report.refused] == [603]
    assert len(await other.store.list_tokens(limit=1000)) == 601
    await close(site, other)


async def test_pans_are_sealed_anew_by_two_processes_while_a_third_uses_them(backend: Backend) -> None:
    sites = await two_sites(backend)
    tokens = await sites[0].tokens()
    outcomes = await tokens.provision_many(ACTOR, [order() for _ in range(250)], NOW)
    pans = {new.token.token_id: new.pan.reveal() for new in outcomes if not isinstance(new, Refusal)}
    await sites[0].keys.rotate(ACTOR, KeyName(KeyPurpose.VAULT_PAN), NOW)
    vault = await sites[1].vault()

    async def use() -> None:
        for token_id in list(pans)[::10]:
            await tokens.suspend(ACTOR, token_id, NOW)

    first, second, _ = await asyncio.gather(
        *(reseal_all(site.store, vault, NOW + SETTLE_S, pause_s=0) for site in sites), use()
    )
    assert first.changed + second.changed == 250
    stored = await sites[0].store.list_tokens(limit=1000)
    assert {token.vault_key_ver for token in stored} == {"2"}
    assert {token.token_id: vault.open(token).reveal() for token in stored} == pans
    assert sum(token.state is TokenState.SUSPENDED for token in stored) == 25
    await close(*sites)


async def test_a_re_wrap_moves_every_key_in_one_step(backend: Backend) -> None:
    site, other = await two_sites(backend)
    await site.keys.generate_set(ACTOR, WALLET, "", NOW)
    assert await site.keys.rewrap(ACTOR, made.kek("new"), NOW) == 7
    keyring = Keyring.open((await other.store.directory()).keys, made.kek("new"))
    assert len(keyring) == 7
    assert keyring.unusable == ()
    await close(site, other)


async def test_a_sandbox_is_seeded_and_a_second_start_adds_nothing(backend: Backend, tmp_path: Path) -> None:
    store = backend.open()
    await store.upgrade()
    kek = sandbox.kek(tmp_path / "sandbox")
    file = await sandbox.seed(store, kek, tmp_path / "sandbox", "http://127.0.0.1:8080", 1_795_000_000)
    lines = await store.audit_head()
    again = await sandbox.seed(store, kek, tmp_path / "sandbox", "http://127.0.0.1:8080", 1_795_000_099)
    assert msgspec.json.encode(again) == msgspec.json.encode(file)
    assert await store.audit_head() == lines
    vault = Vault(Keyring.open((await store.directory()).keys, kek))
    for planned in file.tokens:
        token = await store.token_by_index(vault.index(planned.pan))
        assert token is not None
        assert standing(token, 1_795_000_000) == planned.state
        assert vault.open(token).reveal() == planned.pan
    await store.close()
