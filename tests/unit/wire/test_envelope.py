"""The envelope, held against a second reader that shares no line with it, and against what hostile senders write."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpmqr.errors import Refusal
from cpmqr.wire import envelope

GOOD = (
    '{"PAYGW":{"REQID":"cpmqrdatareq","VERSION":"1.0","REQUEST":'
    '{"REQUESTOR_ID":"42000000066","TRNS_TRCE_NO":"거래-1","ENC_DATA":"QUJD\\/+=","APP_DV":""}}}'
).encode()
GOOD_MEMBERS = {
    "REQUESTOR_ID": "42000000066",
    "TRNS_TRCE_NO": "거래-1",
    "ENC_DATA": "QUJD/+=",
    "APP_DV": "",
}


def body_with(members: str) -> bytes:
    return ('{"PAYGW":{"REQID":"cpmqrdatareq","VERSION":"1.0","REQUEST":{' + members + "}}}").encode()


def code_of(body: bytes, charset: str = "utf-8") -> str:
    with pytest.raises(Refusal) as caught:
        envelope.read_request(body, charset)
    return caught.value.rslt_cd


def cause_of(body: bytes, charset: str = "utf-8") -> str:
    with pytest.raises(Refusal) as caught:
        envelope.read_request(body, charset)
    return caught.value.cause


class _NoEnvelope(Exception):
    pass


def reference(body: bytes) -> tuple[str, str, dict[str, str], frozenset[str]] | None:
    """Read an envelope by the contract's words alone; None where it must be 1001."""

    def once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise _NoEnvelope
        return dict(pairs)

    def refuse(_: str) -> None:
        raise _NoEnvelope

    try:
        tree = json.loads(body.decode("utf-8", "strict"), object_pairs_hook=once_each, parse_constant=refuse)
        paygw = tree["PAYGW"]
        reqid, version, request = paygw["REQID"], paygw["VERSION"], paygw["REQUEST"]
        if not (isinstance(reqid, str) and isinstance(version, str) and isinstance(request, dict)):
            return None
        members = {name: value for name, value in request.items() if isinstance(value, str)}
        "".join([*request, *members.values()]).encode()  # half a surrogate pair is no text
    except (_NoEnvelope, ValueError, KeyError, TypeError, RecursionError):
        return None
    return reqid, version, members, frozenset(request.keys() - members.keys())


def agrees_with_the_reference(body: bytes) -> None:
    expected = reference(body)
    if expected is None:
        assert code_of(body) == "1001"
        return
    read = envelope.read_request(body)
    assert (read.reqid, read.version, read.members, frozenset(read.not_strings)) == expected


# A drawn body: objects as lists of pairs, so that a name may stand twice, written with or without escapes.
_NAMES = st.sampled_from(["PAYGW", "REQID", "VERSION", "REQUEST", "ENC_DATA", "A", "", '"', "가"])
_TEXTS = st.one_of(
    st.sampled_from(["cpmqrdatareq", "1.0", "", '"', "\\", "거래", "\ud800", "😀"]), st.text(max_size=4)
)


class _Pairs(list[tuple[str, Any]]):
    pass


_JSON = st.recursive(
    st.one_of(_TEXTS, st.none(), st.booleans(), st.integers(), st.floats()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(st.tuples(_NAMES, inner), max_size=4).map(_Pairs),
    ),
    max_leaves=8,
)
_MEMBERS = st.lists(st.tuples(_NAMES, st.one_of(_TEXTS, _TEXTS, _JSON)), max_size=5).map(_Pairs)


def written(value: Any, draw: Any) -> str:
    if isinstance(value, _Pairs):
        return "{" + ",".join(f"{written(name, draw)}: {written(inner, draw)}" for name, inner in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(written(inner, draw) for inner in value) + "]"
    if isinstance(value, str) and draw(st.booleans()):
        return '"' + "".join(f"\\u{unit:04x}" for unit in _utf16_units(value)) + '"'
    lone = isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value)
    return json.dumps(value, ensure_ascii=lone)


def _utf16_units(text: str) -> list[int]:
    octets = text.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(octets[place : place + 2], "big") for place in range(0, len(octets), 2)]


