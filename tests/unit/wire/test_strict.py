"""Strict reading of `/v1`: what is refused, by which code, and that no value is repeated."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpmqr.errors import Refusal
from cpmqr.wire import codes, problem, strict, v1

SECRET = "5350206900000066"


def refused(body: bytes, kind: type[v1.Body] = v1.VerificationRequest) -> Refusal:
    with pytest.raises(Refusal) as caught:
        strict.read_body(body, kind)
    assert SECRET not in caught.value.cause
    return caught.value


def test_a_good_body_is_read() -> None:
    read = strict.read_body(b'{"authorization_id":"A-1","payload":"hQ=="}', v1.VerificationRequest)
    assert (read.authorization_id, read.payload, read.track2) == ("A-1", "hQ==", msgspec.UNSET)


@pytest.mark.parametrize(
    ("body", "rslt_cd", "words"),
    [
        (b"", "1001", "JSON"),
        (b"[]", "1001", "object"),
        (b"1", "1001", "object"),
        (b"{} {}", "1001", "JSON"),
        (b'{"authorization_id":"a","authorization_id":"a"}', "1001", "twice"),
        (b'{"authorization_id":{"a":1,"a":2}}', "1001", "twice"),
        (b'{"authorization_id":Infinity}', "1001", "Infinity"),
        (b'{"authorization_id":"\\udc00"}', "1001", "JSON"),
        (b"\x80", "1001", "UTF-8"),
        (b"[" * 100_000, "1001", "deep"),
        (b'{"payload":"x"}', "1002", "authorization_id is missing"),
        (b'{"authorization_id":5}', "1003", "authorization_id"),
        (b'{"authorization_id":"a","payload":null}', "1003", "payload"),
        (b'{"authorization_id":"a","amount":1}', "1003", "amount"),
        (b'{"authorization_id":"a","payload":"x\\u0007"}', "1003", "control"),
        (b'{"authorization_id":"a\\n"}', "1003", "authorization_id"),
    ],
)
def test_a_body_is_refused_by_name_and_rule(body: bytes, rslt_cd: str, words: str) -> None:
    refusal = refused(body)
    assert refusal.rslt_cd == rslt_cd
    assert words in refusal.cause


@pytest.mark.parametrize("length", range(43))
def test_every_truncation_is_no_json(length: int) -> None:
    body = b'{"authorization_id":"A-1","payload":"hQ=="}'[:length]
    assert refused(body).rslt_cd == codes.NOT_THE_FORMAT


def test_a_secret_in_the_place_of_a_name_is_not_repeated() -> None:
    for name in (SECRET, "a" * 33, "é", "a`b", 'a"b', "x\u202e"):
        body = msgspec.json.encode({"authorization_id": "a", name: 1})
        assert "unprintable name" in refused(body).cause


def test_a_secret_in_the_place_of_a_choice_is_not_repeated() -> None:
    with pytest.raises(Refusal) as caught:
        strict.read_query([("state", SECRET)], v1.TokenQuery)
    assert caught.value.cause.startswith("state: ")
    assert SECRET not in caught.value.cause


def test_members_in_lists_are_named_with_their_place() -> None:
    assert "qr_data_mapp_vals[0]" in refused(b'{"qr_data_mapp_vals":["x"]}', v1.RevokeRequest).cause


@pytest.mark.parametrize("count", [0, 11])
def test_a_list_has_one_to_ten_members(count: int) -> None:
    body = msgspec.json.encode({"qr_data_mapp_vals": ["0" * 40] * count})
    assert refused(body, v1.RevokeRequest).rslt_cd == codes.MEMBER_WRONG


def test_a_query_is_read_from_text() -> None:
    query = strict.read_query([("limit", "7"), ("after", "x")], v1.TokenQuery)
    assert (query.limit, query.after, query.state) == (7, "x", msgspec.UNSET)
    assert strict.read_query([], v1.TokenQuery).limit == 100


@pytest.mark.parametrize(
    "pairs",
    [
        [("limit", "0")],
        [("limit", "101")],
        [("limit", "")],
        [("limit", "1.5")],
        [("limit", "٣x")],
        [("state", "gone")],
        [("after", "x" * 129)],
        [("after", "a\x00")],
        [("page", "1")],
        [("limit", "1"), ("limit", "1")],
    ],
)
def test_a_query_is_refused_by_name_and_rule(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(Refusal) as caught:
        strict.read_query(pairs, v1.TokenQuery)
    assert caught.value.rslt_cd == codes.MEMBER_WRONG
    assert pairs[0][0] in caught.value.cause


@given(body=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_whatever_comes_is_read_or_refused(body: bytes) -> None:
    for kind in (v1.VerificationRequest, v1.BatchRequest, v1.TokenRequest, v1.NoMembers):
        with contextlib.suppress(Refusal):
            strict.read_body(body, kind)


def test_no_struct_with_a_secret_prints_it() -> None:
    for struct in (
        v1.VerificationRequest(authorization_id="a", payload=SECRET, track2=SECRET),
        v1.TokenRequest(requestor_id="42000000066", expiry="3012", pan=SECRET),
        v1.TokenSearch(SECRET),
        v1.BatchRequest([{"ENC_DATA": SECRET}]),
        v1.Batch([{"CPMQR_DATA": SECRET}]),
    ):
        assert SECRET not in repr(struct)


def test_a_problem_has_its_codes_status_and_meaning() -> None:
    body = problem.problem(v1.Problem, codes.QR_EXPIRED, "5 s after its end")
    assert (body.status, body.title, body.rslt_msg) == (410, "Gone", "QR 유효시간 만료")
    assert body.detail == "QR expired: 5 s after its end"


def test_a_terse_code_tells_its_cause_in_the_sandbox_alone() -> None:
    told = problem.problem(v1.Problem, codes.NOT_DECRYPTED, "the padding", sandbox=True)
    silent = problem.problem(v1.Problem, codes.NOT_DECRYPTED, "the padding")
    assert "padding" in told.detail
    assert silent.detail == codes.CODES[codes.NOT_DECRYPTED].meaning
