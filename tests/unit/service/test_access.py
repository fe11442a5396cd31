"""Who may ask: credentials as HTTP brings them, roles, networks, key versions, and a directory with a bad record."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import msgspec
import pytest
from tests import by_hand
from tests.in_process import House, run

from cpmqr.crypto.suites import DEFAULT_CRYPTO_TYPES
from cpmqr.errors import KeyUnavailable, Refusal
from cpmqr.keys.keyring import Keyring
from cpmqr.keys.software import SoftwareKek
from cpmqr.model import Credential, KeyPurpose, KeyState, Role, Secret
from cpmqr.service.access import CREDENTIAL_CHARACTERS_MAX, Access, Principal
from cpmqr.service.key_admin import wrap_key
from cpmqr.service.key_names import KeyName
from cpmqr.store.base import Actor

ACTOR = Actor("test", "test")


def refused(access: Access, authorization: str | None) -> str:
    with pytest.raises(Refusal) as caught:
        access.identify(authorization)
    assert caught.value.rslt_cd == "2001"
    return caught.value.cause


def kek_of(house: House) -> SoftwareKek:
    return SoftwareKek.from_file(Path(house.gateway.settings.storage.data) / "kek.key")


def own(house: House) -> Principal:
    return house.gateway.access.current.principals[house.wallet.known["requestor_id"]]


async def change_own(house: House, **changes: object) -> None:
    changed = msgspec.structs.replace(own(house).requestor, **changes)
    await house.change(house.gateway.store.put_requestor(ACTOR, changed, 0))


def test_a_credential_is_known_with_and_without_a_scheme_word_and_with_blanks_around_it(
    tmp_path: Path,
) -> None:
    async def scenario(house: House) -> None:
        credential = house.wallet.authorization
        for written in (
            credential,
            f"Bearer {credential}",
            f"bearer {credential}",
            f"BEARER   {credential}",
            f"  {credential}  ",
            f"\t{credential}",
            f"  bearer  {credential}  ",
        ):
            assert house.gateway.access.identify(written) is own(house)

    run(tmp_path, scenario)


def test_anything_else_is_2001_with_one_text_that_does_not_tell_near_from_far(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        access, credential = house.gateway.access, house.wallet.authorization
        causes = {
            refused(access, written)
            for written in (
                " ",
                "Bearer",
                "Bearer ",
                "Basic " + credential,
                "Bearer" + credential,
                "Bearer Bearer " + credential,
                credential[:-1],
                credential + "x",
                credential.swapcase(),
                credential + ", " + credential,
                '"' + credential + '"',
                "\x00" + credential,
                "x" * 10_000,
                "가" * 100,
                "\ud800",
                hashlib.sha256(credential.encode()).hexdigest(),
            )
        }
        assert causes == {"the credential is unknown or revoked"}
        assert {refused(access, missing) for missing in (None, "")} == {"no Authorization header was sent"}

    run(tmp_path, scenario)


@pytest.mark.parametrize("text", ["k" * CREDENTIAL_CHARACTERS_MAX, "미리 공유된 값", "a b c", "ß"])
def test_a_pre_shared_credential_of_any_text_is_known_by_the_bytes_of_its_header(
    tmp_path: Path, text: str
) -> None:
    async def scenario(house: House) -> None:
        digest = hashlib.sha256(text.encode()).digest()
        credential = Credential("c1", house.wallet.known["requestor_id"], digest, 0)
        await house.change(house.gateway.store.add_credential(ACTOR, credential))
        header = text.encode().decode("latin-1")  # as a server hands header bytes over
        assert house.gateway.access.identify(header) is own(house)

    run(tmp_path, scenario)


def test_a_revoked_credential_is_2001_from_the_next_refresh_and_its_twin_stays(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        access, store = house.gateway.access, house.gateway.store
        digest = hashlib.sha256(b"second").digest()
        added = Credential("c2", house.wallet.known["requestor_id"], digest, 0)
        await house.change(store.add_credential(ACTOR, added))
        assert access.identify("second") is own(house)
        assert await store.revoke_credential(ACTOR, "c2", 1)
        assert await access.refresh()
        assert refused(access, "second") == "the credential is unknown or revoked"
        assert access.identify(house.wallet.authorization) is own(house)

    run(tmp_path, scenario)


def test_a_running_gateway_forgets_a_revoked_credential_within_five_seconds(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        store = house.gateway.store
        credential_id = next(
            credential.credential_id
            for credential in (await store.directory()).credentials
            if credential.requestor_id == house.wallet.known["requestor_id"]
        )
        await store.revoke_credential(ACTOR, credential_id, 1)
        for _ in range(50):
            await asyncio.sleep(0.1)
            if await house.code() == "2001":
                return
        pytest.fail("still known after 5 s")

    run(tmp_path, scenario)


def test_a_refresh_loads_the_directory_only_when_it_has_changed(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        access = house.gateway.access
        before = access.current
        assert not await access.refresh()
        assert access.current is before
        await house.gateway.store.put_requestor(
            ACTOR, msgspec.structs.replace(own(house).requestor, name="renamed"), 0
        )
        assert await access.refresh()
        assert access.current.version > before.version
        assert own(house).requestor.name == "renamed"

    run(tmp_path, scenario)


def test_before_the_first_refresh_there_is_no_directory_and_requests_get_9002(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        access = Access(
            house.gateway.store, lambda keys: Keyring.open(keys, kek_of(house)), DEFAULT_CRYPTO_TYPES
        )
        with pytest.raises(KeyUnavailable):
            access.identify("x")
        with pytest.raises(KeyUnavailable):
            _ = access.current

    run(tmp_path, scenario)


def test_another_key_encryption_key_opens_nothing_and_the_old_snapshot_stays(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        other = SoftwareKek(Secret(bytes(32)))
        access = Access(house.gateway.store, lambda keys: Keyring.open(keys, other), DEFAULT_CRYPTO_TYPES)
        with pytest.raises(KeyUnavailable, match="vault"):
            await access.refresh()

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("name", "roles", "admitted"),
    [
        ("authoriser", (Role.REQUESTOR,), False),
        ("authoriser", (Role.REQUESTOR, Role.AUTHORISER), True),
        ("operator", (Role.AUTHORISER,), False),
        ("operator", (Role.OPERATOR,), True),
    ],
)
def test_a_role_is_admitted_only_where_it_is_asked_for(
    tmp_path: Path, name: str, roles: tuple[Role, ...], admitted: bool
) -> None:
    async def scenario(house: House) -> None:
        authorization = house.wallet.known[name]["authorization"]
        if admitted:
            principal = house.gateway.access.authenticate(authorization, "127.0.0.1", *roles)
            assert principal.requestor.role == name
            return
        with pytest.raises(Refusal) as caught:
            house.gateway.access.authenticate(authorization, "127.0.0.1", *roles)
        assert caught.value.rslt_cd == "2002"

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("10.1.2.3", "0000"),
        ("10.255.255.255", "0000"),
        ("2001:db8::1", "0000"),
        ("::ffff:10.1.2.3", "0000"),
        ("11.0.0.0", "2002"),
        ("9.255.255.255", "2002"),
        ("2001:db9::1", "2002"),
        ("", "2002"),
        ("unix", "2002"),
        ("10.1.2.3, 11.0.0.0", "2002"),
    ],
)
def test_a_requestor_with_networks_is_served_from_these_alone(tmp_path: Path, source: str, code: str) -> None:
    async def scenario(house: House) -> None:
        await change_own(house, networks=("10.0.0.0/8", "2001:db8::/32"))
        assert (await house.send(house.wallet.signed(), source=source)).rslt_cd == code

    run(tmp_path, scenario)


def test_only_active_key_versions_open_and_the_others_are_remembered_by_their_state(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        principal = own(house)
        assert {version for _, version in principal.openers} == {"00"}
        assert principal.hash_keys.keys() == {"00"}
        assert principal.dead_versions == {
            version: state for state, version in house.wallet.known["refused_key_versions"].items()
        }

    run(tmp_path, scenario)


@pytest.mark.parametrize("missing", [KeyPurpose.TRANSPORT, KeyPurpose.HASH_CRC])
def test_a_key_version_without_a_key_for_the_type_or_for_hash_crc_is_3002(
    tmp_path: Path, missing: KeyPurpose
) -> None:
    async def scenario(house: House) -> None:
        requestor_id = house.wallet.known["requestor_id"]
        present = {KeyPurpose.TRANSPORT: ("01", "aes-256"), KeyPurpose.HASH_CRC: ("", "hmac-sha256")}
        del present[missing]
        keys = [
            wrap_key(
                kek_of(house),
                KeyName(purpose, requestor_id, name, "05"),
                algorithm,
                Secret(bytes(32)),
                KeyState.ACTIVE,
                0,
            )
            for purpose, (name, algorithm) in present.items()
        ]
        await house.change(house.gateway.store.put_keys(ACTOR, keys, "key.test", 0))
        assert await house.code(CRYPTO_KEY_VER="05", key=bytes(32)) == "3002"
        assert await house.code() == "0000"

    run(tmp_path, scenario)


def test_a_new_key_version_serves_beside_the_old_one(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        requestor_id = house.wallet.known["requestor_id"]
        keys = [
            wrap_key(
                kek_of(house),
                KeyName(purpose, requestor_id, name, "05"),
                algorithm,
                Secret(bytes(range(32))),
                KeyState.ACTIVE,
                0,
            )
            for purpose, name, algorithm in (
                (KeyPurpose.TRANSPORT, "01", "aes-256"),
                (KeyPurpose.HASH_CRC, "", "hmac-sha256"),
            )
        ]
        await house.change(house.gateway.store.put_keys(ACTOR, keys, "key.test", 0))
        members = house.wallet.members(CRYPTO_KEY_VER="05", key=bytes(range(32)))
        signed = {**members, "HASH_CRC": by_hand.hash_crc(bytes(range(32)), members, by_hand.COVERED)}
        assert (await house.send(signed)).rslt_cd == "0000"
        assert (await house.send(house.wallet.sign(members))).rslt_cd == "3004"
        assert await house.code() == "0000"

    run(tmp_path, scenario)


def test_a_key_that_does_not_fit_its_scheme_is_dead_and_stops_neither_the_others_nor_revocation(
    tmp_path: Path,
) -> None:
    async def scenario(house: House) -> None:
        name = KeyName(KeyPurpose.TRANSPORT, house.wallet.known["requestor_id"], "01", "06")
        short = wrap_key(kek_of(house), name, "aes-128", Secret(bytes(16)), KeyState.ACTIVE, 0)
        await house.change(house.gateway.store.put_keys(ACTOR, [short], "key.test", 0))
        assert "06" in own(house).dead_versions
        assert await house.code(CRYPTO_KEY_VER="06", key=bytes(32)) == "3002"
        assert await house.code() == "0000"

    run(tmp_path, scenario)


def test_a_network_that_can_not_be_read_admits_nobody_and_stops_nobody_else(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        await change_own(house, networks=("not a network",))
        assert (await house.send(house.wallet.signed())).rslt_cd == "2002"
        suspended = house.wallet.known["suspended_requestor"]
        members = house.wallet.signed(REQUESTOR_ID=suspended["requestor_id"])
        assert (await house.send(members, authorization=suspended["authorization"])).rslt_cd == "2003"

    run(tmp_path, scenario)


def test_nothing_that_prints_shows_a_key_or_a_credential(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        snapshot = house.gateway.access.current
        shown = repr(snapshot) + repr(own(house)) + repr(snapshot.issuer) + repr(snapshot.vault)
        known = house.wallet.known
        secrets = [known["authorization"], known["hash_crc"]["key_hex"]]
        secrets += [key["key_hex"] for key in known["crypto_types"].values()]
        secrets += [key["master_key_hex"] for key in known["issuer_keys"].values()]
        assert not [secret for secret in secrets if secret in shown]
        assert "\\x" not in shown

    run(tmp_path, scenario)
