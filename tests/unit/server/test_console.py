"""The console's endpoints without a browser: whom they answer, what they hold back, and that they can be absent."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import pytest

from cpmqr import startup
from cpmqr.server import settings
from cpmqr.server.console_inspector import REQUESTS_MAX, masked
from cpmqr.server.console_triggers import TRIGGERS
from cpmqr.testing import TestGateway, gateway
from cpmqr.wire import codes

PAGE_PAN = "5350206900000066"


@pytest.fixture(scope="module")
def running() -> Iterator[TestGateway]:
    with gateway() as one:
        yield one


@pytest.fixture
def client(running: TestGateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.base_url, timeout=10) as one:
        yield one


def send(client: httpx.Client, request: dict[str, Any]) -> httpx.Response:
    return client.request(
        request["method"], request["path"], headers=request["headers"], content=request["body"].encode()
    )


def issue(client: httpx.Client, token: int = 0, crypto_type: str = "01") -> tuple[str, httpx.Response]:
    prepared = client.post("/console/wallet", json={"token": token, "crypto_type": crypto_type}).json()
    return prepared["trace_no"], send(client, prepared["request"])


def test_the_page_is_served_under_a_policy_that_allows_itself_alone(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "http" not in policy
    assert "<script>" not in page.text
    assert "style=" not in page.text


def test_the_console_is_absent_outside_sandbox_mode(tmp_path: Path) -> None:
    async def statuses() -> list[int]:
        seeded = await startup.open_gateway(settings.load(None, storage__data=str(tmp_path), sandbox=True))
        await seeded.store.close()
        house = await startup.open_gateway(settings.load(None, storage__data=str(tmp_path)))
        await house.start()
        try:
            transport = httpx.ASGITransport(app=house.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                paths = (
                    "/",
                    "/console/setup",
                    "/console/requests",
                    "/console/assets/main.js",
                    "/console/assets/index.html",
                )
                gets = [(await client.get(path)).status_code for path in paths]
                posts = [
                    (await client.post(f"/console/{name}", json={})).status_code
                    for name in ("wallet", "till", "trigger", "payload", "qr")
                ]
                return gets + posts
        finally:
            await house.stop()

    assert set(asyncio.run(statuses())) == {404}


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "192.0.2.1", "localhost.evil", "[::2]:1", "["]
)
def test_a_name_that_is_not_loopback_is_refused(client: httpx.Client, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 403
    assert client.get("/console/setup", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:1", "127.1.2.3", "[::1]:8080"])
def test_loopback_names_are_answered(client: httpx.Client, host: str) -> None:
    assert client.get("/console/setup", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
    ],
)
def test_a_browser_on_another_page_gets_nothing(client: httpx.Client, headers: dict[str, str]) -> None:
    order = {"token": 0, "crypto_type": "01"}
    assert client.post("/console/wallet", json=order, headers=headers).status_code == 403


def test_a_form_of_another_page_can_not_pass_for_json(client: httpx.Client) -> None:
    answer = client.post("/console/wallet", content=b'{"token":0,"crypto_type":"01"}')
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("wallet", b"{"),
        ("wallet", b'{"token":99,"crypto_type":"01"}'),
        ("wallet", b'{"token":-1,"crypto_type":"01"}'),
        ("wallet", b'{"token":0,"crypto_type":"99"}'),
        ("wallet", b"[" * 60_000),
        ("payload", b'{"payload":"' + b"A" * 9_000 + b'"}'),
        ("till", b'{"payload":"' + b"A" * 9_000 + b'"}'),
        ("trigger", b'{"code":"0001"}'),
        ("trigger", b'{"code":"5005","answers":[' + b",".join([b'{"http_status":1,"body":""}'] * 5) + b"]}"),
        ("payload", b'{"payload":"' + b"A" * 200_000 + b'"}'),
    ],
)
def test_what_the_page_would_not_send_is_refused(client: httpx.Client, path: str, body: bytes) -> None:
    answer = client.post(f"/console/{path}", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_qr_that_can_not_be_drawn_says_why(client: httpx.Client) -> None:
    answer = client.post("/console/qr", json={"payload": "not Base64!"})
    assert answer.status_code == 422
    assert "Base64" in answer.json()["detail"]


def test_assets_outside_the_folder_do_not_exist(client: httpx.Client) -> None:
    for path in (
        "../console.py",
        "%2e%2e/console.py",
        "..%2fconsole.py",
        "vendor/../../console.py",
        "vendor",
        "",
    ):
        assert client.get(f"/console/assets/{path}").status_code == 404


def test_an_asset_that_the_browser_has_is_not_sent_again(client: httpx.Client) -> None:
    first = client.get("/console/assets/vendor/zxing-wasm/zxing_reader.wasm")
    assert first.headers["content-type"] == "application/wasm"
    again = client.get(
        "/console/assets/vendor/zxing-wasm/zxing_reader.wasm",
        headers={"if-none-match": first.headers["etag"]},
    )
    assert again.status_code == 304
    assert again.content == b""


def test_every_vendored_file_is_the_one_that_its_hash_pins() -> None:
    vendor = resources.files("cpmqr.server") / "assets" / "vendor"
    pinned = dict(
        reversed(line.split(maxsplit=1)) for line in (vendor / "SHA256SUMS").read_text().splitlines()
    )
    root = Path(str(vendor))
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} - {"SHA256SUMS"}
    assert files == set(pinned)
    for name, digest in pinned.items():
        assert hashlib.sha256((root / name).read_bytes()).hexdigest() == digest, name


def test_the_catalogue_and_the_trigger_board_have_the_same_codes(client: httpx.Client) -> None:
    assert set(TRIGGERS) == set(codes.CODES)
    told = client.get("/console/setup").json()["codes"]
    assert [item["code"] for item in told] == list(codes.CODES)
    assert all(item["how"] and item["how_ko"] for item in told)


@pytest.mark.parametrize("rslt_cd", list(codes.CODES))
def test_a_recipe_leads_to_its_code(client: httpx.Client, rslt_cd: str) -> None:
    answers: list[dict[str, Any]] = []
    trace_no = ""
    while True:
        order = {"code": rslt_cd, "trace_no": trace_no, "answers": answers}
        following = client.post("/console/trigger", json=order).json()
        trace_no = following["trace_no"]
        if following["request"] is None:
            break
        answer = send(client, following["request"])
        answers.append({"http_status": answer.status_code, "body": answer.text})
    last = json.loads(answers[-1]["body"])
    got = last["PAYGW"]["RESPONSE"]["RSLT_CD"] if "PAYGW" in last else last["rslt_cd"]
    assert got == rslt_cd
    assert answers[-1]["http_status"] == codes.CODES[rslt_cd].http_status


def test_an_issue_is_explained_to_its_last_step(client: httpx.Client) -> None:
    trace_no, answer = issue(client)
    detail = client.get("/console/requests", params={"trace_no": trace_no}).json()
    assert [step["number"] for step in detail["steps"]] == list(range(1, 11))
    assert all(step["passed"] for step in detail["steps"])
    facts = dict(fact for step in detail["steps"] for fact in step["facts"])
    assert facts["ATC"].split()[0] == str(int(facts["ATC (9F36)"], 16))
    assert len(facts["IAD (9F10)"]) == 40
    assert facts["HASH_CRC"] == answer.json()["PAYGW"]["RESPONSE"]["HASH_CRC"]
    assert json.loads(detail["answer"]["body"]) == answer.json()


def test_every_step_title_has_a_korean_one(client: httpx.Client) -> None:
    trace_no, _ = issue(client)
    steps = client.get("/console/requests", params={"trace_no": trace_no}).json()["steps"]
    same = {step["title"] for step in steps if step["title"] == step["title_ko"]}
    assert same == {"HASH_CRC", "ENC_DATA"}


def test_a_refusal_by_the_store_is_the_last_step_of_its_explanation(client: httpx.Client) -> None:
    trace_no, _ = issue(client, token=1)
    detail = client.get("/console/requests", params={"trace_no": trace_no}).json()
    assert [step["number"] for step in detail["steps"]] == list(range(1, 9))
    last = detail["steps"][-1]
    assert (last["passed"], last["code"]) == (False, "4002")
    assert "토큰 일시정지" in last["text"]


def test_an_answer_asked_for_by_header_is_explained_by_the_header(client: httpx.Client) -> None:
    prepared = client.post("/console/wallet", json={"token": 0, "crypto_type": "01"}).json()["request"]
    send(client, {**prepared, "headers": {**prepared["headers"], "X-Sandbox-Result": "9003"}})
    newest = client.get("/console/requests").json()["requests"][-1]
    steps = client.get(f"/console/requests/{newest['number']}").json()["steps"]
    assert [(step["number"], step["title"]) for step in steps] == [
        (1, "content type and credential"),
        (1, "sandbox headers"),
    ]


@pytest.mark.parametrize(
    ("change", "code", "title"),
    [
        ({"body": " " * 70_000}, "1006", "HTTP"),
        ({"method": "GET", "body": ""}, "1004", "HTTP"),
    ],
)
def test_what_http_refuses_is_explained_as_such(
    client: httpx.Client, change: dict[str, str], code: str, title: str
) -> None:
    prepared = client.post("/console/wallet", json={"token": 0, "crypto_type": "01"}).json()["request"]
    send(client, {**prepared, **change})
    newest = client.get("/console/requests").json()["requests"][-1]
    assert newest["code"] == code
    steps = client.get(f"/console/requests/{newest['number']}").json()["steps"]
    assert [(step["title"], step["code"]) for step in steps] == [(title, code)]


def test_verifications_are_watched_too(client: httpx.Client) -> None:
    _, answer = issue(client)
    payload = answer.json()["PAYGW"]["RESPONSE"]["CPMQR_DATA"]
    for expected in ("0000", "5005"):
        send(client, client.post("/console/till", json={"payload": payload}).json()["request"])
        newest = client.get("/console/requests").json()["requests"][-1]
        assert (newest["path"], newest["code"]) == ("/v1/verifications", expected)
        detail = client.get(f"/console/requests/{newest['number']}").json()
        assert json.loads(detail["request"]["body"])["payload"] == payload


def test_the_inspector_keeps_200_and_no_more(client: httpx.Client) -> None:
    for _ in range(REQUESTS_MAX + 5):
        client.get("/paygw/cpmqrdatareq")
    lines = client.get("/console/requests").json()["requests"]
    assert len(lines) == REQUESTS_MAX
    numbers = [line["number"] for line in lines]
    assert numbers == list(range(numbers[0], numbers[0] + REQUESTS_MAX))
    assert client.get(f"/console/requests/{numbers[0] - 1}").status_code == 404
    after = client.get("/console/requests", params={"after": numbers[-3]}).json()["requests"]
    assert [line["number"] for line in after] == numbers[-2:]


@pytest.mark.parametrize("number", ["x", "-1", "0", "9" * 5000, "%F0%9F%92%A9"])
def test_a_number_that_is_none_finds_nothing(client: httpx.Client, number: str) -> None:
    assert client.get(f"/console/requests/{number}").status_code == 404
    assert client.get("/console/requests", params={"after": number}).status_code == 200


def test_no_pan_and_no_credential_are_in_what_the_inspector_shows(
    client: httpx.Client, running: TestGateway
) -> None:
    secrets = json.loads(running.sandbox_file.read_bytes())
    trace_no, _ = issue(client)
    operator = {"authorization": secrets["operator"]["authorization"]}
    client.post("/v1/tokens", json={"pan": PAGE_PAN, "note": PAGE_PAN}, headers=operator)
    newest = client.get("/console/requests").json()["requests"][-1]
    told = client.get("/console/requests", params={"trace_no": trace_no}).text
    told += client.get(f"/console/requests/{newest['number']}").text
    assert PAGE_PAN not in told
    assert "535020******0066" in told
    for holder in (secrets, secrets["authoriser"], secrets["operator"]):
        assert holder["authorization"] not in told
    assert secrets["hash_crc"]["key_hex"] not in told


def test_a_payload_is_explained_with_its_pan_masked_until_asked_for(client: httpx.Client) -> None:
    _, answer = issue(client)
    payload = answer.json()["PAYGW"]["RESPONSE"]["CPMQR_DATA"]
    shown = client.post("/console/payload", json={"payload": payload})
    assert PAGE_PAN not in shown.text
    assert PAGE_PAN not in "".join(shown.json()["octets"])
    assert len(shown.json()["octets"]) == shown.json()["length"] == 99
    open_one = client.post("/console/payload", json={"payload": payload, "show_pan": True}).json()
    assert PAGE_PAN in "".join(open_one["octets"])
    assert open_one["valid"] is True


def test_bytes_that_belong_to_no_object_are_not_shown(client: httpx.Client) -> None:
    unreadable = "4F80" + "5A085350206900000066"  # an indefinite length: what follows can not be told
    broken = client.post("/console/payload", json={"payload": "85054350563031" + unreadable}).json()
    assert broken["valid"] is False
    assert broken["octets"] == ["85", "05", "43", "50", "56", "30", "31", *["??"] * (len(unreadable) // 2)]


def test_moments_are_not_taken_for_pans() -> None:
    assert masked(f"pan {PAGE_PAN}, time 20261124205512") == "pan 535020******0066, time 20261124205512"
