"""Figures of a run, written by the test that measured them into a page of the docs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

PAGE_VARIABLE = "CPMQR_REPORT"  # set by the make targets whose figures the page carries
_PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def write(name: str, figures: Mapping[str, object], versions: Mapping[str, object]) -> None:
    """Show a run's figures; where the make target wants it, put them between the page's marks of that name."""
    rows = [f"| {what} | {figure} |" for what, figure in figures.items()]
    made_on = ", ".join(f"{what} {version}" for what, version in versions.items())
    table = "\n".join(["| what | figure |", "|---|---|", *rows])
    text = f"{datetime.now(UTC):%Y-%m-%d}, {made_on}:\n\n{table}"
    print(f"\n{text}")
    if os.environ.get(PAGE_VARIABLE):
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, found, rest = _PAGE.read_text("utf-8").partition(begin)
        _, ended, after = rest.partition(end)
        assert found, f"{_PAGE.name} has no mark {begin}"
        assert ended, f"{_PAGE.name} has no mark {end}"
        _PAGE.write_text(f"{before}{begin}\n{text}\n{end}{after}", "utf-8")