@given(st.data())
def test_a_drawn_body_reads_as_the_reference_reads_it(data: st.DataObject) -> None:
    paygw = _Pairs([("REQID", "cpmqrdatareq"), ("VERSION", "1.0"), ("REQUEST", data.draw(_MEMBERS))])
    paygw.extend(data.draw(st.lists(st.tuples(_NAMES, _JSON), max_size=1)))
    tree = _Pairs([("PAYGW", paygw), *data.draw(st.lists(st.tuples(_NAMES, _JSON), max_size=1))])
    agrees_with_the_reference(written(tree, data.draw).encode())


@given(st.data())
def test_a_good_body_with_a_few_bytes_changed_reads_as_the_reference_reads_it(data: st.DataObject) -> None:
    body = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(body)))
        end = data.draw(st.integers(start, min(len(body), start + 30)))
        new = data.draw(
            st.sampled_from([b"", bytes(body[start:end]) * 2, b'"', b"\\", b"{", b"}", b",", b"\xff", b"\n"])
        )
        body[start:end] = new
    agrees_with_the_reference(bytes(body))


@given(st.binary(max_size=64))
def test_any_bytes_read_as_the_reference_reads_them(body: bytes) -> None:
    agrees_with_the_reference(body)


def test_a_good_body_gives_its_members_with_escapes_undone() -> None:
    read = envelope.read_request(GOOD)
    assert (read.reqid, read.version, read.members, read.not_strings) == (
        "cpmqrdatareq",
        "1.0",
        GOOD_MEMBERS,
        {},
    )


def test_every_truncation_of_a_good_body_is_1001() -> None:
    for length in range(len(GOOD)):
        assert code_of(GOOD[:length]) == "1001", length


@pytest.mark.parametrize("tail", [b"x", b"}", b"{}", b"\x00", b"\x0b", b"\xef\xbb\xbf", b"null"])
def test_anything_but_blanks_after_the_body_is_1001(tail: bytes) -> None:
    assert code_of(GOOD + tail) == "1001"


def test_blanks_around_the_body_are_read_over() -> None:
    assert envelope.read_request(b" \r\n\t" + GOOD + b"\n\n ").members == GOOD_MEMBERS


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"", "not JSON"),
        (b"\xef\xbb\xbf" + GOOD, "BOM"),
        (GOOD.decode().encode("utf-16"), "not valid UTF-8"),
        (body_with('"A":"x"').decode().encode("utf-16-le"), "not JSON"),
        (body_with('"A":"x"').decode().encode("utf-32-be"), "not JSON"),
        (GOOD.replace("거".encode(), b"\xb0\xc5"), "not valid UTF-8: byte"),
        (GOOD.replace(b"42000000066", b"\xc0\xb4"), "not valid UTF-8: byte"),
        (GOOD.replace(b"42000000066", b"\xed\xa0\x80"), "not valid UTF-8: byte"),
        (b"null", "the body must be a JSON object"),
        (b'"PAYGW"', "the body must be a JSON object"),
        (b"[]", "the body must be a JSON object"),
        (b"{}", 'the body must hold "PAYGW"'),
        (b'{"PAYGW":[]}', "PAYGW must be a JSON object"),
        (b'{"PAYGW":{}}', 'PAYGW must hold "REQUEST"'),
        (b'{"PAYGW":{"REQUEST":null}}', "REQUEST must be a JSON object"),
        (b'{"PAYGW":{"REQUEST":{}}}', "PAYGW must hold REQID as a string"),
        (b'{"PAYGW":{"REQID":1,"REQUEST":{}}}', "PAYGW must hold REQID as a string"),
        (
            b'{"PAYGW":{"REQID":"cpmqrdatareq","VERSION":1.0,"REQUEST":{}}}',
            "PAYGW must hold VERSION as a string",
        ),
        (b'{"paygw":{"REQUEST":{}}}', 'the body must hold "PAYGW"'),
        (b'{"PAYGW":{"RESPONSE":{}}}', 'PAYGW must hold "REQUEST"'),
        (body_with('"A":NaN'), "NaN is not JSON"),
        (body_with('"A":-Infinity'), "-Infinity is not JSON"),
        (body_with('"A":01'), "not JSON"),
        (body_with('"A":.5'), "not JSON"),
        (body_with("'A':'x'"), "not JSON"),
        (body_with('"A":"x",'), "not JSON"),
        (body_with('/**/"A":"x"'), "not JSON"),
        (body_with('"A":"\n"'), "Invalid control character"),
        (body_with('"A":"\x00"'), "Invalid control character"),
        (body_with('"A":"\\x41"'), "not JSON"),
        (body_with('"A":"\\u00G0"'), "not JSON"),
        (body_with('"A":"\\ud800"'), "surrogate"),
        (body_with('"A":"\\udc00\\ud800"'), "surrogate"),
        (body_with('"\\udfff":"x"'), "surrogate"),
    ],
)
def test_what_is_no_envelope_is_1001_with_its_cause(body: bytes, cause: str) -> None:
    assert code_of(body) == "1001"
    assert cause in cause_of(body)


