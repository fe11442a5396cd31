"""`cpmqr verify`, against a live gateway."""

from __future__ import annotations

import io
import json
import sys

import pytest

from cpmqr.cli.main import main

from .conftest import Sides

CONTRACT_MEMBERS = {
    "result",
    "rslt_cd",
    "token_id",
    "funding_ref",
    "requestor_id",
    "trace_no",
    "atc",
    "issued_at",
    "expires_at",
    "qr_data_mapp_val",
}


def run(sides: Sides, *arguments: str) -> int:
    return main(["verify", *arguments, "--sandbox-file", str(sides.running.sandbox_file)])


def test_an_approval_ends_with_0_and_says_what_is_charged(
    sides: Sides, capsys: pytest.CaptureFixture[str]
) -> None:
    pan = sides.new_pan(funding_ref="account-17")
    qr = sides.wallet.request_qr(pan=pan)
    assert run(sides, qr.base64) == 0
    out = capsys.readouterr().out
    assert out.startswith("approved  0000\n")
    assert "account-17" in out
    assert pan not in out


def test_json_has_the_contracts_members_and_http_status(
    sides: Sides, pan: str, capsys: pytest.CaptureFixture[str]
) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    assert run(sides, qr.base64, "--json", "--authorization-id", f"C-{qr.trace_no}") == 0
    approved = json.loads(capsys.readouterr().out)
    assert set(approved) == CONTRACT_MEMBERS | {"http_status"}
    assert run(sides, qr.base64, "--json", "--authorization-id", f"C-{qr.trace_no}") == 0
    assert json.loads(capsys.readouterr().out) == approved
    assert run(sides, qr.base64, "--json") == 1
    declined = json.loads(capsys.readouterr().out)
    assert (declined["result"], declined["rslt_cd"], declined["http_status"]) == ("declined", "5005", 409)


def test_a_payload_is_read_from_stdin(
    sides: Sides, pan: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(sides.wallet.request_qr(pan=pan).base64 + "\n"))
    assert run(sides, "-") == 0
    assert "approved" in capsys.readouterr().out


def test_what_can_not_be_read_is_a_negative_answer(sides: Sides, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(sides, "nonsense") == 1
    assert "1003" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["x", "--track2", "y", "--icc-data", "z"],
        ["--track2", "y"],
        ["x", "--url", "http://gateway.example", "--authorization", "a"],
        ["x", "--authorization", "a", "--authorization-file", "b"],
    ],
)
def test_wrong_usage_ends_with_2(sides: Sides, arguments: list[str]) -> None:
    assert run(sides, *arguments) == 2


def test_a_missing_file_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "x", "--sandbox-file", "/nowhere/sandbox.json"]) == 2
    assert "cpmqr serve --sandbox" in capsys.readouterr().err


def test_no_gateway_ends_with_3(sides: Sides) -> None:
    assert run(sides, "x", "--url", "http://127.0.0.1:9") == 3


def test_url_and_credential_stand_in_for_the_file(
    sides: Sides, pan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    qr = sides.wallet.request_qr(pan=pan)
    monkeypatch.setenv("CPMQR_AUTHORIZATION", sides.file["authoriser"]["authorization"])
    assert main(["verify", qr.base64, "--url", sides.running.base_url]) == 0
