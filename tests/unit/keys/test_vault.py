from __future__ import annotations

import hmac

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.keys import made

from cpmqr.errors import EncodeError, KeyUnavailable
from cpmqr.keys.keyring import Keyring
from cpmqr.keys.vault import Vault
from cpmqr.model import KeyPurpose, KeyState, Token, TokenState

PAN = "5350206900000066"


def token(vault: Vault, pan: str = PAN, token_id: int = 7) -> Token:
    sealed, version = vault.seal(pan, token_id)
    return Token(
        token_id, "42000000066", vault.index(pan), sealed, version, "535020******0066", "02", "3012", "601", "",
        "bc-domestic", TokenState.ACTIVE, 0, "", made.NOON,
    )  # fmt: skip


@pytest.fixture
def vault() -> Vault:
    return Vault(made.own_keyring())


def test_index_is_an_hmac_of_the_pan_under_a_key_derived_for_it(vault: Vault) -> None:
    vault_key = made.key_bytes("vault-index   1")
    index_key = hmac.digest(vault_key, b"cpmqr vault index v1", "sha256")
    assert vault.index(PAN) == hmac.digest(index_key, PAN.encode(), "sha256")[:16]


@given(content=st.binary(max_size=300))
def test_digest_is_an_hmac_under_a_key_of_its_own_and_never_an_index(content: bytes) -> None:
    vault = Vault(made.own_keyring())
    digest_key = hmac.digest(made.key_bytes("vault-index   1"), b"cpmqr vault digest v1", "sha256")
    assert vault.digest(content) == hmac.digest(digest_key, content, "sha256")[:16]


def test_index_and_digest_of_one_text_differ(vault: Vault) -> None:
    assert vault.index(PAN) != vault.digest(PAN.encode())


def test_index_takes_any_text(vault: Vault) -> None:
    assert len(vault.index("\ud800")) == 16


@given(
    pan=st.sampled_from([PAN, "6200000000000005", "4000000000006", "6304000000000000000"]),
    token_id=st.integers(0, 2**63 - 1),
)
def test_open_gives_the_pan_that_was_sealed(pan: str, token_id: int) -> None:
    vault = Vault(made.own_keyring())
    sealed, version = vault.seal(pan, token_id)
    record = msgspec.structs.replace(
        token(vault), token_id=token_id, pan_sealed=sealed, vault_key_ver=version
    )
    assert vault.open(record).reveal() == pan


def test_sealing_twice_gives_two_texts(vault: Vault) -> None:
    assert vault.seal(PAN, 7)[0] != vault.seal(PAN, 7)[0]


def test_a_seal_opens_for_its_own_token_alone(vault: Vault) -> None:
    moved = msgspec.structs.replace(token(vault), token_id=8)
    with pytest.raises(KeyUnavailable, match="another token's"):
        vault.open(moved)


def test_no_changed_byte_and_no_truncation_of_a_seal_goes_unseen(vault: Vault) -> None:
    record = token(vault)
    for place in range(len(record.pan_sealed)):
        changed = bytearray(record.pan_sealed)
        changed[place] ^= 0x80
        for sealed in (bytes(changed), record.pan_sealed[:place]):
            with pytest.raises(KeyUnavailable) as refusal:
                vault.open(msgspec.structs.replace(record, pan_sealed=sealed))
            assert PAN not in str(refusal.value)


def test_a_seal_under_an_unknown_version_names_that_version(vault: Vault) -> None:
    with pytest.raises(KeyUnavailable, match="version '9'"):
        vault.open(msgspec.structs.replace(token(vault), vault_key_ver="9"))


def test_after_a_rotation_old_seals_open_and_new_ones_are_under_the_new_version() -> None:
    before = token(Vault(made.own_keyring()))
    newer = made.wrapped(KeyPurpose.VAULT_PAN, "aes-256", "2", at_s=made.NOON + 1)
    rotated = Vault(made.own_keyring(newer))
    assert rotated.sealing_version == "2"
    assert rotated.seal(PAN, 7)[1] == "2"
    assert rotated.open(before).reveal() == PAN


def test_a_retired_version_opens_and_a_pending_one_is_not_used() -> None:
    old = token(Vault(made.own_keyring()))
    retired = msgspec.structs.replace(
        made.wrapped(KeyPurpose.VAULT_PAN, "aes-256"), state=KeyState.RETIRED, retired_at_s=made.NOON + 9
    )
    others = [made.wrapped(purpose, algorithm) for purpose, algorithm in made.OWN[1:]]
    newer = made.wrapped(KeyPurpose.VAULT_PAN, "aes-256", "2")
    pending = made.wrapped(KeyPurpose.VAULT_PAN, "aes-256", "3", state=KeyState.PENDING)
    vault = Vault(Keyring.open([retired, newer, pending, *others], made.kek()))
    assert vault.open(old).reveal() == PAN
    assert vault.sealing_version == "2"
    with pytest.raises(KeyUnavailable):
        vault.open(msgspec.structs.replace(old, vault_key_ver="3"))


@pytest.mark.parametrize("missing", [purpose for purpose, _ in made.OWN])
def test_a_vault_names_the_key_that_it_lacks(missing: KeyPurpose) -> None:
    keys = [made.wrapped(purpose, algorithm) for purpose, algorithm in made.OWN if purpose is not missing]
    with pytest.raises(KeyUnavailable, match=rf"no active {missing} key: run `cpmqr key init`"):
        Vault(Keyring.open(keys, made.kek()))


def test_a_vault_says_that_a_key_does_not_open_rather_than_that_there_is_none() -> None:
    foreign = [made.wrapped(purpose, algorithm, under=made.kek("another")) for purpose, algorithm in made.OWN]
    with pytest.raises(KeyUnavailable, match="the vault-index key does not open: wrapped under KEK"):
        Vault(Keyring.open(foreign, made.kek()))


@pytest.mark.parametrize("token_id", [-1, 2**64])
def test_seal_refuses_a_token_id_that_does_not_fit_eight_bytes(vault: Vault, token_id: int) -> None:
    with pytest.raises(EncodeError):
        vault.seal(PAN, token_id)


def test_nothing_prints_a_pan_or_a_key(vault: Vault) -> None:
    record = token(vault)
    assert PAN not in f"{vault!r} {vault.open(record)!r} {record!r}"
