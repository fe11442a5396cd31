from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.service.site import ACTOR, NOW, WALLET, Site, on_a_site, wallet

from cpmqr.crypto.suites import DEFAULT_CRYPTO_TYPES
from cpmqr.errors import Refusal
from cpmqr.model import HashMode, Role
from cpmqr.service.requestors import Requestors, check_requestor


def test_create_keeps_what_was_given_and_when(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        new = msgspec.structs.replace(
            wallet("42000000077"), networks=("192.0.2.0/24", "2001:db8::/32"), crypto_types=("01", "02"),
            rate_limit_per_s=100, token_rate_limit_per_s=2, webhook_url="https://wallet.example/results",
        )  # fmt: skip
        created = await site.requestors.create(ACTOR, new, NOW)
        assert created == msgspec.structs.replace(new, created_at_s=NOW)
        assert await site.requestors.get("42000000077") == created

    on_a_site(tmp_path, run)


def test_an_id_is_taken_once_however_many_ask_at_once(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        outcomes = await asyncio.gather(
            *(site.requestors.create(ACTOR, wallet("42000000077"), NOW) for _ in range(10)),
            return_exceptions=True,
        )
        refusals = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
        assert len(refusals) == 9
        assert {refusal.cause for refusal in refusals} == {"requestor_id: it is taken"}

    on_a_site(tmp_path, run)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"requestor_id": "4200000006"}, "requestor_id"),
        ({"requestor_id": "4200000006٦"}, "requestor_id"),
        ({"requestor_id": "wallet"}, "requestor_id"),
        ({"role": Role.OPERATOR}, "requestor_id"),
        ({"role": Role.AUTHORISER, "requestor_id": "A1"}, "requestor_id"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\x1b[31m"}, "name"),
        ({"networks": ("192.0.2.1/24",)}, "networks"),
        ({"networks": ("everywhere",)}, "networks"),
        ({"networks": ("192.0.2.0/24",) * 65}, "networks: at most 64"),
        ({"rate_limit_per_s": -1}, "rate_limit_per_s"),
        ({"token_rate_limit_per_s": 1_000_001}, "token_rate_limit_per_s"),
        ({"webhook_url": "http://wallet.example/"}, "webhook_url"),
        ({"webhook_url": "https://user:pass@wallet.example/"}, "webhook_url"),
        ({"webhook_url": "https://"}, "webhook_url"),
        ({"webhook_url": "https://wallet.example:0/"}, "webhook_url"),
        ({"webhook_url": "https://wallet.example:99999/"}, "webhook_url"),
        ({"webhook_url": "https://[::1/"}, "webhook_url"),
        ({"webhook_url": "https://wallet.example/" + "x" * 500}, "webhook_url"),
        ({"webhook_url": "https://wallet.example/\r\nHost: a"}, "webhook_url"),
        ({"webhook_url": "file:///etc/passwd"}, "webhook_url"),
        ({"crypto_types": ("99",)}, "crypto_types: out of 00, 01, 02, 11"),
        ({"crypto_types": ("00",)}, "crypto_types: 00 is for sandbox requestors alone"),
        (
            {"crypto_types": ("01", "02"), "hash_crc": HashMode.SHA256},
            "crypto_types: 02 does not authenticate",
        ),
        ({"crypto_types": ("11",), "hash_crc": HashMode.OFF}, "crypto_types: 11 does not authenticate"),
    ],
)
def test_check_requestor_names_the_field_and_its_rule(changes: dict[str, Any], rule: str) -> None:
    with pytest.raises(Refusal) as refusal:
        check_requestor(msgspec.structs.replace(wallet(), **changes), DEFAULT_CRYPTO_TYPES)
    assert refusal.value.rslt_cd == "1003"
    assert rule in refusal.value.cause


def test_check_requestor_takes_what_the_sandbox_may() -> None:
    sandbox = msgspec.structs.replace(
        wallet(), sandbox=True, crypto_types=("00", "01"), webhook_url="http://127.0.0.1:9/x"
    )
    check_requestor(sandbox, DEFAULT_CRYPTO_TYPES)
    check_requestor(wallet("bank-1", Role.AUTHORISER), DEFAULT_CRYPTO_TYPES)


