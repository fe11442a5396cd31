"""Each command of docs/keys.md does what the page says: they run here in the page's order."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from tests.unit.keys.made import key_bytes

from cpmqr.cli import main as cli
from cpmqr.keys.tr31 import write_block
from cpmqr.model import KeyPurpose, Secret
from cpmqr.service import reseal

PAGE = Path(__file__).parents[3] / "docs" / "keys.md"
FILES = {
    "shared.hex": key_bytes("shared").hex(),
    "theirs.tr31": write_block(
        Secret(key_bytes("theirs")), Secret(key_bytes("shared")), KeyPurpose.TRANSPORT, "aes-256"
    ),
    # Components of the industry's test key 0123456789ABCDEFFEDCBA9876543210.
    "part-1.hex": "1111111111111111 2222222222222222",
    "part-2.hex": "1032547698BADCFE DCFE98BA54761032",
}


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_the_page_s_commands_run_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reseal, "SETTLE_S", 0)
    for name, content in FILES.items():
        Path(name).write_text(content)
        Path(name).chmod(0o600)
    assert len(commands()) > 15
    for command in commands():
        program, *arguments = shlex.split(command)
        assert program == "cpmqr"
        status = cli.main(arguments)
        _, err = capsys.readouterr()
        assert (command, status, err) == (command, 0, "")


def test_the_page_names_every_purpose() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for purpose in KeyPurpose:
        assert f"| `{purpose}` |" in text
