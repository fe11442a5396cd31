"""The picture of throughput and p99: well-formed, the same for the same figures, on the page whatever they are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from benchmarks.plot import HEIGHT, WIDTH, draw


def _measured(database: str, highest: int, p99_ms: float) -> dict:
    points = [
        {
            "offered_per_second": highest * share // 10,
            "answered_with_a_qr_per_second": min(highest * share // 10, highest // 3),
            "p99_ms": p99_ms * share,
        }
        for share in (1, 5, 10)
    ]
    return {"database": database, "capacity_per_second": highest // 3, "points": points}


@pytest.mark.parametrize("highest", [12, 997, 24_000, 3_000_001])
@pytest.mark.parametrize("p99_ms", [0.2, 12.5, 90_000.0])
def test_every_point_is_on_the_page(highest: int, p99_ms: float) -> None:
    picture = draw([_measured("SQLite", highest, p99_ms), _measured("PostgreSQL", highest // 2, p99_ms)])
    ElementTree.fromstring(picture)
    places = [tuple(map(float, place)) for place in re.findall(r"cx='([\d.]+)' cy='([\d.]+)'", picture)]
    assert len(places) == 2 + 2 * 2 * 3  # the legend's, and both curves of both databases
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places)


def test_the_same_figures_give_the_same_bytes() -> None:
    measured = [_measured("SQLite", 9_000, 4.0)]
    assert draw(measured) == draw(measured)


def test_the_picture_of_the_docs_is_drawn_from_the_figures_beside_it() -> None:
    images = Path(__file__).parents[2] / "docs" / "images"
    measured = json.loads((images / "load.json").read_text(encoding="utf-8"))["offered"]
    assert draw(measured) == (images / "load.svg").read_text(encoding="utf-8")
