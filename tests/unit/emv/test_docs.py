"""What docs/cpm.md and docs/profiles.md show is what the toolkit does."""

from __future__ import annotations

import datetime
import re
import shlex
from pathlib import Path

import pytest

import cpmqr
from cpmqr.cli.main import main
from cpmqr.crypto.blocks import tdes_ecb
from cpmqr.emv.explain import explain
from cpmqr.emv.picture import plain
from cpmqr.emv.profile import BUILT_IN, CardData, Profile
from cpmqr.emv.rules import validate
from cpmqr.emv.tlv import walk

DOCS = Path(__file__).parents[3] / "docs"
CPM = (DOCS / "cpm.md").read_text("utf-8")
PROFILES = (DOCS / "profiles.md").read_text("utf-8")
SAMPLE = (
    "hQVDUFYwMWFaTwfUEAAAAUAQVxNTUCBpAAAAZtIAdgEAAAAAAAmfXzQBAmM2nyYImERHcznr1n2fJwGAnxAUBQmgAAgAAAAAAAAAICAGERdR"
    "IQGfNgIAi4ICAACfNwRm4DtF"
)


def test_the_picture_in_the_docs_is_the_programs() -> None:
    block = re.findall(r"```\n\$ cpmqr decode (\S+)\n(.*?)\n```", CPM, re.DOTALL)[0]
    assert block[0] == SAMPLE
    assert plain(explain(SAMPLE, today=datetime.date(2026, 11, 23))) == block[1]


def test_the_table_of_bytes_is_right() -> None:
    binary = cpmqr.decode(SAMPLE).raw
    rows = re.findall(r"^\| (\d+) \| (.+?) \|", CPM, re.MULTILINE)
    assert len(rows) > 20
    for offset, cells in rows:
        if "…" in cells or int(offset) == 30:  # cut, or a nibble of the byte before
            continue
        digits = "".join(re.findall(r"`([0-9A-F ]+)`", cells)).replace(" ", "")
        assert binary[int(offset) :].hex().upper().startswith(digits), offset
    told = {int(offset) for offset, _ in rows}
    assert {item.offset for item in walk(cpmqr.decode(SAMPLE).objects)} <= told


def test_the_python_in_the_docs_runs(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", CPM, re.DOTALL)
    exec(re.sub(r'"hQVDU.*…"', f'"{SAMPLE}"', example), {"print": lambda _: None})
    (example,) = re.findall(r"```python\n(.*?)```", PROFILES, re.DOTALL)
    names = {"master_key": bytes(16), "unpredictable_number": bytes(4)}
    exec(example, names)
    assert validate(names["payload"]) == []


def commands(page: str) -> list[str]:
    """List the commands of a page's blocks, without those that need a gateway or jq."""
    blocks = re.findall(r"^```\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("cpmqr ") and "| jq" not in line]


@pytest.mark.parametrize("page", [CPM, PROFILES], ids=["cpm.md", "profiles.md"])
def test_each_command_in_the_docs_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    card = CardData("5350206900000066", "02", "3012", "601", "0000000000099")
    issue = Profile.load("bc-domestic").compile().issue
    Path("payload.txt").write_bytes(
        issue(tdes_ecb(bytes(range(16))), card, 1, bytes(4), "20261123090000", "05")
    )
    Path("master.hex").write_text(bytes(range(16)).hex())
    shown = {}
    assert len(commands(page)) >= 3
    for command in commands(page):
        line, _, file = command.replace("PAYLOAD", SAMPLE).partition(" > ")
        status = main(shlex.split(line)[1:])
        shown[command], err = capsys.readouterr()
        assert (command, status, err) == (command, 0, "")
        if file:
            Path(file).write_text(shown[command])
    by_hand = [text for command, text in shown.items() if "encode --profile bc-domestic" in command]
    assert len(set(by_hand)) <= 1  # by name and by tag: the same payload
    for command, text in shown.items():
        assert ("--issuer-key-file" in command) == ("the cryptogram is the one" in text)


def test_the_profile_in_the_docs_is_good() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PROFILES, re.DOTALL)
    profile = Profile.parse(text, source="docs/profiles.md")
    assert profile.master_key_algorithm == "tdes-112"
    assert all(f"`{name}`" in PROFILES for name in BUILT_IN)
