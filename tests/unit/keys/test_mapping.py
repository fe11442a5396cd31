from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.keys import made
from tests.unit.keys.made import DAY_S, NOON

from cpmqr.errors import EncodeError, KeyUnavailable
from cpmqr.keys.keyring import Keyring
from cpmqr.keys.mapping import MappingValues
from cpmqr.model import KeyPurpose, KeyState, WrappedKey

TODAY = NOON // DAY_S

token_ids = st.integers(0, 2**64 - 1)
atcs = st.integers(0, 0xFFFF)
days = st.integers(0, 0xFFFF)


def version(number: str, at_s: int, retired_at_s: int | None = None) -> WrappedKey:
    key = made.wrapped(KeyPurpose.MAPPING, "aes-256", number, at_s=at_s)
    if retired_at_s is None:
        return key
    return msgspec.structs.replace(key, state=KeyState.RETIRED, retired_at_s=retired_at_s)


def mapping(*keys: WrappedKey) -> MappingValues:
    return MappingValues(Keyring.open(keys or [version("1", NOON)], made.kek()).versions(KeyPurpose.MAPPING))


@given(token_id=token_ids, atc=atcs, day=days)
def test_read_gives_back_what_the_value_points_to(token_id: int, atc: int, day: int) -> None:
    values = mapping()
    text = values.value(token_id, atc, day)
    assert len(text) == 40
    assert text == text.upper()
    assert bytes.fromhex(text)
    assert values.read(text) == (token_id, atc, day)


def test_the_value_of_an_issue_is_always_the_same_and_neighbours_look_unrelated() -> None:
    values = mapping()
    assert values.value(5, 9, TODAY) == mapping().value(5, 9, TODAY)
    made_of_neighbours = {values.value(5 + token, atc, TODAY) for token in range(16) for atc in range(256)}
    assert len(made_of_neighbours) == 16 * 256
    assert len({text[:8] for text in made_of_neighbours}) > 16 * 250


def test_no_changed_bit_goes_unseen() -> None:
    values = mapping()
    number = int(values.value(5, 9, TODAY), 16)
    for bit in range(160):
        assert values.read(f"{number ^ (1 << bit):040X}") is None


@given(text=st.text(max_size=50) | st.from_regex(r"[0-9A-Fa-f]{40}", fullmatch=True))
def test_what_nobody_issued_reads_as_none(text: str) -> None:
    assert mapping().read(text) is None


def test_the_value_of_another_gateway_reads_as_none() -> None:
    assert mapping().read(mapping(version("other", NOON)).value(5, 9, TODAY)) is None


@pytest.mark.parametrize(
    ("token_id", "atc", "day"),
    [(-1, 0, 0), (2**64, 0, 0), (0, -1, 0), (0, 65_536, 0), (0, 0, -1), (0, 0, 65_536)],
)
def test_value_refuses_numbers_that_do_not_fit(token_id: int, atc: int, day: int) -> None:
    with pytest.raises(EncodeError):
        mapping().value(token_id, atc, day)


def test_a_retry_after_a_rotation_gets_the_handle_of_the_first_answer() -> None:
    before = mapping(version("1", NOON - 90 * DAY_S)).value(5, 9, TODAY)
    rotated = mapping(version("1", NOON - 90 * DAY_S), version("2", NOON))
    assert rotated.value(5, 9, TODAY) == before
    assert rotated.read(before) == (5, 9, TODAY)


def test_a_new_version_serves_from_the_next_midnight_and_both_read() -> None:
    old, new = version("1", NOON - 90 * DAY_S), version("2", NOON)
    rotated = mapping(old, new)
    tomorrow = rotated.value(5, 9, TODAY + 1)
    assert tomorrow == mapping(new).value(5, 9, TODAY + 1)
    assert tomorrow != mapping(old).value(5, 9, TODAY + 1)
    assert rotated.read(tomorrow) == (5, 9, TODAY + 1)
    assert mapping(old).read(tomorrow) is None


def test_a_version_activated_in_the_last_minute_of_a_day_waits_for_the_day_after_the_next() -> None:
    midnight = (TODAY + 1) * DAY_S
    old = version("1", NOON - 90 * DAY_S)
    for before_midnight_s, first_day in ((61, TODAY + 1), (60, TODAY + 2), (1, TODAY + 2)):
        new = version("2", midnight - before_midnight_s)
        values = mapping(old, new)
        assert values.value(5, 9, first_day) == mapping(new).value(5, 9, first_day)
        assert values.value(5, 9, first_day - 1) == mapping(old).value(5, 9, first_day - 1)


def test_the_first_version_serves_at_once() -> None:
    assert mapping(version("1", NOON)).value(5, 9, TODAY) == mapping(version("1", NOON - DAY_S)).value(
        5, 9, TODAY
    )


def test_retiring_a_version_changes_no_value_of_its_days() -> None:
    old, new = version("1", NOON - 90 * DAY_S), version("2", NOON - 30 * DAY_S)
    before = mapping(old, new)
    after = mapping(version("1", NOON - 90 * DAY_S, retired_at_s=NOON), new)
    for day in range(TODAY - 95, TODAY + 3):
        assert after.value(5, 9, day) == before.value(5, 9, day)


def test_where_the_newest_is_retired_the_one_before_serves_the_days_after() -> None:
    old, spoilt = version("1", NOON - 90 * DAY_S), version("2", NOON - 5 * DAY_S, retired_at_s=NOON)
    values = mapping(old, spoilt)
    assert values.value(5, 9, TODAY) == mapping(spoilt).value(5, 9, TODAY)
    assert values.value(5, 9, TODAY + 1) == mapping(old).value(5, 9, TODAY + 1)


def test_a_pending_version_neither_makes_nor_reads() -> None:
    pending = made.wrapped(KeyPurpose.MAPPING, "aes-256", "2", state=KeyState.PENDING)
    with pytest.raises(KeyUnavailable):
        mapping(pending)
    values = mapping(version("1", NOON), pending)
    active = msgspec.structs.replace(pending, state=KeyState.ACTIVE, activated_at_s=NOON - DAY_S)
    assert values.read(mapping(active).value(5, 9, TODAY)) is None
