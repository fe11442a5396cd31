"""`cpmqr request` and `cpmqr qr`: what they print, write and end with."""

from __future__ import annotations

import base64
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image
from tests.unit.client import stage as play
from tests.unit.client.stage import Stage
from tests.unit.emv.test_qr import picture_of_terminal, read_back

from cpmqr.cli import qr_screen
from cpmqr.cli.main import main

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A playing gateway, and the file that a sandbox would have written for it, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "TERM", "CPMQR_AUTHORIZATION", "CPMQR_TRANSPORT_KEY", "CPMQR_HASH_KEY"):
        monkeypatch.delenv(name, raising=False)
    with Stage([play.success()]) as running:
        (tmp_path / "var").mkdir()
        (tmp_path / "var/sandbox.json").write_text(sandbox_json(running.base_url), "utf-8")
        yield running


def sandbox_json(base_url: str) -> str:
    keys = {crypto_type: {"key_ver": "00", "key_hex": play.KEY.hex()} for crypto_type in ("01", "02")}
    return json.dumps(
        {
            "base_url": base_url,
            "requestor_id": play.REQUESTOR_ID,
            "authorization": play.AUTHORIZATION,
            "crypto_types": keys,
            "hash_crc": {"mode": "hmac-sha256", "key_hex": play.HASH_KEY.hex()},
            "tokens": [
                {"pan": "5350205023145170", "state": "suspended"},
                {"pan": play.PAN, "state": "active"},
            ],
        }
    )


def qr_in(text: str) -> str:
    """Read the QR that stands in a command's output."""
    lines = [line for line in text.splitlines(keepends=True) if line.startswith("\x1b[38;5;16")]
    return read_back(picture_of_terminal("".join(lines), dark=True))


def test_a_request_draws_a_qr_that_scans_and_says_how_long_it_is_valid(
    stage: Stage, capsys: Captured
) -> None:
    assert main(["request"]) == 0
    shown = capsys.readouterr()
    assert qr_in(shown.out) == play.CPMQR_DATA
    assert len(re.findall(r"valid until \d\d:\d\d:\d\d UTC", shown.out)) == 1
    assert "\r" not in shown.out
    assert shown.err == ""
    assert stage.seen[0].headers["authorization"] == play.AUTHORIZATION


