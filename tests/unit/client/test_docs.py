"""docs/client.md is held to the program: its codes, its settings, its code blocks."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import cpmqr
from cpmqr.cli.advice import ADVICE
from cpmqr.client import Gateway
from cpmqr.client.config import read_config
from cpmqr.testing import TestGateway, gateway
from cpmqr.wire import codes

PAGE = Path("docs/client.md").read_text("utf-8")
EXAMPLES = Path("examples").resolve()


@pytest.fixture(scope="module")
def live() -> Iterator[TestGateway]:
    with gateway() as running:
        yield running


def codes_table() -> str:
    """Write the catalogue as the page has it; print this to update the page."""
    rows = ["| code | RSLT_MSG | meaning | HTTP | what to do |", "|---|---|---|---|---|"]
    rows += [
        f"| {code.rslt_cd} | {code.rslt_msg} | {cell(code.meaning)} | {code.http_status} | {cell(advice)} |"
        for code in codes.CODES.values()
        if (advice := ADVICE.get(code.rslt_cd))
    ]
    return "\n".join(rows)


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def test_the_pages_codes_are_the_catalogues() -> None:
    found = re.search(r"<!-- codes -->\n(.*?)\n?<!-- /codes -->", PAGE, re.DOTALL)
    assert found is not None
    assert found[1] == codes_table()


def test_the_page_names_every_setting_with_its_default() -> None:
    rows = dict(re.findall(r"^\| (`.*?) \| (.*?) \|", PAGE, re.MULTILINE))
    named = " ".join(rows)
    for setting in dataclasses.fields(Gateway):
        if setting.name in ("crypto", "hash_crc"):
            assert f"`{setting.name}." in named
        elif setting.name == "insecure":
            assert "`insecure = true`" in PAGE
        else:
            assert f"`{setting.name}" in named
    numbers = {
        name: default
        for names, defaults in rows.items()
        for name, default in zip(re.findall(r"`(\w+)`", names), defaults.split(", "), strict=False)
        if re.fullmatch(r"[\d.]+", default)
    }
    for setting in dataclasses.fields(Gateway):
        if isinstance(setting.default, (int, float)) and not isinstance(setting.default, bool):
            assert float(numbers[setting.name]) == setting.default


def test_the_pages_code_runs(live: TestGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    folder = live.sandbox_file.parent
    monkeypatch.chdir(folder.parent)
    first = first.replace("var/sandbox.json", str(live.sandbox_file))
    exec(compile(first, "docs/client.md", "exec"), {})
    with live.wallet() as wallet:
        exec(compile(second, "docs/client.md", "exec"), {"cpmqr": cpmqr, "wallet": wallet})


@pytest.mark.parametrize("source", ["page", "example"])
def test_the_configurations_are_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.setenv("PAYGW_CREDENTIAL", "x")
    monkeypatch.setenv("PAYGW_TRANSPORT_KEY", "00" * 32)
    monkeypatch.setenv("PAYGW_HASH_KEY", "00" * 32)
    on_page = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert on_page is not None
    text = on_page[1] if source == "page" else (EXAMPLES / "wallet.toml").read_text("utf-8")
    (tmp_path / "wallet.toml").write_text(text, "utf-8")
    assert read_config(tmp_path / "wallet.toml").base_url == tomllib.loads(text)["base_url"]


@pytest.mark.parametrize(("program", "argument"), [("wallet.py", "qr.png"), ("wallet_async.py", "20")])
def test_the_examples_run(live: TestGateway, tmp_path: Path, program: str, argument: str) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / program), str(live.sandbox_file), argument],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "20 of 20" in done.stdout or (tmp_path / "qr.png").read_bytes().startswith(b"\x89PNG")


if __name__ == "__main__":
    print(codes_table())
