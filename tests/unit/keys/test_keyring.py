from __future__ import annotations

import msgspec
from tests.unit.keys import made

from cpmqr.keys.keyring import Keyring
from cpmqr.model import KeyPurpose, KeyState

TRANSPORT = KeyPurpose.TRANSPORT
WALLET = "42000000066"


def transport(version: str, state: KeyState = KeyState.ACTIVE, at_s: int = made.NOON):  # type: ignore[no-untyped-def]
    return made.wrapped(TRANSPORT, "aes-256", version, owner=WALLET, name="01", state=state, at_s=at_s)


def test_find_gives_the_newest_active_version_where_none_is_named() -> None:
    keyring = Keyring.open(
        [transport("00"), transport("02", at_s=made.NOON + 5), transport("01", at_s=made.NOON + 3)],
        made.kek(),
    )
    entry = keyring.find(TRANSPORT, WALLET, "01")
    assert entry is not None
    assert entry.version == "02"


def test_of_two_versions_activated_in_one_second_the_higher_is_the_newer() -> None:
    index = KeyPurpose.VAULT_PAN
    keys = [made.wrapped(index, "aes-256", version) for version in ("9", "10", "8")]
    entry = Keyring.open(keys, made.kek()).find(index)
    assert entry is not None
    assert entry.version == "10"


def test_find_gives_a_named_version_in_whatever_state_and_says_which() -> None:
    keyring = Keyring.open([transport("00", KeyState.RETIRED), transport("01", KeyState.PENDING)], made.kek())
    retired, pending = (
        keyring.find(TRANSPORT, WALLET, "01", "00"),
        keyring.find(TRANSPORT, WALLET, "01", "01"),
    )
    assert retired is not None
    assert pending is not None
    assert (retired.state, pending.state) == (KeyState.RETIRED, KeyState.PENDING)
    assert not retired.live
    assert keyring.find(TRANSPORT, WALLET, "01") is None


def test_find_knows_a_key_by_all_its_names() -> None:
    keyring = Keyring.open([transport("00")], made.kek())
    assert keyring.find(TRANSPORT, WALLET, "01", "00") is not None
    for wrong in (
        (TRANSPORT, WALLET, "02", "00"),
        (TRANSPORT, "42000000067", "01", "00"),
        (KeyPurpose.HASH_CRC, WALLET, "01", "00"),
    ):
        assert keyring.find(*wrong) is None


def test_versions_are_active_ones_first_then_retired_then_pending() -> None:
    keys = [
        transport("00", KeyState.PENDING),
        transport("01", KeyState.RETIRED),
        transport("02"),
        transport("03", at_s=made.NOON + 1),
    ]
    keyring = Keyring.open(keys, made.kek())
    assert [entry.version for entry in keyring.versions(TRANSPORT, WALLET, "01")] == ["03", "02", "01", "00"]
    assert keyring.versions(TRANSPORT, WALLET, "99") == []
    assert keyring.owners(TRANSPORT) == [WALLET]


def test_a_key_that_does_not_open_is_reported_and_the_others_work() -> None:
    foreign = made.wrapped(TRANSPORT, "aes-256", "09", owner=WALLET, name="01", under=made.kek("another"))
    moved = msgspec.structs.replace(transport("00"), version="08")
    mislabelled = msgspec.structs.replace(transport("07"), kcv="000000")
    wrong_length = msgspec.structs.replace(transport("06"), algorithm="aes-128")
    keyring = Keyring.open([foreign, moved, mislabelled, wrong_length, transport("01")], made.kek())
    assert len(keyring) == 1
    causes = {unusable.key.version: unusable.cause for unusable in keyring.unusable}
    assert causes["09"] == f"wrapped under KEK {made.kek('another').kek_id}, this one is {made.kek().kek_id}"
    assert "moved" in causes["08"]
    assert causes["07"].endswith("recorded was 000000")
    assert "aes-128 takes a key of 16 bytes" in causes["06"]


def test_nothing_prints_a_key() -> None:
    key = transport("00")
    keyring = Keyring.open([key, msgspec.structs.replace(key, version="05")], made.kek())
    entry = keyring.find(TRANSPORT, WALLET, "01", "00")
    assert entry is not None
    shown = f"{keyring!r} {entry!r} {keyring.unusable!r} {key!r}"
    assert entry.secret.reveal().hex() not in shown
    assert repr(entry.secret.reveal())[2:-1] not in shown
    assert entry.kcv in repr(entry)