def test_json_is_one_flat_object_of_the_members_and_the_status(stage: Stage, capsys: Captured) -> None:
    assert main(["request", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**play.success_members(), "http_status": 200}


def test_a_refusal_in_json_is_status_1_with_code_and_http_status(stage: Stage, capsys: Captured) -> None:
    stage.acts = [play.refusal("4002", 409, "토큰 일시정지", REQUESTOR_ID=play.REQUESTOR_ID)]
    assert main(["request", "--json"]) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {
        "RSLT_CD": "4002",
        "RSLT_MSG": "토큰 일시정지",
        "REQUESTOR_ID": play.REQUESTOR_ID,
        "http_status": 409,
    }
    assert "token suspended" in shown.err


def test_9003_to_the_end_is_status_1_in_json_and_says_how_to_repeat(stage: Stage, capsys: Captured) -> None:
    stage.acts = [play.refusal("9003", 504)]
    assert main(["request", "--json", "--trace-no", "T1"]) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["http_status"] == 504
    assert "repeat: --trace-no T1 --request-time 2" in shown.err


def test_an_answer_that_cant_be_trusted_is_not_printed(stage: Stage, capsys: Captured) -> None:
    stage.acts = [play.success(HASH_CRC="AAAA")]
    assert main(["request", "--json"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "HASH_CRC is wrong" in shown.err


def test_where_nobody_listens_it_is_status_3(stage: Stage, capsys: Captured) -> None:
    assert main(["request", "--url", "http://127.0.0.1:9", "--json"]) == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "can't be reached" in shown.err


def test_a_url_wins_over_the_files(stage: Stage, capsys: Captured) -> None:
    with Stage([play.success()]) as other:
        assert main(["request", "--json", "--url", other.base_url]) == 0
        assert main(["request", "--json", "--sandbox-file", "var/sandbox.json", "--url", other.base_url]) == 0
        assert (len(other.seen), len(stage.seen)) == (2, 0)


def test_the_sandboxs_credential_is_not_sent_to_another_machine_unasked(
    stage: Stage, capsys: Captured
) -> None:
    assert main(["request", "--url", "https://paygw.example"]) == 2
    assert "--requestor-id" in capsys.readouterr().err


def test_without_a_sandbox_keys_come_from_files_and_variables(
    stage: Stage, capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Path("var/sandbox.json").unlink()
    Path("key").write_text(play.KEY.hex() + "\n", "ascii")
    monkeypatch.setenv("CPMQR_AUTHORIZATION", play.AUTHORIZATION)
    monkeypatch.setenv("CPMQR_HASH_KEY", play.HASH_KEY.hex())
    given = ["request", "--url", stage.base_url, "--requestor-id", play.REQUESTOR_ID, "--json"]
    assert main([*given, "--key-file", "key", "--pan", play.PAN]) == 0
    assert stage.seen[0].headers["authorization"] == play.AUTHORIZATION
    capsys.readouterr()
    assert main([*given, "--key-file", "key"]) == 2
    assert "--pan" in capsys.readouterr().err
    assert main([*given, "--pan", play.PAN]) == 2
    assert "--key-file" in capsys.readouterr().err
    monkeypatch.delenv("CPMQR_HASH_KEY")
    assert main([*given, "--key-file", "key", "--pan", play.PAN]) == 2
    assert "--hash-key-file" in capsys.readouterr().err
    monkeypatch.delenv("CPMQR_AUTHORIZATION")
    assert main([*given, "--pan", play.PAN]) == 2
    assert "--authorization-file" in capsys.readouterr().err


def test_without_any_gateway_it_says_what_to_start(stage: Stage, capsys: Captured) -> None:
    Path("var/sandbox.json").unlink()
    assert main(["request"]) == 2
    assert "cpmqr serve --sandbox" in capsys.readouterr().err


def test_a_configuration_file_is_enough(stage: Stage, capsys: Captured) -> None:
    Path("wallet.toml").write_text(
        f'base_url = "{stage.base_url}"\nrequestor_id = "{play.REQUESTOR_ID}"\nauthorization = "c"\n'
        f'[crypto]\ntype = "01"\nkey_ver = "00"\nkey_hex = "{play.KEY.hex()}"\n'
        f'[hash_crc]\nmode = "hmac-sha256"\nkey_hex = "{play.HASH_KEY.hex()}"\n',
        "utf-8",
    )
    assert main(["request", "--config", "wallet.toml", "--pan", play.PAN, "--json"]) == 0
    assert stage.seen[0].headers["authorization"] == "c"
    assert main(["request", "--config", "wallet.toml", "--sandbox-file", "var/sandbox.json"]) == 2


@pytest.mark.parametrize("ending", ["svg", "png", "PNG"])
def test_out_writes_the_picture_in_place_of_drawing_it(stage: Stage, capsys: Captured, ending: str) -> None:
    assert main(["request", "--out", f"qr.{ending}"]) == 0
    assert "\x1b" not in capsys.readouterr().out
    data = Path(f"qr.{ending}").read_bytes()
    if ending == "svg":
        assert b"<svg" in data
    else:
        assert read_back(Image.open(io.BytesIO(data))) == play.CPMQR_DATA


@pytest.mark.parametrize(
    "arguments",
    [
        ["--out", "qr.gif"],
        ["--pan", "12"],
        ["--trace-no", "x" * 41],
        ["--request-time", "now"],
        ["--crypto-type", "11"],
        ["--crypto-type", "7"],
        ["--sandbox-file", "nowhere.json"],
        ["--hash-crc", "md5"],
        ["--crypto-type", "02", "--hash-crc", "off"],
        ["--spelling", "both"],
        ["--url", "paygw.example"],
        ["--ca-bundle", "nowhere.pem", "--url", "https://127.0.0.1:9"],
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)
def test_what_is_wrong_is_said_before_anything_is_sent(
    stage: Stage, capsys: Captured, arguments: list[str]
) -> None:
    assert main(["request", *arguments]) == 2
    assert stage.seen == []
    shown = capsys.readouterr()
    assert (shown.out, shown.err[:7]) == ("", "cpmqr: ")


def test_a_file_that_cant_be_written_is_wrong_usage(stage: Stage, capsys: Captured) -> None:
    assert main(["request", "--out", "no/such/folder/qr.png"]) == 2
    assert "can't be written" in capsys.readouterr().err


def test_attempts_that_are_made_again_are_told_on_stderr(stage: Stage, capsys: Captured) -> None:
    stage.acts = [play.refusal("9001", 503), play.success()]
    assert main(["request"]) == 0
    assert capsys.readouterr().err.startswith("attempt 1: 9001 ")


def test_an_incident_is_named_for_the_operator(stage: Stage, capsys: Captured) -> None:
    stage.acts = [play.plain(500, b"", {"X-Incident-Id": "ab12\x1b"})]
    assert main(["request"]) == 3
    assert "incident ab12\N{REPLACEMENT CHARACTER}\n" in capsys.readouterr().err


def test_a_sandbox_can_be_made_to_fail(stage: Stage) -> None:
    assert main(["request", "--json", "--sandbox-result", "9003"]) == 0
    assert stage.seen[0].headers["x-sandbox-result"] == "9003"


def test_a_hostile_text_does_not_reach_the_terminal(stage: Stage, capsys: Captured) -> None:
    stage.acts = [play.refusal("4002", 409, "x\x1b]0;owned\x07\x9b2J")]
    assert main(["request"]) == 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", capsys.readouterr().err)


def test_without_colour_the_qr_still_scans(
    stage: Stage, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["request"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    drawing = "".join(line for line in shown.splitlines(keepends=True) if set(line) <= set(" ▀▄█\n"))
    assert read_back(picture_of_terminal(drawing, dark=True)) == play.CPMQR_DATA


def in_a_terminal(interrupt: bool) -> tuple[str, int]:
    """Run `cpmqr request` in a pseudo-terminal of 100 by 40; give what it showed and its exit status."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    command = [sys.executable, "-m", "cpmqr", "request"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    give_up_s = time.monotonic() + 30
    while time.monotonic() < give_up_s:
        if not select.select([ours], [], [], 0.2)[0]:
            continue
        try:
            piece = os.read(ours, 65_536)
        except OSError:  # the other end is closed
            break
        shown += piece
        if interrupt and shown.count(b"valid for") == 2:
            process.send_signal(signal.SIGINT)
            interrupt = False
    os.close(ours)
    return shown.decode(), process.wait(10)


def test_in_a_terminal_it_counts_down_until_ctrl_c(stage: Stage) -> None:
    # The payload's own issue time is past: one without a time makes the countdown begin now.
    stage.acts = [play.success(CPMQR_DATA=payload_without_a_time())]
    shown, status = in_a_terminal(interrupt=True)
    assert status == 0
    assert "valid for 3:00" in shown or "valid for 2:59" in shown
    assert "Traceback" not in shown
    assert qr_in(shown.replace("\r\n", "\n")) == payload_without_a_time()


def test_in_a_terminal_a_qr_that_has_expired_says_so(stage: Stage) -> None:
    stage.acts = [play.success(CPMQR_DATA=play.VECTORS["payload"][0]["cpmqr_data"])]  # issued in 2020
    shown, status = in_a_terminal(interrupt=False)
    assert status == 0
    assert "expired: ask for a new one" in shown


def payload_without_a_time() -> str:
    """The same payload under an AID whose application data have no known place for a time."""
    binary = base64.b64decode(play.CPMQR_DATA).replace(
        bytes.fromhex("D4100000014010"), bytes.fromhex("A0000005555555")
    )
    return base64.b64encode(binary).decode()


def test_the_countdown_shows_each_second_once(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.4
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now_s
        slept.append(seconds)
        now_s += seconds

    monkeypatch.setattr(qr_screen.time, "sleep", sleep)
    qr_screen.count_down(1003.0, clock=lambda: now_s)
    shown = [part.strip()[:14] for part in capsys.readouterr().out.split("\r") if part]
    assert shown == ["valid for 0:03", "valid for 0:02", "valid for 0:01", "expired: ask f"]
    assert slept == pytest.approx([0.6, 1, 1], abs=0.01)


def test_a_curl_line_is_printed_and_nothing_is_sent(stage: Stage, capsys: Captured) -> None:
    assert main(["request", "--curl"]) == 0
    line = capsys.readouterr().out
    assert line.startswith("curl -sS http://127.0.0.1:")
    assert play.AUTHORIZATION in line
    assert stage.seen == []


@pytest.mark.parametrize(
    "text",
    [play.CPMQR_DATA, "8505435056303161 1A4F07A0000000555555570F1234567890123458D191220112345F"],
    ids=["Base64", "hex with blanks"],
)
def test_qr_draws_a_payload_in_the_terminal_and_to_a_file(stage: Stage, capsys: Captured, text: str) -> None:
    expected = text if " " not in text else "hQVDUFYwMWEaTwegAAAAVVVVVw8SNFZ4kBI0WNGRIgESNF8="
    assert main(["qr", text]) == 0
    assert qr_in(capsys.readouterr().out) == expected
    assert main(["qr", text, "-o", "q.png"]) == 0
    found = zxingcpp.read_barcode(Image.open("q.png"))
    assert found is not None
    assert found.text == expected


def test_qr_reads_stdin(stage: Stage) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cpmqr", "qr", "-"],
        input=play.CPMQR_DATA + "\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert qr_in(done.stdout) == play.CPMQR_DATA


@pytest.mark.parametrize("text", ["hQVD" * 129, "", "not base64", "85054", "x" * 5000])
def test_qr_refuses_what_makes_no_qr(stage: Stage, capsys: Captured, text: str) -> None:
    assert main(["qr", text]) == 2
    assert capsys.readouterr().out == ""


def test_qr_draws_a_faulty_payload_and_says_so(stage: Stage, capsys: Captured) -> None:
    assert main(["qr", "hQVDUFYwMQ=="]) == 0
    shown = capsys.readouterr()
    assert qr_in(shown.out) == "hQVDUFYwMQ=="
    assert "warning" in shown.err
