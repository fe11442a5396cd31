"""`cpmqr explain`: a request of our own passes; one that is changed stops at the step that notices."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.cli.test_request import sandbox_json
from tests.unit.client import stage as play

from cpmqr.cli.main import main
from cpmqr.client import Transport, Wallet

Captured = pytest.CaptureFixture[str]
NOW = "20261123090000"


@pytest.fixture
def body(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A good request's body; the sandbox's file lies in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "var").mkdir()
    (tmp_path / "var/sandbox.json").write_text(sandbox_json("http://127.0.0.1:9"), "utf-8")
    return request_of(Transport("01", "00", play.KEY))


def request_of(transport: Transport) -> str:
    with Wallet(play.gateway(crypto=transport)) as wallet:
        return wallet.prepare(pan=play.PAN, trace_no="거래-1", request_time=NOW).body.decode()


def steps_of(capsys: Captured, text: str, *arguments: str) -> tuple[int, dict[str, object]]:
    Path("request").write_text(text, "utf-8")
    status = main(["explain", "request", "--json", "--now", NOW, *arguments])
    explanation: dict[str, object] = json.loads(capsys.readouterr().out)
    return status, explanation


@pytest.mark.parametrize(
    "transport",
    [Transport("01", "00", play.KEY), Transport("02", "00", play.KEY), Transport("00", "00", b"")],
)
def test_a_good_request_passes_all_seven_steps(capsys: Captured, body: str, transport: Transport) -> None:
    status, explanation = steps_of(capsys, request_of(transport))
    assert status == 0
    assert explanation["code"] == "0000"
    steps = explanation["steps"]
    assert isinstance(steps, list)
    assert [step["number"] for step in steps] == [1, 2, 3, 4, 5, 6, 7]
    assert steps[6]["facts"]["digital PAN"] == "535020******0066"
    assert "inside" in steps[6]["facts"]["window"]


@pytest.mark.parametrize(
    ("old", "new", "code", "step"),
    [
        ("{", "", "1001", 2),
        ('"1.0"', '"1.1"', "1005", 2),
        ('"ENC_DATA"', '"ENC_DATE"', "1002", 3),
        ("Q200", "Q201", "1004", 3),
        ("42000000066", "42000000067", "2002", 4),
        ('"CRYPTO_TYPE":"01"', '"CRYPTO_TYPE":"77"', "3001", 5),
        ('"CRYPTO_KEY_VER":"00"', '"CRYPTO_KEY_VER":"09"', "3002", 5),
        ('"APP_DV":""', '"APP_DV":"x"', "3004", 6),
    ],
)
def test_a_changed_request_stops_at_the_step_that_notices(
    capsys: Captured, body: str, old: str, new: str, code: str, step: int
) -> None:
    assert old in body
    status, explanation = steps_of(capsys, body.replace(old, new, 1))
    steps = explanation["steps"]
    assert isinstance(steps, list)
    assert (status, explanation["code"], steps[-1]["number"]) == (1, code, step)
    assert [item["passed"] for item in steps] == [True] * (step - 1) + [False]


def test_another_key_is_a_failed_decryption_with_a_check_value(capsys: Captured, body: str) -> None:
    Path("other.key").write_text("ff" * 32, "ascii")
    status, explanation = steps_of(capsys, body, "--key-file", "other.key")
    assert (status, explanation["code"]) == (1, "3003")
    assert "check value" in str(explanation["text"])


def test_it_prints_for_people_what_to_compare_and_what_to_do_next(capsys: Captured, body: str) -> None:
    Path("request").write_text(body.replace('"APP_DV":""', '"APP_DV":"x"'), "utf-8")
    assert main(["explain", "request"]) == 1
    shown = capsys.readouterr().out
    assert "6  HASH_CRC: REFUSED 3004" in shown
    assert "APP_DV=x\n" in shown
    assert "computed here" in shown
    assert "next: " in shown
    assert play.PAN not in shown


def test_a_whole_http_request_is_explained_with_its_own_headers(capsys: Captured, body: str) -> None:
    head = "POST /paygw/cpmqrdatareq HTTP/1.1\r\nHost: h\r\n"
    good = f"Authorization: {play.AUTHORIZATION}\r\nContent-Type: application/json\r\n\r\n"
    assert steps_of(capsys, head + good + body)[0] == 0
    assert steps_of(capsys, head + good.replace("application/json", "text/xml") + body)[1]["code"] == "1007"
    assert steps_of(capsys, head + good.replace(play.AUTHORIZATION, "x") + body)[1]["code"] == "2001"


def test_a_body_from_stdin_is_explained(body: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cpmqr", "explain", "-", "--now", NOW],
        input=body,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "7  ENC_DATA: passes" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [["nowhere"], ["."], ["request", "--now", "today"], ["request", "--sandbox-file", "x"], []],
    ids=str,
)
def test_wrong_usage_is_status_2(capsys: Captured, body: str, arguments: list[str]) -> None:
    Path("request").write_text(body, "utf-8")
    assert main(["explain", *arguments]) == 2


def test_an_input_far_over_the_limit_is_refused_unread(capsys: Captured, body: str) -> None:
    Path("request").write_text(" " * (128 * 1024 + 1), "ascii")
    assert main(["explain", "request"]) == 2