@pytest.mark.parametrize(
    "body",
    [
        GOOD.replace(b"{", b'{"PAYGW":1,', 1),
        GOOD[:-1] + b',"PAYGW":{}}',
        GOOD[:-1] + b',"\\u0050AYGW":' + GOOD[9:-1] + b"}",
        GOOD.replace(b'"REQID"', b'"REQID":"x","REQID"'),
        GOOD.replace(b'"VERSION"', b'"VERSION":"1.0","VERSION"'),
        GOOD.replace(b'"REQUEST"', b'"REQUEST":{},"REQUEST"'),
        GOOD[:-2] + b',"REQUEST":{"A":"B"}}}',
        body_with('"A":"1","A":"1"'),
        body_with('"A":"1","B":"2","A":"3"'),
        body_with('"A":"1","\\u0041":"1"'),
        body_with('"ENC_DATA":"1","ENC_\\u0044ATA":"2"'),
        body_with('"":"1","":"2"'),
        body_with('"A":1,"A":1'),
        body_with('"A":"x","A":null'),
        body_with('"NEW":{"A":"1","A":"2"}'),
        body_with('"NEW":[[{"deep":{"A":1,"A":2}}]]'),
        b'{"NEW":{"A":1,"A":2},' + GOOD[1:],
        GOOD[:-2] + b',"NEW":{"A":{},"A":{}}}}',
    ],
)
def test_a_member_that_stands_twice_is_1001_wherever_it_stands(body: bytes) -> None:
    assert code_of(body) == "1001"
    assert "stands twice" in cause_of(body)


def test_a_name_that_stands_twice_is_repeated_only_if_it_looks_like_a_name() -> None:
    assert "member ENC_DATA stands" in cause_of(body_with('"ENC_DATA":"1","ENC_DATA":"1"'))
    for hostile in ("5350206900000066", "가나다", "\\n", "A" * 21, "", "a b"):
        assert "(unprintable name)" in cause_of(body_with(f'"{hostile}":"1","{hostile}":"2"'))


def test_unknown_members_are_kept_apart_and_unknown_objects_are_read_over() -> None:
    body = b'{"trace":[{"a":[1,2]}],' + GOOD[1:-2] + b',"META":{"b":null}}}'
    assert envelope.read_request(body).members == GOOD_MEMBERS


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("1", "a number"),
        ("-1.5e3", "a number"),
        ("1" * 5000, "a number"),
        ("1e999", "a number"),
        ("true", "a boolean"),
        ("false", "a boolean"),
        ("null", "null"),
        ("[]", "an array"),
        ('["x"]', "an array"),
        ("{}", "an object"),
    ],
)
def test_a_member_that_is_no_string_is_named_with_its_kind(value: str, kind: str) -> None:
    read = envelope.read_request(body_with(f'"A":"x","B":{value}'))
    assert read.members == {"A": "x"}
    assert read.not_strings == {"B": kind}


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b"[[{" + b'"a":'])
def test_ten_thousand_levels_of_nesting_are_1001(opening: bytes) -> None:
    deep = opening * 10_000
    assert code_of(deep) == "1001"
    assert code_of(GOOD[:-2] + b',"NEW":' + deep) == "1001"
    balanced = b"[" * 10_000 + b"]" * 10_000
    assert code_of(GOOD[:-2] + b',"NEW":' + balanced + b"}}") == "1001"


