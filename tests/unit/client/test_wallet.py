"""Both wallets against a real server that plays well and badly."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import os
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.client import stage as play
from tests.unit.client.stage import PAN, Act, Stage

from cpmqr.client import AsyncWallet, Attempt, QrData, Wallet
from cpmqr.client.answer import ANSWER_BYTES_MAX
from cpmqr.client.settings import HashCrc, Transport
from cpmqr.crypto.suites import find_suite
from cpmqr.errors import (
    ConfigError,
    EncodeError,
    OutcomeUnknown,
    Refused,
    Unreachable,
    UntrustedAnswer,
)
from cpmqr.wire import envelope

Ask = Callable[..., QrData]

TRACE_NO = "NPAY202009XX123XXXX35"
NOW_S = datetime(2026, 11, 23, 0, 0, 0, tzinfo=UTC).timestamp()  # 09:00:00 in Korea: the payload's own time


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage() as running:
        yield running


def ask_in_line(stage: Stage, tools: dict[str, Any], **changes: Any) -> QrData:
    with Wallet(stage.gateway(**changes), clock=lambda: NOW_S, **tools) as wallet:
        return wallet.request_qr(pan=PAN, trace_no=TRACE_NO)


def ask_async(stage: Stage, tools: dict[str, Any], **changes: Any) -> QrData:
    async def call() -> QrData:
        async with AsyncWallet(stage.gateway(**changes), clock=lambda: NOW_S, **tools) as wallet:
            return await wallet.request_qr(pan=PAN, trace_no=TRACE_NO)

    return asyncio.run(call())


@pytest.fixture(params=[ask_in_line, ask_async], ids=["Wallet", "AsyncWallet"])
def ask(request: pytest.FixtureRequest, stage: Stage) -> Ask:
    """Play the acts, ask for a QR with one of the wallets, and give what comes."""

    def play_and_ask(*acts: Act, observe: Callable[[Attempt], None] | None = None, **changes: Any) -> QrData:
        stage.acts = list(acts)
        result: QrData = request.param(stage, {"observe": observe}, **changes)
        return result

    return play_and_ask


def test_a_success_gives_the_qr_as_it_came(ask: Ask, stage: Stage) -> None:
    qr = ask(play.success())
    assert qr.base64 == play.CPMQR_DATA
    assert qr.mapping_value == play.HANDLE
    assert (qr.requestor_id, qr.trace_no, qr.http_status) == (play.REQUESTOR_ID, TRACE_NO, 200)
    assert qr.issued_at == datetime(2026, 11, 23, 0, 0, tzinfo=UTC)
    assert qr.expires_at == datetime(2026, 11, 23, 0, 3, tzinfo=UTC)
    assert qr.members["RSLT_MSG"] == "성공"
    assert len(stage.seen) == 1


def test_what_is_sent_is_the_contracts_request(ask: Ask, stage: Stage) -> None:
    ask(play.success())
    seen = stage.seen[0]
    assert seen.path == "/paygw/cpmqrdatareq"
    assert seen.headers["authorization"] == play.AUTHORIZATION
    assert seen.headers["content-type"] == "application/json; charset=utf-8"
    members = seen.members
    assert members["REG_ATON"] == "20261123090000"
    opener = find_suite("aes-256-gcm").opener(play.KEY)
    aad = f"cpmqrdatareq|{play.REQUESTOR_ID}|00|{TRACE_NO}".encode()
    opened = opener.unseal(base64.b64decode(members["ENC_DATA"]), aad)
    assert opened == f"{PAN}|20261123090000|{TRACE_NO}|".encode()


@pytest.mark.parametrize(
    "failing",
    [
        play.reset,
        play.truncated,
        play.silence(0.6),
        play.plain(502),
        play.plain(500, b""),
        play.refusal("9003", 504),
        play.refusal("9999", 500),
        play.refusal("9001", 503),
        play.refusal("9002", 503),
        play.refusal("8001", 429, retry_after="0"),
        play.plain(429, b"slow down"),
    ],
    ids=[
        "reset",
        "truncated",
        "timeout",
        "502 of a proxy",
        "empty 500",
        "9003",
        "9999",
        "9001",
        "9002",
        "8001",
        "429 of a proxy",
    ],
)
def test_a_passing_failure_is_retried_as_the_same_request_freshly_sealed(
    ask: Ask, stage: Stage, failing: Act
) -> None:
    qr = ask(failing, failing, play.success(), timeout_s=0.3)
    assert qr.base64 == play.CPMQR_DATA
    requests = [seen.members for seen in stage.seen]
    assert len(requests) == 3
    assert len({members["ENC_DATA"] for members in requests}) == 3
    assert len({members["HASH_CRC"] for members in requests}) == 3
    same = [
        {name: value for name, value in members.items() if name not in ("ENC_DATA", "HASH_CRC")}
        for members in requests
    ]
    assert same[0] == same[1] == same[2]


@pytest.mark.parametrize(
    ("rslt_cd", "status"),
    [("1002", 400), ("2001", 401), ("3006", 400), ("4002", 409), ("5001", 409), ("X1", 418)],
)
def test_a_refusal_is_final_and_carries_its_code(ask: Ask, stage: Stage, rslt_cd: str, status: int) -> None:
    with pytest.raises(Refused) as caught:
        ask(play.refusal(rslt_cd, status, "토큰 일시정지"))
    refused = caught.value
    assert (refused.rslt_cd, refused.rslt_msg, refused.http_status) == (rslt_cd, "토큰 일시정지", status)
    assert not refused.retryable
    assert len(stage.seen) == 1


def test_a_refusal_in_http_200_is_a_refusal_all_the_same(ask: Ask, stage: Stage) -> None:
    with pytest.raises(Refused) as caught:
        ask(play.refusal("4002", 200))
    assert (caught.value.rslt_cd, caught.value.http_status) == ("4002", 200)


def test_a_named_wait_longer_than_the_deadline_ends_the_call_at_once(ask: Ask, stage: Stage) -> None:
    started_s = time.monotonic()
    with pytest.raises(Refused) as caught:
        ask(play.refusal("8001", 429, retry_after="60"))
    assert caught.value.retryable
    assert caught.value.retry_after_s == 60
    assert len(stage.seen) == 1
    assert time.monotonic() - started_s < 2


def test_where_no_answer_ever_comes_the_outcome_is_unknown(ask: Ask, stage: Stage) -> None:
    with pytest.raises(OutcomeUnknown) as caught:
        ask(play.silence(0.4), timeout_s=0.1, attempts_max=3)
    assert (caught.value.trace_no, caught.value.request_time) == (TRACE_NO, "20261123090000")
    assert len(stage.seen) == 3


def test_an_outcome_in_doubt_stays_in_doubt_until_a_final_answer(ask: Ask, stage: Stage) -> None:
    with pytest.raises(OutcomeUnknown) as caught:
        ask(play.reset, play.refusal("8001", 429), attempts_max=2)
    assert isinstance(caught.value.__cause__, Refused)
    assert caught.value.__cause__.rslt_cd == "8001"


def test_a_final_refusal_after_a_lost_answer_settles_it(ask: Ask, stage: Stage) -> None:
    with pytest.raises(Refused) as caught:
        ask(play.reset, play.refusal("4002", 409))
    assert caught.value.rslt_cd == "4002"


def test_where_nobody_listens_nothing_has_happened() -> None:
    with Stage() as gone:
        address = gone.base_url
    attempts: list[Attempt] = []
    with (
        Wallet(play.gateway(base_url=address), observe=attempts.append) as wallet,
        pytest.raises(Unreachable),
    ):
        wallet.request_qr(pan=PAN)
    assert len(attempts) == 4
    assert attempts[-1].pause_s is None


def changed_byte(text: str) -> str:
    return text[:-2] + ("A" if text[-2] != "A" else "B") + text[-1]


UNTRUSTED = {
    "wrong hash": play.success(HASH_CRC="Vbo9SiU/ZsD7D/tRaJjpz7PJl3rpVSUV091c17+X5rE="),
    "no hash": play.success(HASH_CRC=None),
    "hash that is no text of ASCII": play.success(HASH_CRC="한글"),
    "another requestor": play.success(REQUESTOR_ID="42000000067"),
    "no requestor": play.success(REQUESTOR_ID=None),
    "another trace number": play.success(TRNS_TRCE_NO="OTHER"),
    "another trace number, other spelling": play.success(TRNS_TRACE_NO="OTHER"),
    "another message": play.success(MSG_CD="Q201", MSG_ID=None),
    "another key version": play.success(CRYPTO_KEY_VER="01"),
    "no payload": play.success(CPMQR_DATA=None),
    "an empty payload": play.success(CPMQR_DATA=""),
    "a payload of 516 characters": play.success(CPMQR_DATA="hQVD" * 129),
    "a payload that is no Base64": play.success(CPMQR_DATA="hQVDUFYwMQ==="),
    "a payload with a line feed": play.success(CPMQR_DATA=play.CPMQR_DATA + "\n"),
    "a payload that is no TLV": play.success(CPMQR_DATA="hQVDUFYwMWFaTwfU"),
    "a payload without 61": play.success(CPMQR_DATA="hQVDUFYwMQ=="),
    "a payload for another PAN": play.success(CPMQR_DATA="hQVDUFYwMWEaTwfUEAAAAUAQVw9AAAAAAAAAAtMBJgEAAAA="),
    "a handle with a blank": play.success(QR_DATA_MAPP_VAL="95 05"),
    "a handle of a thousand": play.success(QR_DATA_MAPP_VAL="9" * 1000),
    "0000 with 201": lambda connection: connection.answer(
        201, envelope.write("RESPONSE", play.success_members())
    ),
    "no JSON": play.plain(200, b"<html>hello</html>"),
    "half a JSON": play.plain(200, envelope.write("RESPONSE", play.success_members())[:-3]),
    "no UTF-8": play.plain(200, b"\xff\xfe"),
    "nested deeply": play.plain(200, b'{"PAYGW":' * 5000),
    "a request's envelope": play.plain(200, envelope.write("REQUEST", play.success_members())),
    "no RSLT_CD": play.success(RSLT_CD=None),
    "a RSLT_CD of control characters": play.refusal("\x1b[2J", 400),
    "404 of another server": play.plain(404),
    "a redirect": play.plain(307, b"", {"Location": "http://127.0.0.1:1/elsewhere"}),
    "a redirect with an answer": play.plain(
        302, envelope.write("RESPONSE", play.success_members()), {"Location": "/other"}
    ),
    "too long": play.plain(200, b" " * (ANSWER_BYTES_MAX + 1)),
    "compressed": play.plain(
        200, gzip.compress(envelope.write("RESPONSE", play.success_members())), {"Content-Encoding": "gzip"}
    ),
    "a refusal with a wrong hash": play.refusal("4002", 409, HASH_CRC="AAAA"),
}


@pytest.mark.parametrize("act", UNTRUSTED.values(), ids=UNTRUSTED.keys())
def test_an_answer_that_is_not_to_be_drawn_is_refused_once_and_for_all(
    ask: Ask, stage: Stage, act: Act
) -> None:
    with pytest.raises(UntrustedAnswer) as caught:
        ask(act)
    assert len(stage.seen) == 1
    for secret in (PAN, play.CPMQR_DATA[20:60], play.AUTHORIZATION, play.HANDLE):
        assert secret not in str(caught.value)


def test_a_gateway_that_drips_its_body_is_cut_at_the_timeout(ask: Ask, stage: Stage) -> None:
    head = b"HTTP/1.1 200 x\r\nContent-Length: 1000\r\n\r\n"
    started_s = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        ask(play.drip([head, *[b" "] * 40], 0.1), timeout_s=0.5, attempts_max=1)
    assert time.monotonic() - started_s < 1.5


def test_a_gateway_that_drips_its_header_is_cut_at_the_timeout(ask: Ask, stage: Stage) -> None:
    started_s = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        ask(play.drip([b"HTTP/1.1 200 x\r\nX-Long: ", *[b"a"] * 40], 0.1), timeout_s=0.5, attempts_max=1)
    assert time.monotonic() - started_s < 1.5


def test_all_attempts_together_keep_the_deadline(ask: Ask, stage: Stage) -> None:
    started_s = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        ask(play.silence(2), timeout_s=0.4, deadline_s=0.9, attempts_max=10)
    assert time.monotonic() - started_s < 1.6


def test_the_observer_is_told_of_each_attempt_and_of_nothing_secret(ask: Ask, stage: Stage) -> None:
    attempts: list[Attempt] = []
    ask(play.refusal("9001", 503), play.success(), observe=attempts.append)
    assert [(attempt.number, attempt.http_status, attempt.rslt_cd) for attempt in attempts] == [
        (1, 503, "9001"),
        (2, 200, "0000"),
    ]
    assert attempts[0].pause_s is not None
    assert attempts[1].pause_s is None
    assert attempts[1].problem == ""
    for secret in (PAN, play.CPMQR_DATA, play.AUTHORIZATION):
        assert secret not in repr(attempts)


def test_a_refusals_text_is_made_fit_for_a_log(ask: Ask, stage: Stage) -> None:
    with pytest.raises(Refused) as caught:
        ask(play.refusal("4001", 404, f"no \x1b[2J\n{PAN} " + "x" * 1000))
    text = caught.value.rslt_msg
    assert text.startswith("no  [2J 535020******0066 xxx")
    assert len(text) == 500


@pytest.mark.parametrize(
    ("crypto", "hash_crc", "spelling"),
    [
        (Transport("02", "00", play.KEY), HashCrc("hmac-sha256", play.HASH_KEY), "sample"),
        (Transport("11", "00", play.KEY[:16]), HashCrc("hmac-sha256", play.HASH_KEY), "table"),
        (Transport("00", "00", b""), HashCrc("off"), "table"),
    ],
    ids=["02", "11 as the table spells", "00 without HASH_CRC"],
)
def test_other_schemes_and_spellings_work_by_configuration(
    ask: Ask, stage: Stage, crypto: Transport, hash_crc: HashCrc, spelling: str
) -> None:
    qr = ask(
        play.success(CRYPTO_TYPE=crypto.crypto_type), crypto=crypto, hash_crc=hash_crc, spelling=spelling
    )
    assert qr.base64 == play.CPMQR_DATA
    names = set(stage.seen[0].members)
    if spelling == "table":
        plain_names = {"REQUESTOR_ID", "MSG_ID", "MSG_VER", "CRTPYO_TYPE", "CRYPTO_KEY_VER", "TRNS_TRACE_NO"}
        assert names - {"HASH_CRC"} == plain_names | {"ENC_DATA"}
        assert ("HASH_CRC" in names) == (hash_crc.mode != "off")


def test_a_repetition_by_number_and_time_is_the_same_request(stage: Stage) -> None:
    stage.acts = [play.reset, play.success()]
    with Wallet(stage.gateway(attempts_max=1)) as wallet:
        with pytest.raises(OutcomeUnknown) as caught:
            wallet.request_qr(pan=PAN)
        wallet.request_qr(pan=PAN, trace_no=caught.value.trace_no, request_time=caught.value.request_time)
    first, second = (seen.members for seen in stage.seen)
    for members in (first, second):
        del members["ENC_DATA"], members["HASH_CRC"]
    assert first == second


def test_a_prepared_request_can_be_sent_twice(stage: Stage) -> None:
    stage.acts = [play.success()]
    with Wallet(stage.gateway()) as wallet:
        prepared = wallet.prepare(pan=PAN)
        assert wallet.send(prepared).trace_no == wallet.send(prepared).trace_no
    assert len({seen.members["ENC_DATA"] for seen in stage.seen}) == 2


def test_a_request_prepared_for_another_gateway_is_not_sent(stage: Stage) -> None:
    prepared = Wallet(play.gateway()).prepare(pan=PAN)
    with Wallet(stage.gateway()) as wallet, pytest.raises(ConfigError):
        wallet.send(prepared)


def test_a_closed_wallet_says_so(stage: Stage) -> None:
    stage.acts = [play.success()]
    wallet = Wallet(stage.gateway())
    wallet.close()
    with pytest.raises(ConfigError, match="closed"):
        wallet.request_qr(pan=PAN)


def test_many_threads_share_a_wallet(stage: Stage) -> None:
    stage.acts = [play.success()]
    with Wallet(stage.gateway()) as wallet, ThreadPoolExecutor(8) as pool:
        traces = list(pool.map(lambda _: wallet.request_qr(pan=PAN).trace_no, range(40)))
    assert len(set(traces)) == 40


def test_many_tasks_share_an_async_wallet(stage: Stage) -> None:
    stage.acts = [play.success()]

    async def call() -> set[str]:
        async with AsyncWallet(stage.gateway()) as wallet:
            qrs: list[Awaitable[QrData]] = [wallet.request_qr(pan=PAN) for _ in range(40)]
            return {qr.trace_no for qr in await asyncio.gather(*qrs)}

    assert len(asyncio.run(call())) == 40


@pytest.mark.parametrize(
    "values",
    [
        {"pan": "5350206900000067"},
        {"pan": "abc"},
        {"pan": ""},
        {"pan": 5350206900000066},
        {"pan": "５３５０２０６９００００００６６"},
        {"pan": PAN, "trace_no": ""},
        {"pan": PAN, "trace_no": "a|b"},
        {"pan": PAN, "trace_no": "가" * 14},
        {"pan": PAN, "trace_no": "\ud800"},
        {"pan": PAN, "trace_no": " a"},
        {"pan": PAN, "trace_no": "a\n"},
        {"pan": PAN, "trace_no": 7},
        {"pan": PAN, "request_time": "20260230000000"},
        {"pan": PAN, "request_time": "now"},
        {"pan": PAN, "app_dv": "x" * 21},
        {"pan": PAN, "dnf_dv": None},
    ],
    ids=str,
)
def test_a_value_that_breaks_a_rule_is_named_and_not_sent_nor_repeated(values: dict[str, Any]) -> None:
    with Wallet(play.gateway()) as wallet, pytest.raises(EncodeError) as caught:
        wallet.request_qr(**values)
    assert "5350206900000067" not in str(caught.value)


def test_nothing_secret_shows_in_a_repr(stage: Stage) -> None:
    stage.acts = [play.success()]
    with Wallet(stage.gateway()) as wallet:
        prepared = wallet.prepare(pan=PAN)
        qr = wallet.send(prepared)
        shown = repr([wallet, wallet.gateway, prepared, qr, wallet.gateway.crypto, wallet.gateway.hash_crc])
    secrets = [PAN, play.AUTHORIZATION, play.CPMQR_DATA, play.HANDLE, prepared.members["ENC_DATA"]]
    secrets += [repr(play.KEY)[2:-1], repr(play.HASH_KEY)[2:-1], play.KEY.hex()]
    for secret in secrets:
        assert secret not in shown


def test_a_curl_line_sends_the_request(stage: Stage) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    stage.acts = [play.success()]
    with Wallet(stage.gateway()) as wallet:
        prepared = wallet.prepare(pan=PAN, trace_no='it\'s "quoted" $HOME 거래')
    assert play.AUTHORIZATION not in prepared.curl()
    environment = {**os.environ, "CPMQR_AUTHORIZATION": play.AUTHORIZATION, "no_proxy": "127.0.0.1"}
    for line in (prepared.curl(), prepared.curl(reveal=True)):
        subprocess.run(["sh", "-c", line], check=True, env=environment, capture_output=True, timeout=20)
        seen = stage.seen[-1]
        assert seen.body == prepared.body
        assert seen.headers["authorization"] == play.AUTHORIZATION


def test_a_cancelled_call_leaves_the_async_wallet_usable(stage: Stage) -> None:
    stage.acts = [play.silence(1), play.success()]

    async def call() -> QrData:
        async with AsyncWallet(stage.gateway()) as wallet:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wallet.request_qr(pan=PAN), 0.1)
            return await wallet.request_qr(pan=PAN)

    assert asyncio.run(call()).base64 == play.CPMQR_DATA
