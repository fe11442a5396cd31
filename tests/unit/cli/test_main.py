"""The command's frame: exit statuses, messages, and what it costs to start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from cpmqr import errors
from cpmqr.cli import main as frame
from cpmqr.cli import output
from cpmqr.cli.advice import ADVICE
from cpmqr.cli.main import main
from cpmqr.wire import codes

Captured = pytest.CaptureFixture[str]


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Put a command `db` into place that raises."""

    def load(name: str) -> object:
        app = typer.Typer()

        @app.command("db")
        def command() -> None:
            raise error

        return typer.main.get_group(app).commands["db"]

    monkeypatch.setattr(frame, "_load", load)


REFUSED = errors.Refused("4002", "토큰 일시정지", 409)
NO_ANSWER = errors.OutcomeUnknown("no answer", trace_no="T", request_time="20261123090000")
CODED = errors.OutcomeUnknown("9003", trace_no="T", request_time="20261123090000")
CODED.__cause__ = errors.Refused("9003", "처리 시간 초과", 504, retryable=True)
OF_A_PROXY = errors.OutcomeUnknown("502", trace_no="T", request_time="20261123090000")
OF_A_PROXY.__cause__ = errors.Refused("", "HTTP 502", 502, retryable=True)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (REFUSED, 1),
        (errors.UntrustedAnswer("x"), 1),
        (errors.DecodeError("x"), 1),
        (errors.UnsealError("x"), 1),
        (errors.Refusal("4002", "x"), 1),
        (errors.ConfigError("x"), 2),
        (errors.EncodeError("x"), 2),
        (errors.ProfileError("x"), 2),
        (errors.Unreachable("x"), 3),
        (NO_ANSWER, 3),
        (CODED, 1),
        (OF_A_PROXY, 3),
        (errors.StoreUnavailable("x"), 3),
        (errors.KeyUnavailable("x"), 3),
        (FileNotFoundError(2, "No such file", "x"), 2),
        (KeyboardInterrupt(), 130),
        (typer.Exit(1), 1),
        (ModuleNotFoundError("x", name="uvicorn.config"), 2),
        (ZeroDivisionError("division"), 70),
        (ModuleNotFoundError("x", name="cpmqr.nothing"), 70),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_every_error_becomes_an_exit_status_and_never_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured, error: BaseException, status: int
) -> None:
    failing(monkeypatch, error)
    assert main(["db"]) == status
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    if not isinstance(error, (KeyboardInterrupt, typer.Exit)):
        assert said.err.startswith("cpmqr: ")


def test_a_refusal_says_code_text_meaning_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    failing(monkeypatch, errors.Refused("8001", "요청 한도 초과", 429, retryable=True, retry_after_s=7))
    main(["db"])
    assert capsys.readouterr().err.splitlines() == [
        "cpmqr: the gateway refused: 8001 요청 한도 초과 (HTTP 429)",
        "       meaning: rate limit",
        "       next: wait, and send less often",
        "       the gateway asks to wait 7 s",
    ]


def test_an_unknown_outcome_says_how_to_repeat(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    failing(monkeypatch, NO_ANSWER)
    main(["db"])
    assert "repeat: --trace-no T --request-time 20261123090000" in capsys.readouterr().err


def test_a_fault_of_ours_shows_its_place_and_not_what_it_tripped_over(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    failing(monkeypatch, ValueError("5350206900000066"))
    assert main(["db"]) == 70
    said = capsys.readouterr().err
    assert "ValueError at " in said
    assert "5350206900000066" not in said


def test_there_is_advice_on_every_code() -> None:
    assert set(ADVICE) == set(codes.CODES) - {codes.OK}


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["request", "--nonsense"], ["decode"], ["qr"], ["--nonsense"]]
)
def test_wrong_usage_is_status_2(capsys: Captured, arguments: list[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err


def test_a_command_that_is_nearly_right_is_suggested(capsys: Captured) -> None:
    main(["reqest"])
    assert "request" in capsys.readouterr().err


def test_the_help_names_every_command(capsys: Captured) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in frame.COMMANDS:
        assert f" {name} " in shown


@pytest.mark.parametrize("name", frame.COMMANDS)
def test_every_command_has_a_help_text(capsys: Captured, name: str) -> None:
    assert main([name, "--help"]) == 0
    assert "Usage" in capsys.readouterr().out


def test_the_version_is_the_packages_and_says_whether_it_is_compiled(capsys: Captured) -> None:
    from importlib.metadata import version

    assert main(["--version"]) == 0
    build = ", compiled" if "CPMQR_TEST_COMPILED" in os.environ else ""
    assert capsys.readouterr().out == f"cpmqr {version('cpmqr')}{build}\n"


def test_an_extra_that_is_not_installed_is_named_and_hides_no_other_command(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)  # as if it were not installed
    for module in [
        name for name in sys.modules if name.startswith(("cpmqr.server", "cpmqr.cli.serve", "cpmqr.startup"))
    ]:
        monkeypatch.delitem(sys.modules, module)
    assert main(["serve", "--sandbox", "--port", "0", "more"]) == 2
    assert "pip install 'cpmqr[server]'" in capsys.readouterr().err
    assert main(["--help"]) == 0
    assert " request " in capsys.readouterr().out


def test_json_lets_no_control_character_through(capsys: Captured) -> None:
    value = {"성공": "\x1b[2J\x9b2J\x7f \N{SNOWMAN}"}
    output.print_json(value)
    shown = capsys.readouterr().out
    assert json.loads(shown) == value
    assert not any(
        ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in shown.replace("\n", "")
    )


def test_messages_let_no_control_character_through(capsys: Captured) -> None:
    output.fail("a\x1b[2Jb", "c\x9bd")
    assert capsys.readouterr().err == "cpmqr: a�[2Jb\n       c�d\n"


def modules_after(statement: str, folder: Path) -> set[str]:
    script = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=folder, timeout=60
    )
    return set(done.stdout.split())


def test_importing_cpmqr_loads_neither_http_nor_cryptography(tmp_path: Path) -> None:
    loaded = modules_after("import cpmqr", tmp_path)
    assert "cpmqr.errors" in loaded
    assert not loaded & {"httpx", "cryptography", "msgspec", "typer", "segno", "rich"}


def test_decoding_loads_no_http_client_and_no_server(tmp_path: Path) -> None:
    loaded = modules_after(
        "import cpmqr; cpmqr.decode('hQVDUFYwMWEaTwegAAAAVVVVVw8SNFZ4kBI0WNGRIgESNF8=')", tmp_path
    )
    assert "cpmqr.emv.cpm" in loaded
    assert not loaded & {"httpx", "httpcore", "uvicorn", "starlette", "sqlite3", "typer", "asyncio"}


def test_the_decode_command_loads_no_cryptography(tmp_path: Path) -> None:
    payload = "hQVDUFYwMWEaTwegAAAAVVVVVw8SNFZ4kBI0WNGRIgESNF8="
    loaded = modules_after(f"from cpmqr.cli.main import main; main(['decode', '{payload}'])", tmp_path)
    assert {"cpmqr.cli.decode", "cpmqr.emv.explain", "cpmqr.emv.rules"} <= loaded
    assert not loaded & {"cryptography", "cpmqr.emv.profile", "httpx", "sqlite3"}


def test_every_public_name_is_there() -> None:
    import cpmqr

    for name in cpmqr.__all__:
        assert getattr(cpmqr, name) is not None
    assert set(cpmqr.__all__) <= set(dir(cpmqr))
    with pytest.raises(AttributeError, match="nothing"):
        cpmqr.nothing  # noqa: B018
