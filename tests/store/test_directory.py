"""Requestors, credentials and keys: what is put is read back, every change grows the version and is audited."""

from __future__ import annotations

import msgspec
import pytest
from tests.store.world import ACTOR, NOW_S, REQUESTOR_ID, requestor

from cpmqr.errors import StoreUnavailable
from cpmqr.model import Credential, KeyPurpose, KeyState, Role, WrappedKey
from cpmqr.store.base import Store

pytestmark = pytest.mark.anyio

KEY = WrappedKey(
    purpose=KeyPurpose.TRANSPORT,
    owner=REQUESTOR_ID,
    name="01",
    version="00",
    algorithm="aes-256",
    state=KeyState.ACTIVE,
    kcv="A1B2C3",
    wrapped=b"\x00wrapped\xff",
    kek_id="K1",
    created_at_s=NOW_S,
)


async def actions(store: Store) -> list[tuple[str, str]]:
    return [(line.action, line.subject) for line in await store.audit_page()]


async def test_a_new_database_has_an_empty_directory(store: Store) -> None:
    directory = await store.directory()
    assert (directory.requestors, directory.credentials, directory.keys) == ((), (), ())
    assert directory.version == await store.directory_version()


async def test_a_requestor_comes_back_as_it_was_put(store: Store) -> None:
    full = requestor(
        name="지갑 회사",
        role=Role.AUTHORISER,
        suspended=True,
        sandbox=True,
        crypto_types=("01", "11"),
        networks=("10.0.0.0/8", "2001:db8::/32"),
        rate_limit_per_s=50,
        token_rate_limit_per_s=2,
        webhook_url="https://wallet.example/hook",
    )
    await store.put_requestor(ACTOR, full, NOW_S)
    assert (await store.directory()).requestors == (full,)


async def test_putting_a_requestor_again_replaces_it(store: Store) -> None:
    await store.put_requestor(ACTOR, requestor(), NOW_S)
    changed = requestor(suspended=True, name="Another name")
    await store.put_requestor(ACTOR, changed, NOW_S + 1)
    assert (await store.directory()).requestors == (changed,)
    assert await actions(store) == [("requestor.create", REQUESTOR_ID), ("requestor.change", REQUESTOR_ID)]


async def test_a_credential_is_revoked_once(store: Store) -> None:
    await store.put_requestor(ACTOR, requestor(), NOW_S)
    credential = Credential("c1", REQUESTOR_ID, b"\x01" * 32, NOW_S)
    await store.add_credential(ACTOR, credential)
    assert (await store.directory()).credentials == (credential,)
    assert await store.revoke_credential(ACTOR, "c1", NOW_S + 9)
    assert not await store.revoke_credential(ACTOR, "c1", NOW_S + 99)
    assert not await store.revoke_credential(ACTOR, "no such", NOW_S)
    assert (await store.directory()).credentials == (
        msgspec.structs.replace(credential, revoked_at_s=NOW_S + 9),
    )
    assert (await actions(store))[1:] == [("credential.add", "c1"), ("credential.revoke", "c1")]


@pytest.mark.parametrize(
    "clash",
    [
        Credential("c1", REQUESTOR_ID, b"\x02" * 32, NOW_S),
        Credential("c2", REQUESTOR_ID, b"\x01" * 32, NOW_S),
        Credential("c3", "no such one", b"\x03" * 32, NOW_S),
    ],
    ids=["the same id", "the same digest", "an unknown requestor"],
)
async def test_a_credential_that_clashes_is_refused_and_leaves_no_trace(
    store: Store, clash: Credential
) -> None:
    await store.put_requestor(ACTOR, requestor(), NOW_S)
    await store.add_credential(ACTOR, Credential("c1", REQUESTOR_ID, b"\x01" * 32, NOW_S))
    version, lines = await store.directory_version(), await actions(store)
    with pytest.raises(StoreUnavailable) as caught:
        await store.add_credential(ACTOR, clash)
    assert "01" * 8 not in str(caught.value)
    assert (await store.directory_version(), await actions(store)) == (version, lines)


async def test_keys_are_put_together_and_replaced_by_their_names(store: Store) -> None:
    other = msgspec.structs.replace(KEY, version="01", state=KeyState.PENDING)
    await store.put_keys(ACTOR, [other, KEY], "key.create", NOW_S)
    assert (await store.directory()).keys == (KEY, other)
    retired = msgspec.structs.replace(
        KEY, state=KeyState.RETIRED, activated_at_s=NOW_S, retired_at_s=NOW_S + 5
    )
    await store.put_keys(ACTOR, [retired], "key.retire", NOW_S + 5)
    assert (await store.directory()).keys == (retired, other)
    last = (await store.audit_page())[-1]
    assert (last.action, last.subject) == ("key.retire", f"transport/{REQUESTOR_ID}/01/00")
    assert last.detail == {"algorithm": "aes-256", "state": "retired", "kcv": "A1B2C3", "kek_id": "K1"}


async def test_every_change_grows_the_version(store: Store) -> None:
    seen = [await store.directory_version()]
    await store.put_requestor(ACTOR, requestor(), NOW_S)
    seen.append(await store.directory_version())
    await store.add_credential(ACTOR, Credential("c1", REQUESTOR_ID, b"\x01" * 32, NOW_S))
    seen.append(await store.directory_version())
    await store.put_keys(ACTOR, [KEY], "key.create", NOW_S)
    seen.append(await store.directory_version())
    await store.revoke_credential(ACTOR, "c1", NOW_S)
    seen.append(await store.directory_version())
    assert seen == sorted(set(seen))
    assert len(seen) == 5


async def test_no_keys_at_all_are_a_change_too_whose_commit_waits_for_what_came_before(store: Store) -> None:
    before = await store.directory_version()
    await store.put_keys(ACTOR, [], "key.rewrap", NOW_S)
    assert await store.directory_version() > before
    assert (await store.directory()).keys == ()
