"""The pages on `/v1`, webhooks and operations: what is made is made anew, what is shown runs."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import msgspec
import pytest

from cpmqr.cli.main import main
from cpmqr.server.settings import Settings, Webhooks

from .conftest import Sides

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_reference_is_what_the_tables_make() -> None:
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    assert (DOCS / "v1.md").read_text("utf-8") == reference.page(), "run: python docs/reference.py"


@pytest.mark.parametrize("page", ["v1.md", "webhooks.md"])
def test_python_that_is_shown_parses_and_its_imports_exist(page: str) -> None:
    for block in blocks(page, "python"):
        imports = [node for node in ast.parse(block).body if isinstance(node, ast.ImportFrom)]
        exec(compile(ast.Module(imports, []), page, "exec"), {})


def test_the_settings_of_webhooks_are_the_defaults() -> None:
    (block,) = blocks("webhooks.md", "toml")
    tree = tomllib.loads(block)
    settings = msgspec.convert(tree, Settings)
    assert settings.webhooks == Webhooks()
    assert set(tree["webhooks"]) == set(Webhooks.__struct_fields__)


def test_the_operators_commands_run_in_the_pages_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in ("db upgrade", "key kek var/kek.key", "key init"):
        assert main(command.split()) == 0
    commands = [line for block in blocks("operations.md", "sh") for line in block.splitlines()]
    assert len(commands) > 12
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "cpmqr"
        status = main(arguments)
        _, err = capsys.readouterr()
        assert (command, status, err) == (command, 0, "")


def test_each_metric_that_the_page_watches_is_there(sides: Sides) -> None:
    sides.authoriser.verify(payload=sides.wallet.request_qr(pan=sides.running.pan()).base64)
    shown = sides.http.get("/metrics").text
    named = re.findall(r"`(cpmqr_\w+)", (DOCS / "operations.md").read_text("utf-8"))
    assert len(named) >= 8
    for name in named:
        assert f"# TYPE {name.removesuffix('_total')}" in shown, name


def test_pages_link_to_what_is_there() -> None:
    for page in (
        "v1.md",
        "webhooks.md",
        "operations.md",
        "decisions/webhooks.md",
        "decisions/offline-batch.md",
        "decisions/verification.md",
    ):
        path = DOCS / page
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text("utf-8")):
            assert (path.parent / target).exists(), f"{page}: {target}"
