"""The steps of a call, played without a network: what may follow what, whatever comes back."""

from __future__ import annotations

import contextlib
import itertools
import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.client import stage as play

from cpmqr.client import Attempt, QrData
from cpmqr.client.answer import Answer, read_qr
from cpmqr.client.exchange import Failed, Failure, Pause, Send, exchange
from cpmqr.client.request import Request, Sealer, make_request
from cpmqr.client.settings import Gateway
from cpmqr.errors import CpmqrError, OutcomeUnknown, Refused, Unreachable, UntrustedAnswer
from cpmqr.wire import codes, envelope

RETRYABLE = {code.rslt_cd for code in codes.CODES.values() if code.retryable}


class Entropy:
    """Different bytes at every call, and the same in every run."""

    def __init__(self) -> None:
        self._next = itertools.count(1)

    def __call__(self, length: int) -> bytes:
        return next(self._next).to_bytes(8, "little").ljust(length, b"\0")[:length]


def refusal(rslt_cd: str, status: int, retry_after: str = "") -> Answer:
    return Answer(status, envelope.write("RESPONSE", {"RSLT_CD": rslt_cd, "RSLT_MSG": "x"}), retry_after)


SUCCESS = Answer(200, envelope.write("RESPONSE", play.success_members()))
PROXY = Answer(502, b"<html>bad gateway</html>")
GARBAGE = Answer(200, b"\0")

coded = st.sampled_from([code for code in codes.CODES.values() if code.rslt_cd != codes.OK])
comings = st.one_of(
    st.builds(Failure, st.sampled_from(Failed)),
    st.builds(lambda code: refusal(code.rslt_cd, code.http_status), coded),
    st.builds(lambda seconds: refusal("8001", 429, str(seconds)), st.integers(0, 40)),
    st.just(PROXY),
    st.just(SUCCESS),
    st.just(GARBAGE),
)


@dataclass
class Played:
    """What a call did."""

    sends: list[Send] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    came: list[Answer | Failure] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    now_s: float = 0.0
    qr: QrData | None = None
    error: CpmqrError | None = None


def make(gateway: Gateway) -> Request:
    return make_request(
        pan=play.PAN,
        trace_no="T1",
        request_time="20261123090000",
        dnf_dv="1",
        app_dv="",
        now_s=0,
        entropy=Entropy(),
    )


def run(gateway: Gateway, script: list[tuple[Answer | Failure, float]]) -> Played:
    """Drive a call; the script says what comes, and which share of the attempt's time that takes."""
    played = Played()
    steps = exchange(
        Sealer(gateway),
        make(gateway),
        monotonic_s=lambda: played.now_s,
        entropy=Entropy(),
        observe=played.attempts.append,
    )
    came: Answer | Failure | None = None
    try:
        while True:
            step = steps.send(came)
            if isinstance(step, Pause):
                played.pauses.append(step.seconds)
                played.now_s += step.seconds
                came = None
            else:
                came, share = script[len(played.sends) % len(script)]
                played.sends.append(step)
                played.came.append(came)
                played.now_s += share * step.timeout_s
    except StopIteration as done:
        played.qr = done.value
    except CpmqrError as error:
        played.error = error
    return played


@given(
    script=st.lists(st.tuples(comings, st.floats(0, 1)), min_size=1, max_size=10),
    attempts_max=st.integers(1, 10),
    deadline_s=st.floats(0.5, 60),
)
def test_whatever_comes_a_call_keeps_its_promises(
    script: list[tuple[Answer | Failure, float]], attempts_max: int, deadline_s: float
) -> None:
    gateway = play.gateway(attempts_max=attempts_max, deadline_s=deadline_s, timeout_s=5.0, first_pause_s=0.3)
    played = run(gateway, script)
    last = played.came[-1]

    assert 1 <= len(played.sends) <= attempts_max
    assert played.now_s <= deadline_s + 0.01
    assert len(played.attempts) == len(played.sends)
    assert [attempt.pause_s for attempt in played.attempts] == [*played.pauses, None]
    assert (played.qr is not None) == (last is SUCCESS)
    assert all(may_be_tried_again(came) for came in played.came[:-1])

    in_doubt = any(leaves_doubt(came) for came in played.came)
    if isinstance(played.error, Unreachable):
        assert not in_doubt
        assert all(isinstance(came, Failure) or may_be_tried_again(came) for came in played.came)
    if isinstance(played.error, OutcomeUnknown):
        assert in_doubt
        assert (played.error.trace_no, played.error.request_time) == ("T1", "20261123090000")
    if isinstance(played.error, Refused) and played.error.retryable:
        assert not in_doubt
    if last is GARBAGE:
        assert isinstance(played.error, UntrustedAnswer)


def may_be_tried_again(came: Answer | Failure) -> bool:
    """The contract's table, written down a second time: 8001, 9001, 9002, 9003, 9999, 5xx, and no answer."""
    if isinstance(came, Failure):
        return came.kind is not Failed.NOT_TRUSTED
    if came is PROXY:
        return True
    return came not in (SUCCESS, GARBAGE) and rslt_cd_of(came) in ("8001", "9001", "9002", "9003", "9999")


