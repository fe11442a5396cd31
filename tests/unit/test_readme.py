"""The README as a newcomer meets it: its links lead somewhere, its code runs, both languages say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cpmqr.testing import gateway

ROOT = Path(__file__).parents[2]
READMES = (ROOT / "README.md", ROOT / "README.ko.md")
PAGES = [*READMES, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]


def links(page: Path) -> list[str]:
    found = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    return [link for link in found if not link.startswith(("http://", "https://", "mailto:"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_of_a_page_leads_somewhere(page: Path) -> None:
    assert [link for link in links(page) if not (page.parent / link).exists()] == []


def test_the_python_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = blocks(READMES[0], "python")
    with gateway(tmp_path / "var"):
        monkeypatch.chdir(tmp_path)
        exec(compile(code, "README.md", "exec"), {})
    assert "▀" in capsys.readouterr().out


def test_both_languages_link_to_the_same_and_show_the_same() -> None:
    english, korean = READMES
    assert {*links(english)} - {"README.ko.md"} == {*links(korean)} - {"README.md"}
    for language in ("console", "python"):
        one, other = ([_without_remarks(block) for block in blocks(page, language)] for page in READMES)
        assert one == other
    count = [len(re.findall(r"^#+ ", page.read_text(encoding="utf-8"), re.MULTILINE)) for page in READMES]
    assert count[0] == count[1]


def test_each_make_target_of_the_readme_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = {
        match
        for page in READMES
        for match in re.findall(r"(?:`|\$ )make ([a-z-]+)", page.read_text(encoding="utf-8"))
    }
    assert {"run", "test", "bench"} <= named
    assert [target for target in named if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def _without_remarks(block: str) -> list[str]:
    return [line.split("  #")[0].rstrip() for line in block.splitlines()]
