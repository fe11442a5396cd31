"""An exchange explained after the fact: what the store, the limits and the headers decided stands at its step."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests import by_hand, in_process

from cpmqr.service.explain import Explanation
from cpmqr.service.explain_exchange import TITLES_KO, explain_exchange
from cpmqr.service.issue import Call, Reply
from cpmqr.wire import codes


async def exchange(
    house: in_process.House, members: dict[str, str], **options: str
) -> tuple[Explanation, Reply]:
    call = Call(
        by_hand.body_of(members),
        house.wallet.authorization,
        in_process.JSON_TYPE,
        int(time.time()),
        source="127.0.0.1",
        **options,  # type: ignore[arg-type]
    )
    reply = await house.gateway.issuer.answer(call)
    assert reply is not None
    return explain_exchange(house.gateway.issuer, call, reply), reply


def facts_of(told: Explanation) -> dict[str, str]:
    return {name: value for step in told.steps for name, value in step.facts}


def test_the_same_request_again_is_told_from_a_new_issue(tmp_path: Path) -> None:
    async def scenario(house: in_process.House) -> None:
        members = house.wallet.signed()
        first, _ = await exchange(house, members)
        second, _ = await exchange(house, members)
        assert facts_of(first)["outcome"] == "a new issue"
        assert facts_of(second)["outcome"].startswith("the same request again")
        assert facts_of(first)["ATC"] == facts_of(second)["ATC"]
        assert (
            facts_of(first)["application cryptogram (9F26)"]
            == facts_of(second)["application cryptogram (9F26)"]
        )

    in_process.run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("rslt_cd", "last"),
    [("8001", (1, "sandbox headers")), ("9999", (1, "sandbox headers")), ("77", (1, "sandbox headers"))],
)
def test_what_a_header_asked_for_is_explained_by_the_header(
    tmp_path: Path, rslt_cd: str, last: tuple[int, str]
) -> None:
    async def scenario(house: in_process.House) -> None:
        told, reply = await exchange(house, house.wallet.signed(), sandbox_result=rslt_cd)
        assert told.code == reply.rslt_cd
        assert (told.steps[-1].number, told.steps[-1].title) == last
        assert told.steps[-1].facts == (("X-Sandbox-Result", rslt_cd),)

    in_process.run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("rslt_cd", "number", "title"),
    [
        (codes.TOO_LARGE, 0, "HTTP"),
        (codes.RATE_LIMIT, 5, "rate limit"),
        (codes.DUPLICATE_TRACE, 8, "store"),
        (codes.OVERLOADED, 8, "store"),
        (codes.KEY_STORE, 8, "store"),
        (codes.TIMED_OUT, 8, "store"),
        (codes.INTERNAL, 8, "store"),
    ],
)
def test_an_answer_that_steps_1_to_7_do_not_lead_to_stands_at_its_step(
    tmp_path: Path, rslt_cd: str, number: int, title: str
) -> None:
    async def scenario(house: in_process.House) -> None:
        members = house.wallet.signed()
        call = Call(
            by_hand.body_of(members), house.wallet.authorization, in_process.JSON_TYPE, int(time.time())
        )
        status = codes.CODES[rslt_cd].http_status
        told = explain_exchange(house.gateway.issuer, call, Reply(status, b"", rslt_cd, "why"))
        assert told.code == rslt_cd
        assert told.text == f"{codes.CODES[rslt_cd].rslt_msg}: why"
        assert (told.steps[-1].number, told.steps[-1].title) == (number, title)
        assert [step.passed for step in told.steps] == [True] * (len(told.steps) - 1) + [False]
        assert all(step.title in TITLES_KO for step in told.steps)

    in_process.run(tmp_path, scenario)


def test_a_refusal_of_the_first_seven_steps_is_left_as_it_is(tmp_path: Path) -> None:
    async def scenario(house: in_process.House) -> None:
        told, _ = await exchange(house, {**house.wallet.signed(), "HASH_CRC": "AAAA"})
        assert (told.code, told.steps[-1].number, told.steps[-1].title) == ("3004", 6, "HASH_CRC")
        assert "canonical text" in facts_of(told)

    in_process.run(tmp_path, scenario)
