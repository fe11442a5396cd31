from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpmqr.errors import ConfigError
from cpmqr.model import KeyPurpose
from cpmqr.service.key_names import KeyName, check_name, next_version

OWNERS = {
    KeyPurpose.TRANSPORT: ("42000000066", "01"),
    KeyPurpose.HASH_CRC: ("42000000066", ""),
    KeyPurpose.WEBHOOK: ("42000000066", ""),
    KeyPurpose.ISSUER_MASTER: ("bc-domestic", ""),
}


@pytest.mark.parametrize("purpose", list(KeyPurpose))
def test_versions_counted_on_from_the_first_are_right_names_and_ever_higher(purpose: KeyPurpose) -> None:
    owner, name = OWNERS.get(purpose, ("", ""))
    taken: list[str] = []
    for _ in range(98):
        version = next_version(purpose, taken)
        check_name(KeyName(purpose, owner, name, version))
        assert version not in taken
        taken.append(version)
    assert next_version(purpose, reversed(taken)) == next_version(purpose, taken)


def test_derivation_key_indexes_are_counted_in_hex() -> None:
    assert next_version(KeyPurpose.ISSUER_MASTER, ["09"]) == "0A"
    assert next_version(KeyPurpose.ISSUER_MASTER, ["0F", "02"]) == "10"


def test_a_version_that_is_no_number_does_not_count() -> None:
    assert next_version(KeyPurpose.TRANSPORT, ["K1"]) == "00"
    assert next_version(KeyPurpose.TRANSPORT, ["K1", "04"]) == "05"


@given(
    purpose=st.sampled_from(KeyPurpose),
    owner=st.text(max_size=40),
    name=st.text(max_size=4),
    version=st.text(max_size=8),
)
def test_no_text_makes_a_check_fail_in_another_way(
    purpose: KeyPurpose, owner: str, name: str, version: str
) -> None:
    try:
        check_name(KeyName(purpose, owner, name, version))
    except ConfigError as error:
        assert version not in str(error).split() or len(version) < 3  # noqa: PT017
