"""Whatever a requestor with the right keys sends, the answer is one of the contract's, and never a fault of ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import by_hand
from tests.in_process import House, opened

from cpmqr.service.issue import Reply
from cpmqr.wire.codes import CODES

Send = Callable[..., Reply]
NAMES = [*sorted(by_hand.COVERED), *by_hand.TABLE_SPELLING.values(), "HASH_CRC", "NEW"]
TEXTS = st.one_of(
    st.text(max_size=50), st.sampled_from(["", "1", "00", "01", "02", "Q200", "JSON", "20261123090000"])
)
VALUES = st.one_of(
    TEXTS, TEXTS, st.none(), st.integers(), st.lists(TEXTS, max_size=2), st.dictionaries(TEXTS, TEXTS)
)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[tuple[House, Send]]:
    """A house on a loop of its own, and a way to send that waits for the answer."""
    with asyncio.Runner() as runner, contextlib.ExitStack() as stack:
        entered = opened(tmp_path)
        made = runner.run(entered.__aenter__())
        stack.callback(lambda: runner.run(entered.__aexit__(None, None, None)))
        yield made, lambda *arguments, **options: runner.run(made.send(*arguments, **options))


def is_an_answer(reply: Reply) -> None:
    response = by_hand.response_of(reply.body)
    assert response["RSLT_CD"] == reply.rslt_cd
    assert reply.rslt_cd != "9999"
    assert reply.http_status == CODES[reply.rslt_cd].http_status
    assert (reply.rslt_cd == "0000") == ("CPMQR_DATA" in response)


def test_any_members_signed_or_not(house: tuple[House, Send]) -> None:
    made, send = house

    @given(
        st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4),
        st.sets(st.sampled_from(NAMES), max_size=2),
        st.booleans(),
    )
    @settings(max_examples=150)
    def holds(changes: dict[str, Any], dropped: set[str], signed: bool) -> None:
        members: dict[str, Any] = {**made.wallet.members(), **changes}
        for name in dropped:
            members.pop(name, None)
        if signed:
            texts = {name: value for name, value in members.items() if isinstance(value, str)}
            members |= {"HASH_CRC": made.wallet.sign(texts)["HASH_CRC"]}
        is_an_answer(send(members))

    holds()


def test_any_plaintext_or_bytes_under_each_scheme(house: tuple[House, Send]) -> None:
    made, send = house
    parts = st.one_of(TEXTS, st.sampled_from([made.wallet.pan(), by_hand.korean_now(), "T", " "]))

    @given(
        st.sampled_from(["00", "01", "02", "11"]),
        st.one_of(st.lists(parts, max_size=5).map("|".join), st.text(max_size=80)),
        st.one_of(st.none(), st.binary(max_size=100)),
    )
    @settings(max_examples=150)
    def holds(crypto_type: str, plaintext: str, sealed: bytes | None) -> None:
        reply = send(
            made.wallet.signed(crypto_type=crypto_type, trace_no="T", plaintext=plaintext, sealed=sealed)
        )
        is_an_answer(reply)

    holds()


def test_any_header_and_body(house: tuple[House, Send]) -> None:
    _, send = house
    latin = st.text(st.characters(max_codepoint=255), max_size=40)

    @given(
        st.one_of(st.none(), latin),
        st.one_of(latin, st.just("application/json")),
        st.binary(max_size=200),
        latin,
    )
    def holds(authorization: str | None, content_type: str, body: bytes, wish: str) -> None:
        is_an_answer(send(body=body, content_type=content_type, authorization=authorization or None))
        is_an_answer(send(body=body, content_type=content_type, sandbox_result=wish))

    holds()