@pytest.mark.parametrize(
    "members",
    [
        ",".join(f'"{number:x}":1' for number in range(6_000)) + ',"1":2',
        '"A":' + "9" * 65_000,
        '"A":"' + "\\ud83d\\ude00" * 5_000 + '"',
        '"A":[' + "{}," * 21_000 + "{}]",
    ],
    ids=["many names", "long number", "many escapes", "many objects"],
)
def test_the_costliest_body_of_64_kib_takes_no_more_than_a_blink(members: str) -> None:
    body = body_with(members)
    started = time.process_time()
    with contextlib.suppress(Refusal):
        envelope.read_request(body)
    assert (
        time.process_time() - started < 0.2
    )  # 5 to 30 ms when measured; what grows by the square takes over 400


@pytest.mark.parametrize(
    ("reqid", "version", "code"),
    [
        ("cpmqrdatareq", "1.1", "1005"),
        ("CPMQRDATAREQ", "1.0", "1004"),
        ("", "1.0", "1004"),
        ("x", "x", "1004"),
    ],
)
def test_another_message_is_1004_and_comes_before_another_version_1005(
    reqid: str, version: str, code: str
) -> None:
    read = envelope.Envelope(reqid, version, {})
    with pytest.raises(Refusal) as caught:
        envelope.check(read)
    assert caught.value.rslt_cd == code


def test_a_declared_euc_kr_body_reads_as_its_utf_8_twin() -> None:
    assert envelope.read_request(GOOD.decode().encode("euc-kr"), "euc-kr").members == GOOD_MEMBERS


@pytest.mark.parametrize("bad", [b"\xff\xff", b"\xb0", b"\xb0\x20", "거".encode()])
def test_bytes_that_are_no_euc_kr_are_1001(bad: bytes) -> None:
    body = GOOD.replace("거래".encode(), bad)
    assert code_of(body, "euc-kr") == "1001"
    assert "not valid euc-kr" in cause_of(body, "euc-kr")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        " application/json ; charset=utf-8",
        "application/json;charset=UTF-8",
        'application/json; charset="utf-8"',
        "application/json; charset=utf8",
        "application/json; version=1; charset=utf-8",
        "application/json;",
    ],
)
def test_json_in_utf_8_is_taken_however_its_content_type_is_written(content_type: str) -> None:
    assert envelope.charset_of(content_type) == "utf-8"


@pytest.mark.parametrize("charset", ["euc-kr", "EUC-KR", '"euc-kr"', "euckr", "ks_c_5601-1987"])
def test_euc_kr_is_taken_under_its_names(charset: str) -> None:
    assert envelope.charset_of(f"application/json; charset={charset}") == "euc-kr"


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/json",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "application/problem+json",
        "application/json, text/plain",
        "application/json; charset=latin1",
        "application/json; charset=",
        "application/json; charset=utf-16",
        "application/json; charset=utf-8; charset=utf-7",
        "\xff\x00",
        ";" * 5_000,
    ],
)
def test_another_content_type_or_charset_is_1007(content_type: str) -> None:
    with pytest.raises(Refusal) as caught:
        envelope.charset_of(content_type)
    assert caught.value.rslt_cd == "1007"


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=20), max_size=6))
def test_what_is_written_reads_back(members: dict[str, str]) -> None:
    assert envelope.read_response(envelope.write("RESPONSE", members)).members == members
    assert envelope.read_request(envelope.write("REQUEST", members)).members == members


def test_an_answer_of_another_message_is_refused_like_a_request() -> None:
    for old, new, code in (
        (b"cpmqrdatareq", b"x", "1004"),
        (b"1.0", b"2.0", "1005"),
        (b"RESPONSE", b"REQUEST", "1001"),
    ):
        with pytest.raises(Refusal) as caught:
            envelope.read_response(envelope.write("RESPONSE", {}).replace(old, new))
        assert caught.value.rslt_cd == code