def leaves_doubt(came: Answer | Failure) -> bool:
    if isinstance(came, Failure):
        return came.kind in (Failed.LOST, Failed.TIMED_OUT)
    return came is PROXY or (came not in (SUCCESS, GARBAGE) and rslt_cd_of(came) in ("9003", "9999"))


def rslt_cd_of(answer: Answer) -> str:
    rslt_cd: str = json.loads(answer.body)["PAYGW"]["RESPONSE"]["RSLT_CD"]
    return rslt_cd


@given(failures=st.integers(1, 9))
def test_each_attempt_is_the_same_request_with_a_nonce_of_its_own(failures: int) -> None:
    script: list[tuple[Answer | Failure, float]] = [(Failure(Failed.LOST), 0.0)] * failures + [(SUCCESS, 0.0)]
    played = run(play.gateway(attempts_max=10, deadline_s=300), script)
    members = [send.prepared.members for send in played.sends]
    assert (
        len({item["ENC_DATA"] for item in members})
        == len({item["HASH_CRC"] for item in members})
        == failures + 1
    )
    kept = [{name: item[name] for name in item if name not in ("ENC_DATA", "HASH_CRC")} for item in members]
    assert all(item == kept[0] for item in kept)
    assert played.qr is not None


def test_pauses_are_drawn_from_a_range_that_doubles_up_to_its_limit() -> None:
    gateway = play.gateway(attempts_max=10, deadline_s=300, first_pause_s=1.0, pause_max_s=4.0)

    def pauses(draw: bytes) -> list[float]:
        steps = exchange(
            Sealer(gateway), make(gateway), monotonic_s=lambda: 0.0, entropy=lambda length: draw[:1] * length
        )
        found, came = [], None
        with contextlib.suppress(OutcomeUnknown):
            while True:
                step = steps.send(came)
                came = Failure(Failed.LOST) if isinstance(step, Send) else None
                if isinstance(step, Pause):
                    found.append(step.seconds)
        return found

    assert pauses(b"\x00") == [0.0] * 9
    assert pauses(b"\xff") == pytest.approx([1, 2, 4, 4, 4, 4, 4, 4, 4])
    assert pauses(b"\x80") == pytest.approx([0.5, 1, 2, 2, 2, 2, 2, 2, 2], rel=0.01)


def test_a_named_wait_is_kept_and_never_cut_short() -> None:
    script: list[tuple[Answer | Failure, float]] = [(refusal("9001", 503, "7"), 0.0), (SUCCESS, 0.0)]
    played = run(play.gateway(deadline_s=30, first_pause_s=1.0), script)
    assert played.qr is not None
    assert 7 <= played.pauses[0] <= 8


@given(st.binary(max_size=300), st.sampled_from([200, 201, 302, 400, 404, 429, 500, 503]))
def test_no_body_brings_more_than_a_typed_error(body: bytes, status: int) -> None:
    judge(Answer(status, body))


@given(st.data())
def test_no_change_to_a_good_answer_is_drawn(data: st.DataObject) -> None:
    body = bytearray(SUCCESS.body)
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    qr = judge(Answer(200, bytes(body)))
    # MSG_ID is outside HASH_CRC (contract §4), and a name that is changed is another, unknown member: both harmless.
    if qr is not None:
        assert qr.base64 == play.CPMQR_DATA
        assert qr.mapping_value == play.HANDLE


@given(
    st.dictionaries(
        st.sampled_from([*play.success_members(), "TRNS_TRCE_NO", "RSLT_CD"]),
        st.text(max_size=40) | st.just("0000"),
        max_size=4,
    )
)
def test_no_values_bring_more_than_a_typed_error(changes: dict[str, str]) -> None:
    try:
        body = envelope.write("RESPONSE", {**play.success_members(), **changes})
    except UnicodeEncodeError:
        return
    judge(Answer(200, body))
    unsigned = play.gateway(hash_crc=play.HashCrc("off"))
    judge(Answer(200, body), unsigned)


def judge(answer: Answer, gateway: Gateway | None = None) -> QrData | None:
    gateway = gateway or play.gateway()
    try:
        return read_qr(answer, make(gateway), gateway)
    except (Refused, UntrustedAnswer):
        return None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", None),
        ("3", 3),
        ("0", 0),
        ("999999", 86_400),
        ("1234567", None),
        ("-1", None),
        ("1.5", None),
        ("²", None),
    ],
)
def test_retry_after_is_whole_seconds_or_nothing(text: str, seconds: int | None) -> None:
    with pytest.raises(Refused) as caught:
        read_qr(refusal("8001", 429, text), make(play.gateway()), play.gateway())
    assert caught.value.retry_after_s == seconds


def test_the_catalogues_retryable_codes_are_the_ones_that_are_tried_again() -> None:
    assert {"8001", "9001", "9002", "9003", "9999"} == RETRYABLE
