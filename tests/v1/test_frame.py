"""What is the same for every call: who may, what is read, how it is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from cpmqr.testing import gateway
from cpmqr.wire import codes
from cpmqr.wire.operations import OPERATIONS, Operation

from .conftest import Sides

EVERY = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
WITH_BODY = pytest.mark.parametrize(
    "operation", [one for one in OPERATIONS if one.body is not None], ids=lambda operation: operation.name
)
PROBLEM = "application/problem+json"


def url(operation: Operation) -> str:
    path = operation.path
    for name in ("qr_data_mapp_val", "token_id", "requestor_id", "credential_id", "event_id"):
        path = path.replace(f"{{{name}}}", "0" * 40)
    return path


def send(sides: Sides, operation: Operation, content: bytes = b"{}", **headers: str) -> httpx.Response:
    body = {"content": content} if operation.method == "POST" else {}
    given = {"content-type": "application/json", **headers} if body else headers
    side = operation.roles[0]
    return sides.http.request(
        operation.method, url(operation), headers=sides.credential(side) | given, **body
    )


def assert_problem(response: httpx.Response, status: int, rslt_cd: str) -> dict[str, object]:
    assert response.headers["content-type"] == PROBLEM
    assert response.headers["cache-control"] == "no-store"
    problem: dict[str, object] = response.json()
    assert (response.status_code, problem["rslt_cd"]) == (status, rslt_cd), problem
    assert problem["status"] == status
    assert problem["type"] == "about:blank"
    return problem


@EVERY
def test_without_a_credential_nothing_is_told(sides: Sides, operation: Operation) -> None:
    for headers in ({}, {"Authorization": "nobody"}, {"Authorization": "Bearer nobody"}):
        response = sides.http.request(
            operation.method, url(operation), headers={**headers, "content-type": "application/json"}
        )
        assert_problem(response, 401, codes.NOT_AUTHENTICATED)


@EVERY
def test_a_role_that_may_not_is_refused(sides: Sides, operation: Operation) -> None:
    for side in {"requestor", "authoriser", "operator"} - set(operation.roles):
        headers = sides.credential(side) | {"content-type": "application/json"}
        response = sides.http.request(operation.method, url(operation), headers=headers)
        assert_problem(response, 403, codes.NOT_YOURS)


@EVERY
def test_the_scheme_word_bearer_is_read_over(sides: Sides, operation: Operation) -> None:
    credential = "Bearer " + sides.credential(operation.roles[0])["Authorization"]
    response = send(sides, operation, Authorization=credential)
    assert response.json().get("rslt_cd") != codes.NOT_AUTHENTICATED


@EVERY
def test_every_code_that_the_sandbox_is_asked_for_comes_with_its_status(
    sides: Sides, operation: Operation
) -> None:
    for code in ("8001", "9001", "9002", "9003", "9999"):
        response = send(sides, operation, **{"X-Sandbox-Result": code})
        assert_problem(response, codes.CODES[code].http_status, code)
        assert ("retry-after" in response.headers) == (code in {"8001", "9001", "9002"})


@EVERY
def test_a_clock_that_can_not_be_read_is_refused(sides: Sides, operation: Operation) -> None:
    for clock in ("yesterday", "20261332000000", "00010101000000"):
        problem = assert_problem(send(sides, operation, **{"X-Sandbox-Now": clock}), 400, codes.MEMBER_WRONG)
        assert "X-Sandbox-Now" in str(problem["detail"])


@WITH_BODY
@pytest.mark.parametrize(
    ("content", "rslt_cd"),
    [
        (b"", codes.NOT_THE_FORMAT),
        (b"{", codes.NOT_THE_FORMAT),
        (b"[]", codes.NOT_THE_FORMAT),
        (b"null", codes.NOT_THE_FORMAT),
        (b'"x"', codes.NOT_THE_FORMAT),
        (b"\xff\xfe{\x00}\x00", codes.NOT_THE_FORMAT),
        (b'\xef\xbb\xbf{"a":1}', codes.NOT_THE_FORMAT),
        (b'{"a":1,"a":2}', codes.NOT_THE_FORMAT),
        (b'{"a":NaN}', codes.NOT_THE_FORMAT),
        (b"[" * 50_000, codes.NOT_THE_FORMAT),
        pytest.param(
            b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
            codes.NOT_THE_FORMAT,
            marks=pytest.mark.skipif(sys.version_info >= (3, 12), reason="newer readers go deeper: 1003"),
        ),
        (b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}", codes.NOT_THE_FORMAT),
        (b'{"a":' + b"9" * 10_000 + b"}", codes.NOT_THE_FORMAT),
        (b"{}", codes.MEMBER_MISSING),
        (b'{"nobody_knows_me":1}', codes.MEMBER_WRONG),
        (b'{"5350206900000066":1}', codes.MEMBER_WRONG),
    ],
)
def test_a_body_that_can_not_be_read_is_refused_by_its_code(
    sides: Sides, operation: Operation, content: bytes, rslt_cd: str
) -> None:
    response = send(sides, operation, content)
    problem = assert_problem(response, 400, rslt_cd)
    if rslt_cd == codes.MEMBER_WRONG and b"nobody" in content:
        assert "nobody_knows_me" in str(problem["detail"])
    assert "5350206900000066" not in response.text


@WITH_BODY
@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/xml",
        "application/json; charset=utf-16",
        "application/json; charset=euc-kr",
    ],
)
def test_a_body_of_another_type_is_415(sides: Sides, operation: Operation, content_type: str) -> None:
    response = send(sides, operation, **{"content-type": content_type})
    assert_problem(response, 415, codes.CONTENT_TYPE)


@EVERY
def test_a_body_over_64_kib_is_413_whether_its_length_is_declared_or_not(
    sides: Sides, operation: Operation
) -> None:
    def drip() -> object:
        for _ in range(66):
            yield b"x" * 1024

    for content in (b"x" * 65_537, drip()):
        response = sides.http.request(
            operation.method, url(operation), headers=sides.credential(operation.roles[0]), content=content
        )
        assert_problem(response, 413, codes.TOO_LARGE)


@EVERY
def test_unknown_parameters_are_refused_by_name(sides: Sides, operation: Operation) -> None:
    response = sides.http.request(
        operation.method,
        url(operation) + "?colour=red",
        headers=sides.credential(operation.roles[0]) | {"content-type": "application/json"},
    )
    problem = assert_problem(response, 400, codes.MEMBER_WRONG)
    assert "colour" in str(problem["detail"])


@pytest.mark.parametrize("path", sorted({operation.path for operation in OPERATIONS}))
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "GET", "POST"])
def test_a_method_that_a_path_lacks_is_405_and_names_those_that_it_has(
    sides: Sides, path: str, method: str
) -> None:
    allowed = {operation.method for operation in OPERATIONS if operation.path == path}
    if method in allowed:
        return
    operation = next(operation for operation in OPERATIONS if operation.path == path)
    response = sides.http.request(method, url(operation))
    assert_problem(response, 405, codes.UNKNOWN_MESSAGE)
    assert allowed <= set(response.headers["allow"].split(", "))


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/tokens/", "/v1/nothing", "/v2/tokens", "/"])
def test_no_such_path_is_404(sides: Sides, path: str) -> None:
    response = sides.http.get(path)
    if path != "/":  # the console's
        assert_problem(response, 404, codes.UNKNOWN_MESSAGE)


def test_a_call_without_a_body_takes_none(sides: Sides) -> None:
    path = "/v1/tokens/0123456789abcdef/suspend"
    for body in (b"", b"{}", b" {} "):
        headers = sides.credential("operator") | {"content-type": "application/json"}
        assert sides.http.post(path, content=body, headers=headers).json()["rslt_cd"] == codes.NO_TOKEN
    response = sides.post(path, {"force": True}, "operator")
    assert_problem(response, 400, codes.MEMBER_WRONG)


def test_half_a_surrogate_pair_is_no_json(sides: Sides) -> None:
    content = b'{"authorization_id":"\\ud800","payload":"x"}'
    response = send(sides, OPERATIONS[0], content)
    assert_problem(response, 400, codes.NOT_THE_FORMAT)


def test_a_head_request_has_the_headers_alone(sides: Sides) -> None:
    response = sides.http.head("/v1/tokens", headers=sides.credential("operator"))
    assert response.status_code == 200
    assert response.content == b""


def test_rates_are_kept_apart_from_those_of_issuing(new_sides: Callable[..., Sides]) -> None:
    sides = new_sides()
    sides.change_requestor(rate_limit_per_s=2)
    pan = sides.running.pan()
    handles = [sides.wallet.request_qr(pan=pan).mapping_value for _ in range(2)]
    path = f"/v1/qrs/{handles[0]}"
    answers = [sides.get(path, "requestor") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert_problem(answers[2], 429, codes.RATE_LIMIT)
    assert answers[2].headers["retry-after"] == "1"


def test_every_answer_is_json_in_utf_8(sides: Sides) -> None:
    response = sides.get("/v1/tokens/0123456789abcdef")
    assert json.loads(response.content.decode())["rslt_msg"] == "토큰 없음"


@pytest.mark.parametrize(
    "path", ["/v1/tokens/%FF", "/v1/qrs/%FF%00", "/v1/requestors/%0a", "/v1/events?after=%FF"]
)
def test_bytes_that_are_no_text_are_refused_like_any_other(sides: Sides, path: str) -> None:
    side = "authoriser" if "qrs" in path else "operator"
    assert sides.get(path, side).status_code in (200, 400, 404)


def test_a_network_that_is_not_allowed_is_refused(new_sides: Callable[..., Sides]) -> None:
    sides = new_sides()
    qr = sides.wallet.request_qr(pan=sides.running.pan())
    sides.change_requestor(networks=("192.0.2.0/24",))
    assert_problem(sides.get(f"/v1/qrs/{qr.mapping_value}", "requestor"), 403, codes.NOT_YOURS)
    sides.change_requestor(networks=("127.0.0.0/8",))
    assert sides.get(f"/v1/qrs/{qr.mapping_value}", "requestor").status_code == 200


def test_outside_the_sandbox_its_headers_are_ignored_and_terse_codes_are_terse(tmp_path: Path) -> None:
    with gateway(tmp_path):
        pass  # seeds the database
    with gateway(tmp_path, sandbox=False) as running:
        sides = Sides(running)
        qr = sides.wallet.request_qr(pan=running.pan())
        headers = {"X-Sandbox-Now": "20300101000000", "X-Sandbox-Result": "9001"}
        body = {"authorization_id": "A", "payload": qr.base64}
        assert sides.post("/v1/verifications", body, **headers).json()["result"] == "approved"
        order = {"requestor_id": "42000000066", "expiry": "3012"}
        refused = sides.post("/v1/tokens", order, "operator")  # no BIN range is configured
        assert_problem(refused, 400, codes.MEMBER_WRONG)
        members = sides.wallet.prepare(pan=running.pan()).members
        broken = sides.wallet.prepare(pan=running.pan()).members | {"TRNS_TRCE_NO": members["TRNS_TRCE_NO"]}
        problem = sides.post("/v1/qrs/batch", {"requests": [broken]}, "requestor").json()
        assert problem["rslt_cd"] == codes.HASH_WRONG
        sides.close()
