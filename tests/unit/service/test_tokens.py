from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.keys.made import key_bytes
from tests.unit.service.site import ACTOR, NOW, WALLET, Site, on_a_site, order

from cpmqr.errors import ConfigError, Refusal
from cpmqr.model import ATC_MAX, TokenPan, TokenState, luhn_ok
from cpmqr.service.tokens import (
    BinRange,
    TokenRules,
    Tokens,
    check_order,
    make_pan,
    read_token_ref,
    standing,
    token_ref,
)

PAN = TokenPan("5350206900000066")


def test_provision_stores_a_given_pan_sealed_and_finds_it_again(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        tokens = await site.tokens()
        new = await tokens.provision(ACTOR, order(pan=PAN, funding_ref="acct-1", psn="02"), NOW)
        assert new.pan == PAN
        found = await tokens.by_pan(PAN)
        assert found == new.token == await tokens.get(new.token.token_id)
        assert (found.pan_masked, found.profile, found.atc) == ("535020******0066", "bc-domestic", 0)
        assert (await site.vault()).open(found) == PAN
        assert PAN.reveal().encode() not in found.pan_sealed

    on_a_site(tmp_path, run)


def test_no_file_of_the_database_holds_a_pan_in_clear(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        tokens = await site.tokens()
        new = await tokens.provision(ACTOR, order(pan=PAN), NOW)
        await tokens.suspend(ACTOR, new.token.token_id, NOW)

    on_a_site(tmp_path, run)
    for file in tmp_path.iterdir():
        assert PAN.reveal().encode() not in file.read_bytes()


def test_provision_makes_a_pan_in_the_range_with_a_right_check_digit(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        tokens = await site.tokens(BinRange("535020"), BinRange("62000012", 19))
        for prefix, digits in (("", 16), ("535020", 16), ("620000", 19), ("62000012", 19)):
            new = await tokens.provision(ACTOR, order(bin_prefix=prefix), NOW)
            pan = new.pan.reveal()
            assert pan.startswith(prefix)
            assert len(pan) == digits
            assert luhn_ok(pan)
            assert pan not in repr(new)

    on_a_site(tmp_path, run)


@given(pan_digits=st.integers(13, 19), seed=st.integers(0, 2**64))
def test_every_made_pan_is_one(pan_digits: int, seed: int) -> None:
    pan = make_pan(BinRange("535020", pan_digits), lambda count: key_bytes(str(seed), count)).reveal()
    assert TokenPan(pan)
    assert len(pan) == pan_digits


def test_a_pan_is_never_given_twice_not_even_a_deleted_one(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        tokens = await site.tokens()
        new = await tokens.provision(ACTOR, order(pan=PAN), NOW)
        await tokens.delete(ACTOR, new.token.token_id, NOW)
        with pytest.raises(Refusal, match="1003: pan: there is a token with this PAN already"):
            await tokens.provision(ACTOR, order(pan=PAN), NOW)

    on_a_site(tmp_path, run)


def test_twenty_at_once_for_one_pan_make_one_token(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        tokens = await site.tokens()
        outcomes = await asyncio.gather(
            *(tokens.provision(ACTOR, order(pan=PAN), NOW) for _ in range(20)), return_exceptions=True
        )
        assert sum(isinstance(outcome, Refusal) for outcome in outcomes) == 19
        assert len((await tokens.page()).tokens) == 1

    on_a_site(tmp_path, run)


def test_a_made_pan_that_is_taken_is_made_again_until_the_range_is_full(tmp_path: Path) -> None:
    """With entropy that gives few numbers, chance repeats itself at once."""

    async def run(site: Site) -> None:
        calls = iter(range(10**9))

        def poor_entropy(count: int) -> bytes:
            turn = next(calls)
            return (turn % 5).to_bytes(count, "big") if count == 16 else key_bytes(f"{turn}", count)

        rules = TokenRules({WALLET}, ("bc-domestic",), (BinRange("535020"),))
        tokens = Tokens(site.store, await site.vault(), rules, poor_entropy)
        outcomes = await tokens.provision_many(ACTOR, [order() for _ in range(7)], NOW)
        made = [outcome for outcome in outcomes if not isinstance(outcome, Refusal)]
        assert len({new.pan.reveal() for new in made}) == len(made) == 5
        refusals = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
        assert [refusal.cause for refusal in refusals] == ["pan: the BIN range is as good as full"] * 2

    on_a_site(tmp_path, run)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"requestor_id": "42000000067"}, "requestor_id"),
        ({"expiry": "301"}, "expiry"),
        ({"expiry": "3013"}, "expiry"),
        ({"expiry": "3000"}, "expiry"),
        ({"expiry": "30١٢"}, "expiry"),
        ({"expiry": "2409"}, "expiry: this month or later"),
        ({"psn": "2"}, "psn"),
        ({"psn": "0²"}, "psn"),
        ({"service_code": "60"}, "service_code"),
        ({"discretionary": "00000000000000"}, "discretionary: at most 13 digits"),
        ({"discretionary": "12D4"}, "discretionary"),
        ({"profile": "visa"}, "profile"),
        ({"funding_ref": "x" * 65}, "funding_ref: at most 64"),
        ({"funding_ref": "a\nb"}, "funding_ref"),
        ({"funding_ref": "5350206900000066"}, "this is a card number"),
        ({"funding_ref": "5350-2069 0000 0066"}, "this is a card number"),
    ],
)
def test_check_order_names_the_field_and_its_rule_and_no_value(changes: dict[str, Any], rule: str) -> None:
    rules = TokenRules({WALLET}, ("bc-domestic",), ())
    with pytest.raises(Refusal) as refusal:
        check_order(order(pan=PAN, **changes), rules, NOW)
    assert refusal.value.rslt_cd == "1003"
    assert rule in refusal.value.cause
    (value,) = changes.values()
    assert len(value) < 4 or value not in refusal.value.cause


def test_check_order_takes_a_token_that_ends_this_month_in_korea() -> None:
    rules = TokenRules({WALLET}, ("bc-domestic",), ())
    check_order(order(pan=PAN, expiry="2410"), rules, NOW)  # NOW is in October 2024
    last_hours_of_october = 1_730_386_800  # 2024-11-01 00:00 in Korea, 15:00 the day before in UTC
    check_order(order(pan=PAN, expiry="2410"), rules, last_hours_of_october - 1)
    with pytest.raises(Refusal, match="expiry"):
        check_order(order(pan=PAN, expiry="2410"), rules, last_hours_of_october)


def test_discretionary_zeros_fill_track_2_to_37_characters_beside_any_pan(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        for pan_digits in range(13, 20):
            new = await (await site.tokens(BinRange("535020", pan_digits))).provision(ACTOR, order(), NOW)
            assert pan_digits + 1 + 4 + 3 + len(new.token.discretionary) == 37
            assert not new.token.discretionary.strip("0")

    on_a_site(tmp_path, run)


def test_without_a_range_a_pan_must_be_given(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        tokens = Tokens(site.store, await site.vault(), TokenRules({WALLET}, ("bc-domestic",)))
        with pytest.raises(Refusal, match="no such BIN range"):
            await tokens.provision(ACTOR, order(), NOW)

    on_a_site(tmp_path, run)


@pytest.mark.parametrize(
    ("prefix", "pan_digits"),
    [("53502", 16), ("53502x", 16), ("535020", 12), ("535020", 20), ("535020000000", 16)],
)
def test_a_range_that_can_not_be_one_is_refused(prefix: str, pan_digits: int) -> None:
    with pytest.raises(ConfigError):
        BinRange(prefix, pan_digits)


MOVES = {
    ("active", "suspend"): "suspended",
    ("active", "resume"): "active",
    ("active", "delete"): "deleted",
    ("suspended", "suspend"): "suspended",
    ("suspended", "resume"): "active",
    ("suspended", "delete"): "deleted",
    ("deleted", "suspend"): "4003",
    ("deleted", "resume"): "4003",
    ("deleted", "delete"): "deleted",
}
WAY_TO = {"active": (), "suspended": ("suspend",), "deleted": ("delete",)}


@pytest.mark.parametrize(("state", "move"), sorted(MOVES))
def test_every_move_from_every_state_also_repeated(tmp_path: Path, state: str, move: str) -> None:
    async def run(site: Site) -> None:
        tokens = await site.tokens()
        token_id = (await tokens.provision(ACTOR, order(), NOW)).token.token_id
        moves = {"suspend": tokens.suspend, "resume": tokens.resume, "delete": tokens.delete}
        for step in WAY_TO[state]:
            await moves[step](ACTOR, token_id, NOW)
        expected = MOVES[state, move]
        for _ in range(2):
            if expected == "4003":
                with pytest.raises(Refusal, match="4003"):
                    await moves[move](ACTOR, token_id, NOW)
            else:
                assert (await moves[move](ACTOR, token_id, NOW)).state == expected
        assert (await tokens.get(token_id)).state == ("deleted" if expected == "4003" else expected)

    on_a_site(tmp_path, run)


def test_moves_at_once_leave_a_deleted_token_deleted(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        tokens = await site.tokens()
        token_id = (await tokens.provision(ACTOR, order(), NOW)).token.token_id
        moves = [tokens.suspend, tokens.resume, tokens.delete] * 10
        outcomes = await asyncio.gather(
            *(move(ACTOR, token_id, NOW) for move in moves), return_exceptions=True
        )
        assert all(not isinstance(outcome, Refusal) or outcome.rslt_cd == "4003" for outcome in outcomes)
        assert not [
            outcome
            for outcome in outcomes
            if isinstance(outcome, Exception) and not isinstance(outcome, Refusal)
        ]
        assert (await tokens.get(token_id)).state is TokenState.DELETED

    on_a_site(tmp_path, run)


def test_an_unknown_token_is_4001_whatever_is_asked_of_it(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        tokens = await site.tokens()
        for token_id in (0, 5, -1, 2**63 - 1, 2**63, 2**70):
            for call in (
                tokens.get(token_id),
                tokens.suspend(ACTOR, token_id, NOW),
                tokens.resume(ACTOR, token_id, NOW),
                tokens.delete(ACTOR, token_id, NOW),
            ):
                with pytest.raises(Refusal, match="4001"):
                    await call
        with pytest.raises(Refusal, match="4001"):
            await tokens.by_pan(PAN)

    on_a_site(tmp_path, run)


def test_pages_join_to_the_whole_list_and_select(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        tokens = await site.tokens()
        made = await tokens.provision_many(ACTOR, [order() for _ in range(25)], NOW)
        ids = sorted(new.token.token_id for new in made if not isinstance(new, Refusal))
        await tokens.suspend(ACTOR, ids[3], NOW)
        seen: list[int] = []
        after: int | None = 0
        while after is not None:
            page = await tokens.page(after=after, limit=10)
            seen += [token.token_id for token in page.tokens]
            after = page.after
        assert seen == ids
        suspended = await tokens.page(state=TokenState.SUSPENDED)
        assert [token.token_id for token in suspended.tokens] == [ids[3]]
        assert (await tokens.page(requestor_id="42000000067")).tokens == ()
        for limit in (0, 1001):
            with pytest.raises(Refusal, match="limit"):
                await tokens.page(limit=limit)

    on_a_site(tmp_path, run)


def test_standing_tells_expiry_and_exhaustion_of_an_active_token_alone(tmp_path: Path) -> None:
    import msgspec

    async def run(site: Site) -> None:
        token = (await (await site.tokens()).provision(ACTOR, order(), NOW)).token
        for changes, expected in (
            ({}, "active"),
            ({"expiry": "2409"}, "expired"),
            ({"expiry": "2410"}, "active"),
            ({"atc": ATC_MAX - 1}, "active"),
            ({"atc": ATC_MAX}, "exhausted"),
            ({"atc": ATC_MAX, "state": TokenState.SUSPENDED}, "suspended"),
        ):
            assert standing(msgspec.structs.replace(token, **changes), NOW) == expected

    on_a_site(tmp_path, run)


@given(token_id=st.integers(0, 2**63 - 1))
def test_a_token_ref_reads_back(token_id: int) -> None:
    assert read_token_ref(token_ref(token_id)) == token_id
    assert len(token_ref(token_id)) == 16


@pytest.mark.parametrize(
    "text", ["", "0" * 15, "0" * 17, "g" * 16, "0x" + "0" * 14, "٠" * 16, "-" + "0" * 15, " " * 16]
)
def test_what_is_no_token_ref_is_4001(text: str) -> None:
    with pytest.raises(Refusal, match="4001"):
        read_token_ref(text)


def test_a_batch_has_a_limit(tmp_path: Path) -> None:
    async def run(site: Site) -> None:
        with pytest.raises(Refusal, match="at most 500"):
            await (await site.tokens()).provision_many(ACTOR, [order()] * 501, NOW)

    on_a_site(tmp_path, run)
