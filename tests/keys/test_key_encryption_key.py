"""What every key-encryption key promises, whichever holds it; a backend joins by its name in `BACKENDS`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.keys import made

from cpmqr.errors import ConfigError, KeyUnavailable
from cpmqr.keys.base import KeyEncryptionKey, wrap_context
from cpmqr.keys.chain import KekChain
from cpmqr.keys.software import SoftwareKek
from cpmqr.model import KeyPurpose, Secret

BACKENDS: dict[str, Callable[[str], KeyEncryptionKey]] = {
    "software": lambda label: SoftwareKek(Secret(made.key_bytes(label))),
    "chain": lambda label: KekChain([SoftwareKek(Secret(made.key_bytes(label)))]),
}

CONTEXT = wrap_context(KeyPurpose.TRANSPORT, "42000000066", "01", "00")
KEY = Secret(made.key_bytes("a key"))


@pytest.fixture(params=sorted(BACKENDS))
def make(request: pytest.FixtureRequest) -> Callable[[str], KeyEncryptionKey]:
    return BACKENDS[request.param]


@pytest.mark.parametrize("length", [16, 24, 32, 64])
def test_unwrap_gives_the_key_that_was_wrapped(make: Callable[[str], KeyEncryptionKey], length: int) -> None:
    kek, secret = make("kek"), Secret(bytes(range(length)))
    assert kek.unwrap(kek.wrap(secret, CONTEXT), CONTEXT).reveal() == secret.reveal()


def test_wrapping_twice_gives_two_texts(make: Callable[[str], KeyEncryptionKey]) -> None:
    kek = make("kek")
    assert kek.wrap(KEY, CONTEXT) != kek.wrap(KEY, CONTEXT)


def test_another_kek_is_told_by_both_check_values(make: Callable[[str], KeyEncryptionKey]) -> None:
    right, wrong = make("kek"), make("another")
    with pytest.raises(KeyUnavailable, match=f"wrapped under KEK {right.kek_id}, this one is {wrong.kek_id}"):
        wrong.unwrap(right.wrap(KEY, CONTEXT), CONTEXT)


@pytest.mark.parametrize(
    "elsewhere",
    [
        (KeyPurpose.HASH_CRC, "42000000066", "01", "00"),
        (KeyPurpose.TRANSPORT, "42000000067", "01", "00"),
        (KeyPurpose.TRANSPORT, "42000000066", "02", "00"),
        (KeyPurpose.TRANSPORT, "42000000066", "01", "01"),
        (KeyPurpose.TRANSPORT, "4200000006", "601", "00"),  # the same characters, cut elsewhere
    ],
)
def test_a_wrapped_key_does_not_open_in_another_place(
    make: Callable[[str], KeyEncryptionKey], elsewhere: tuple[KeyPurpose, str, str, str]
) -> None:
    kek = make("kek")
    with pytest.raises(KeyUnavailable, match="changed, or moved"):
        kek.unwrap(kek.wrap(KEY, CONTEXT), wrap_context(*elsewhere))


def test_no_changed_byte_and_no_truncation_goes_unseen(make: Callable[[str], KeyEncryptionKey]) -> None:
    kek = make("kek")
    wrapped = kek.wrap(KEY, CONTEXT)
    for place in range(len(wrapped)):
        changed = bytearray(wrapped)
        changed[place] ^= 1
        for broken in (bytes(changed), wrapped[:place], wrapped[place + 1 :], wrapped + bytes(place + 1)):
            with pytest.raises(KeyUnavailable):
                kek.unwrap(broken, CONTEXT)


@given(blob=st.binary(max_size=200))
def test_no_bytes_at_all_make_unwrap_fail_in_another_way(blob: bytes) -> None:
    for backend in BACKENDS.values():
        with pytest.raises(KeyUnavailable):
            backend("kek").unwrap(blob, CONTEXT)


def test_a_key_longer_than_any_key_is_not_wrapped(make: Callable[[str], KeyEncryptionKey]) -> None:
    with pytest.raises(ConfigError, match="at most 64 bytes"):
        make("kek").wrap(Secret(bytes(65)), CONTEXT)


def test_nothing_prints_the_key(make: Callable[[str], KeyEncryptionKey]) -> None:
    kek = make("kek")
    for shown in (repr(kek), str(kek), repr(KEY), f"{KEY}"):
        assert made.key_bytes("kek").hex() not in shown.lower()
        assert KEY.reveal().hex() not in shown.lower()
    assert kek.kek_id in repr(kek)


def test_contexts_of_different_names_are_different() -> None:
    fields = ("", "0", "00", "42000000066")
    contexts = {
        wrap_context(purpose, owner, name, version)
        for purpose in KeyPurpose
        for owner in fields
        for name in fields
        for version in fields
    }
    assert len(contexts) == len(KeyPurpose) * len(fields) ** 3
    assert not any(a.startswith(b) for a, b in combinations(sorted(contexts), 2) if a != b)


def test_a_chain_opens_what_is_under_any_of_its_keks_and_wraps_under_the_first() -> None:
    old, new, stranger = made.kek("old"), made.kek("new"), made.kek("stranger")
    chain = KekChain([new, old])
    assert chain.unwrap(old.wrap(KEY, CONTEXT), CONTEXT).reveal() == KEY.reveal()
    assert new.unwrap(chain.wrap(KEY, CONTEXT), CONTEXT).reveal() == KEY.reveal()
    with pytest.raises(KeyUnavailable, match=f"this one is {new.kek_id}; .*this one is {old.kek_id}"):
        chain.unwrap(stranger.wrap(KEY, CONTEXT), CONTEXT)
    with pytest.raises(ConfigError, match="no key-encryption key"):
        KekChain([])
