"""decode, encode, till and profile, as a person or a script runs them."""

from __future__ import annotations

import base64
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from cpmqr.cli import decode, encode, profile, till
from cpmqr.cli.main import main
from cpmqr.emv import qr
from cpmqr.errors import ConfigError, DecodeError, EncodeError, ProfileError

VECTORS = Path(__file__).parents[2] / "vectors"
FIELD = json.loads((VECTORS / "cpm.json").read_text("utf-8"))
BY_ID = {entry["id"]: entry for entry in FIELD}
SAMPLE = BY_ID["bc-sample"]["base64"]
PAN = "5350206900000066"


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    for module in (decode, encode, till, profile):
        module.register(app)
    return app


@pytest.fixture
def run(app: typer.Typer) -> Any:
    def call(*arguments: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(app, list(arguments), input=stdin)

    return call


class TestDecode:
    def test_it_draws_a_tree_in_plain_text_into_a_pipe(self, run: Any) -> None:
        result = run("decode", SAMPLE)
        assert result.exit_code == 0
        assert result.stdout.startswith(
            "EMV CPM payload, 99 bytes (132 characters of Base64, read from base64): valid"
        )
        assert "├─ 57  Track 2 Equivalent Data" in result.stdout
        assert "\x1b" not in result.stdout
        assert PAN not in result.stdout.replace(" ", "")

    @pytest.mark.parametrize(
        "form",
        [
            BY_ID["bc-sample"]["hex"],
            bytes.fromhex(BY_ID["bc-sample"]["hex"]).hex(" "),
            SAMPLE[:60] + "\n" + SAMPLE[60:],
            base64.urlsafe_b64encode(bytes.fromhex(BY_ID["bc-sample"]["hex"])).decode(),
        ],
    )
    def test_it_takes_every_form_of_text(self, run: Any, form: str) -> None:
        result = run("decode", form, "--json")
        assert (
            json.loads(result.stdout)["payload"]
            == json.loads(run("decode", SAMPLE, "--json").stdout)["payload"]
        )

    def test_json_has_the_contracts_shape(self, run: Any) -> None:
        result = run("decode", SAMPLE, "--json")
        told = json.loads(result.stdout)
        assert list(told) == ["valid", "encoding", "length", "payload", "findings"]
        assert told["payload"][0] == {
            "tag": "85",
            "name": "Payload Format Indicator",
            "offset": 0,
            "length": 5,
            "value": "4350563031",
            "meaning": "EMV consumer-presented mode, version 1.x",
        }
        assert set(told["payload"][1]) == {"tag", "name", "offset", "length", "value", "children"}
        assert told["findings"] == [
            {
                "level": "warning",
                "offset": 18,
                "tag": "57",
                "rule": "expired",
                "text": "61/57: the expiry is past [EMV Book 3 A1 (57)]",
            }
        ]

    @pytest.mark.parametrize("entry", FIELD, ids=lambda entry: entry["id"])
    def test_the_exit_status_tells_valid_from_not(self, run: Any, entry: dict[str, Any]) -> None:
        result = run("decode", entry["base64"], "--json")
        told = json.loads(result.stdout)
        assert result.exit_code == (0 if told["valid"] else 1)
        if entry["expected"] in {"valid", "valid-nonminimal"}:
            assert told["valid"]
        elif entry["expected"] != "invalid-or-warn":
            assert not told["valid"]

    def test_the_pan_is_shown_only_when_asked_for(self, run: Any) -> None:
        assert PAN not in run("decode", SAMPLE, "--json").stdout
        assert f"PAN            {PAN}" in run("decode", SAMPLE, "--show-pan").stdout
        assert PAN in run("decode", SAMPLE, "--json", "--show-pan").stdout

    def test_it_says_that_a_lenient_reading_would_go(self, run: Any) -> None:
        strict = run("decode", BY_ID["qris-fatalisa"]["base64"])
        assert strict.exit_code == 1
        assert "--lenient reads it" in strict.stderr
        lenient = run("decode", BY_ID["qris-fatalisa"]["base64"], "--lenient")
        assert lenient.exit_code == 0
        assert "the issuer left out 81" in lenient.stdout

    def test_it_tells_what_a_profile_does_otherwise(self, run: Any) -> None:
        result = run("decode", BY_ID["upi-cn-1"]["base64"], "--profile", "unionpay")
        assert result.exit_code == 0
        assert "another order: 4F 57 63 5F34 [profile unionpay]" in result.stdout

    def test_it_checks_the_cryptogram_under_a_key_from_a_file(self, run: Any, tmp_path: Path) -> None:
        example = json.loads((VECTORS / "contract.json").read_text("utf-8"))["payload"][1]
        path = tmp_path / "master.hex"
        path.write_text(example["issuer_master_key_hex"] + "\n")
        options = ["--profile", "bc-domestic", "--issuer-key-file", str(path)]
        good = run("decode", example["cpmqr_data"], *options)
        assert good.exit_code == 0
        assert "✓ the cryptogram is the one that this issuer master key gives" in good.stdout
        wrong = run("decode", SAMPLE, "--json", *options)
        assert wrong.exit_code == 1
        finding = json.loads(wrong.stdout)["findings"][-1]
        assert (finding["rule"], finding["tag"], finding["offset"]) == ("cryptogram", "9F26", 45)
        assert "no cryptogram" in run("decode", BY_ID["emvco-ex1"]["base64"], *options).stdout
        assert isinstance(run("decode", SAMPLE, *options[2:]).exception, ConfigError)
        assert isinstance(run("decode", SAMPLE, "--profile", "qris", *options[2:]).exception, ConfigError)
        path.write_text("00" * 8)
        assert "takes a key of 16 bytes" in str(run("decode", SAMPLE, *options).exception)

    def test_it_reads_stdin_as_text_as_bytes_and_as_a_picture(self, run: Any, tmp_path: Path) -> None:
        for stdin in (SAMPLE + "\n", bytes.fromhex(BY_ID["bc-sample"]["hex"]), qr.png(SAMPLE)):
            result = run("decode", "-", "--json", stdin=stdin)
            assert json.loads(result.stdout)["length"] == 99

    def test_it_reads_files(self, run: Any, tmp_path: Path) -> None:
        (tmp_path / "payload.txt").write_text(SAMPLE + "\n")
        (tmp_path / "payload.bin").write_bytes(bytes.fromhex(BY_ID["bc-sample"]["hex"]))
        (tmp_path / "qr.png").write_bytes(qr.png(SAMPLE))
        for name, encoding in (("payload.txt", "base64"), ("payload.bin", "binary"), ("qr.png", "base64")):
            assert json.loads(run("decode", str(tmp_path / name), "--json").stdout)["encoding"] == encoding

    def test_a_picture_without_a_qr_is_a_negative_answer(self, run: Any, tmp_path: Path) -> None:
        from PIL import Image

        path = tmp_path / "blank.png"
        Image.new("RGB", (50, 50), "white").save(path)
        result = run("decode", str(path), "--json")
        assert result.exit_code == 1
        assert "no QR was found" in json.loads(result.stdout)["findings"][0]["text"]
        assert isinstance(run("decode", str(path)).exception, DecodeError)

    def test_a_broken_or_huge_picture_is_refused(self, run: Any, tmp_path: Path) -> None:
        (tmp_path / "broken.png").write_bytes(qr.png(SAMPLE)[:60])
        assert "no picture that can be read" in str(run("decode", str(tmp_path / "broken.png")).exception)
        from PIL import Image

        Image.new("1", (8000, 7000)).save(tmp_path / "huge.png")
        assert "50 million pixels" in str(run("decode", str(tmp_path / "huge.png")).exception)

    def test_a_missing_picture_is_wrong_usage(self, run: Any) -> None:
        assert isinstance(run("decode", "absent.png").exception, ConfigError)
        assert isinstance(run("decode", SAMPLE, "--profile", "absent").exception, ProfileError)

    def test_text_that_is_none_is_a_negative_answer(self, run: Any) -> None:
        for text in ("hello", "", "hQVD UFY", "ÿ", "\x00", "a" * 5000):
            result = run("decode", text)
            assert result.exit_code == 1, text
            assert "No payload" in result.stdout or "NOT VALID" in result.stdout

    def test_control_characters_do_not_reach_the_terminal(self, run: Any) -> None:
        label = b"\x1b[31mred\x07"
        inner = bytes.fromhex("4F05A000000003") + b"\x50" + bytes([len(label)]) + label
        payload = b"\x85\x05CPV01" + b"\x61" + bytes([len(inner)]) + inner
        result = run("decode", payload.hex())
        assert "\x1b" not in result.stdout
        assert "\x07" not in result.stdout

    def test_a_terminal_gets_colours_and_its_own_width(self) -> None:
        leader, follower = pty.openpty()
        program = "import sys; from cpmqr.cli.main import main; sys.exit(main(sys.argv[1:]))"
        command = [sys.executable, "-c", program, "decode", SAMPLE]
        environment = {**os.environ, "COLUMNS": "100", "TERM": "xterm-256color"}
        environment.pop("NO_COLOR", None)
        done = subprocess.run(command, stdout=follower, env=environment, timeout=60, check=False)
        os.close(follower)
        shown = b""
        while chunk := _read(leader):
            shown += chunk
        os.close(leader)
        assert done.returncode == 0
        assert b"\x1b[" in shown
        assert "Track 2 Equivalent Data" in shown.decode()
        assert PAN.encode() not in shown


class TestEncode:
    def test_it_makes_the_pages_sample_from_names_and_tags(self, run: Any) -> None:
        values = [
            "pan=5350206900000066",
            "expiry=2007",
            "service_code=601",
            "discretionary=0000000000099",
            "5f34=02",
            "9F26=9844477339EBD67D",
            "9F10=0509A00008000000000000002020061117512101",
            "atc=008B",
            "9F37=66E03B45",
        ]
        assert run("encode", "--profile", "bc-domestic", *values).stdout == SAMPLE + "\n"
        assert (
            run("encode", "--profile", "bc-domestic", "--hex", *values).stdout.strip()
            == BY_ID["bc-sample"]["hex"]
        )
        told = json.loads(run("encode", "--profile", "bc-domestic", "--json", *values).stdout)
        assert told == {"base64": SAMPLE, "hex": BY_ID["bc-sample"]["hex"], "length": 99}

    def test_text_is_taken_for_a_tag(self, run: Any) -> None:
        result = run(
            "encode", "--profile", "qris", "pan=9360091400000000001", "9F74=text:cheque:1", "50=text:QRIS"
        )
        shown = run("decode", result.stdout.strip())
        assert "“cheque:1”" in shown.stdout
        assert "“QRIS”" in shown.stdout

    @pytest.mark.parametrize(
        ("arguments", "error", "reason"),
        [
            (["--profile", "bc-domestic"], EncodeError, "57 5F34 9F26 9F10 9F36 9F37 are not known"),
            ([], EncodeError, "neither track 2"),
            (["--profile", "absent"], ProfileError, "neither a built-in profile"),
            (["novalue"], ConfigError, "is not tag=value"),
            (["=00"], ConfigError, "is not tag=value"),
            (["--profile", "qris", "pan=9360091400000000001", "9F74=zz"], EncodeError, "not hex digits"),
            (
                ["--profile", "qris", "pan=9360091400000000001", "9F74=00", "5F2D=text:k"],
                EncodeError,
                "2 to 8",
            ),
        ],
    )
    def test_what_makes_no_payload_is_wrong_usage(
        self, run: Any, arguments: list[str], error: type[Exception], reason: str
    ) -> None:
        result = run("encode", *arguments)
        assert isinstance(result.exception, error)
        assert reason in str(result.exception)
        assert result.stdout == ""


class TestTill:
    def test_it_chooses_splits_and_makes_de_55(self, run: Any) -> None:
        result = run("till", SAMPLE, "--aid", "D410000001", "--terminal", "9F02=000000012000", "--json")
        told = json.loads(result.stdout)
        assert result.exit_code == 0
        assert (told["outcome"], told["aid"], told["pan"]) == (
            "accepted",
            "D4100000014010",
            "535020******0066",
        )
        assert told["de55"].startswith("9F02060000000120008407D4100000014010")
        assert [item["tag"] for item in told["poi_data"]] == ["4F", "57", "5F34"]
        assert PAN not in result.stdout

    def test_the_pan_is_shown_only_when_asked_for(self, run: Any) -> None:
        assert PAN not in run("till", SAMPLE, "--aid", "D410000001").stdout
        assert PAN in run("till", SAMPLE, "--aid", "D410000001", "--show-pan").stdout

    @pytest.mark.parametrize(
        ("payload", "outcome"),
        [
            (SAMPLE, "not-supported"),
            ("https://example.com", "not-emv"),
            (BY_ID["qris-astra-7"]["base64"], "error"),
        ],
    )
    def test_another_outcome_is_a_negative_answer(self, run: Any, payload: str, outcome: str) -> None:
        result = run("till", payload, "--aid", "A000000333010101", "--json")
        assert result.exit_code == 1
        assert json.loads(result.stdout)["outcome"] == outcome

    def test_wrong_usage_is_told(self, run: Any) -> None:
        assert isinstance(run("till", SAMPLE, "--aid", "D4").exception, ConfigError)
        assert isinstance(
            run("till", SAMPLE, "--aid", "D410000001", "--terminal", "9F02").exception, ConfigError
        )
        assert run("till", SAMPLE).exit_code == 2


class TestProfile:
    def test_the_built_in_ones_are_listed(self, run: Any) -> None:
        assert [line.split()[0] for line in run("profile", "list").stdout.splitlines()] == [
            "bc-domestic",
            "unionpay",
            "emvco",
            "qris",
        ]
        assert json.loads(run("profile", "list", "--json").stdout)[0]["master_key_algorithm"] == "tdes-112"

    @pytest.mark.parametrize("name", ["bc-domestic", "unionpay", "emvco", "qris"])
    def test_one_is_shown_as_text_json_and_toml(self, run: Any, tmp_path: Path, name: str) -> None:
        assert "Payload Format Indicator" in run("profile", "show", name).stdout
        assert json.loads(run("profile", "show", name, "--json").stdout)["layout"][0]["tag"] == "85"
        path = tmp_path / "mine.toml"
        path.write_text(run("profile", "show", name, "--toml").stdout, "utf-8")
        assert run("profile", "check", str(path)).exit_code == 0

    def test_a_bad_file_is_a_negative_answer_with_its_line(self, run: Any, tmp_path: Path) -> None:
        path = tmp_path / "bad.toml"
        path.write_text('name = "x"\naid = "no"\nlayout = []\n')
        result = run("profile", "check", str(path))
        assert result.exit_code == 1
        assert f"{path}:2: " in result.stderr
        assert isinstance(run("profile", "check", str(tmp_path / "absent")).exception, ProfileError)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["decode", SAMPLE], 0),
        (["decode", "hello"], 1),
        (["decode"], 2),
        (["decode", SAMPLE, "--profile", "absent"], 2),
        (["decode", "absent.png"], 2),
        (["encode", "--profile", "bc-domestic"], 2),
        (["till", SAMPLE, "--aid", "A000000333"], 1),
        (["till", SAMPLE, "--aid", "x"], 2),
        (["profile", "list"], 0),
        (["profile", "check", "absent"], 2),
        (["profile", "show", "absent"], 2),
    ],
)
def test_the_commands_frame_gives_the_contracts_exit_status(
    arguments: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == status
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert "fault of cpmqr's own" not in err


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other end is closed
        return b""