def test_suspend_and_resume_may_be_repeated_and_change_nothing_else(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        before = await site.requestors.get(WALLET)
        for _ in range(2):
            assert (await site.requestors.suspend(ACTOR, WALLET, NOW)).suspended
        for _ in range(2):
            assert await site.requestors.resume(ACTOR, WALLET, NOW) == before
        lines = [line.action for line in await site.store.audit_page(limit=1000)]
        assert sum(action.startswith("requestor.") for action in lines) == 3  # created, suspended, resumed

    on_a_site(tmp_path, run)


def test_changes_at_once_do_not_undo_each_other(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        await asyncio.gather(
            site.requestors.suspend(ACTOR, WALLET, NOW),
            site.requestors.change(ACTOR, WALLET, NOW, rate_limit_per_s=7),
            site.requestors.change(ACTOR, WALLET, NOW, name="Renamed"),
        )
        after = await site.requestors.get(WALLET)
        assert (after.suspended, after.rate_limit_per_s, after.name) == (True, 7, "Renamed")

    on_a_site(tmp_path, run)


def test_id_role_and_birth_stay(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        for field, value in (
            ("requestor_id", "42000000077"),
            ("role", Role.OPERATOR),
            ("created_at_s", 0),
            ("x", 1),
        ):
            with pytest.raises(Refusal, match=f"{field}: this can't be changed"):
                await site.requestors.change(ACTOR, WALLET, NOW, **{field: value})

    on_a_site(tmp_path, run)


def test_a_wrong_change_changes_nothing(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        before = await site.requestors.get(WALLET)
        with pytest.raises(Refusal, match="networks"):
            await site.requestors.change(ACTOR, WALLET, NOW, name="New", networks=("nowhere",))
        assert await site.requestors.get(WALLET) == before

    on_a_site(tmp_path, run)


def test_a_credential_is_32_random_bytes_and_only_its_sha_256_is_kept(tmp_path: Path) -> None:
    async def run(site: Site) -> str:
        new = await site.requestors.add_credential(ACTOR, WALLET, NOW)
        text = new.reveal_text()
        assert len(base64.urlsafe_b64decode(text + "=")) == 32
        (kept,) = (await site.store.directory()).credentials
        assert kept.digest == hashlib.sha256(text.encode()).digest()
        assert text not in f"{new!r} {new.credential!r}"
        return text

    text = on_a_site(tmp_path, run)
    for file in tmp_path.iterdir():
        assert text.encode() not in file.read_bytes()


def test_two_credentials_may_be_live_and_a_third_when_one_is_revoked(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        first = await site.requestors.add_credential(ACTOR, WALLET, NOW)
        second = await site.requestors.add_credential(ACTOR, WALLET, NOW + 1)
        with pytest.raises(Refusal, match="2 are live already"):
            await site.requestors.add_credential(ACTOR, WALLET, NOW + 2)
        assert await site.requestors.revoke_credential(ACTOR, first.credential.credential_id, NOW + 3)
        assert not await site.requestors.revoke_credential(ACTOR, first.credential.credential_id, NOW + 4)
        third = await site.requestors.add_credential(ACTOR, WALLET, NOW + 5)
        live = await site.requestors.credentials(WALLET)
        assert [one.credential_id for one in live] == [
            second.credential.credential_id,
            third.credential.credential_id,
        ]

    on_a_site(tmp_path, run)


def test_never_more_than_two_are_live_though_many_processes_add_at_once(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        processes = [Requestors(site.store) for _ in range(8)]  # each with a lock of its own
        outcomes = await asyncio.gather(
            *(one.add_credential(ACTOR, WALLET, NOW) for one in processes), return_exceptions=True
        )
        live = {one.credential_id for one in await site.requestors.credentials(WALLET)}
        given = {
            outcome.credential.credential_id for outcome in outcomes if not isinstance(outcome, BaseException)
        }
        assert given == live
        assert len(live) <= 2
        assert all(isinstance(outcome, Refusal) for outcome in outcomes if isinstance(outcome, BaseException))

    on_a_site(tmp_path, run)


def test_an_unknown_requestor_gets_nothing(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        for call in (
            site.requestors.get("42000000077"),
            site.requestors.suspend(ACTOR, "42000000077", NOW),
            site.requestors.add_credential(ACTOR, "42000000077", NOW),
        ):
            with pytest.raises(Refusal, match="there is no such requestor"):
                await call
        assert not await site.requestors.revoke_credential(ACTOR, "0" * 16, NOW)

    on_a_site(tmp_path, run)


def test_pages_are_in_the_order_of_the_ids(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        for number in (3, 1, 2):
            await site.requestors.create(ACTOR, wallet(f"4300000000{number}"), NOW)
        first = await site.requestors.page(limit=2)
        second = await site.requestors.page(after=first[-1].requestor_id, limit=10)
        ids = [one.requestor_id for one in [*first, *second]]
        assert ids == [WALLET, "43000000001", "43000000002", "43000000003"]

    on_a_site(tmp_path, run)
