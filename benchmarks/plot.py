"""Draw throughput and p99 against offered load as an SVG, from what `benchmarks.offered` measured.

    python -m benchmarks.plot [--json build/bench.json] [--out docs/images/load.svg]

Our own few lines of SVG: the same figures give the same bytes, and the picture needs no font, script or host.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 860, 640
LEFT, RIGHT = 84, 28
COLOURS = {"SQLite": "#1f6feb", "PostgreSQL": "#c2410c"}
INK, FAINT, GRID = "#1f2328", "#59636e", "#d8dee4"
FONT = "font-family='system-ui, sans-serif'"
P99_DECADES = (1.0, 10.0, 100.0, 1_000.0, 10_000.0)


class Panel(NamedTuple):
    """A drawing area: what lies at its bottom and top, and where those are."""

    top: float
    bottom: float
    low: float
    high: float
    logarithmic: bool = False

    def y(self, value: float) -> float:
        share = (self._scaled(value) - self._scaled(self.low)) / (
            self._scaled(self.high) - self._scaled(self.low)
        )
        return self.bottom - min(max(share, 0.0), 1.0) * (self.bottom - self.top)

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, self.low)) if self.logarithmic else value


class Picture:
    """An SVG in the making; x is requests offered a second."""

    def __init__(self, x_max: float) -> None:
        self._x_max = x_max
        self._parts: list[str] = []

    def x(self, value: float) -> float:
        return LEFT + value / self._x_max * (WIDTH - LEFT - RIGHT)

    def text(
        self, x: float, y: float, text: str, *, size: int = 14, colour: str = INK, anchor: str = "start"
    ) -> None:
        self._parts.append(
            f"<text x='{x:.1f}' y='{y:.1f}' {FONT} font-size='{size}' fill='{colour}' text-anchor='{anchor}'>"
            f"{escape(text)}</text>"
        )

    def line(
        self, points: Sequence[tuple[float, float]], colour: str, *, width: float, dash: str = ""
    ) -> None:
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashed = f" stroke-dasharray='{dash}'" if dash else ""
        self._parts.append(
            f"<polyline points='{joined}' fill='none' stroke='{colour}' stroke-width='{width}'{dashed}/>"
        )

    def dots(self, points: Sequence[tuple[float, float]], colour: str) -> None:
        self._parts += [f"<circle cx='{x:.1f}' cy='{y:.1f}' r='4' fill='{colour}'/>" for x, y in points]

    def svg(self, description: str) -> str:
        head = (
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' role='img'>"
            f"<title>{escape(description)}</title><rect width='{WIDTH}' height='{HEIGHT}' fill='white'/>"
        )
        return "\n".join([head, *self._parts, "</svg>", ""])


def draw(measured: Sequence[dict[str, Any]]) -> str:
    """Draw all databases that were measured into one picture."""
    points = [point for each in measured for point in each["points"]]
    x_max = _end_of_axis(max(point["offered_per_second"] for point in points))
    y_max = _end_of_axis(1.1 * max(point["answered_with_a_qr_per_second"] for point in points))
    picture = Picture(x_max)
    answered = Panel(124, 340, 0, y_max)
    slowest = max(point["p99_ms"] for point in points)
    waits = Panel(406, 574, 1.0, next(each for each in P99_DECADES if each >= min(slowest, 10_000)), True)
    picture.text(LEFT, 34, "What one gateway answers, and how soon, as more and more is asked", size=20)
    _legend(picture, measured)
    _frame(picture, answered, "QRs answered a second", _linear_ticks(y_max))
    _frame(picture, waits, "p99: 99 of 100 of them are answered within", _decades(waits))
    _x_axis(picture, waits, x_max)
    picture.line(
        [(picture.x(0), answered.y(0)), (picture.x(y_max), answered.y(y_max))], FAINT, width=1, dash="5 4"
    )
    picture.text(picture.x(y_max) + 6, answered.y(y_max) + 12, "all that is asked", size=12, colour=FAINT)
    slowest_end = max(each["points"][-1]["p99_ms"] for each in measured)
    for each in measured:
        _curves(picture, answered, waits, each)
        _end(picture, waits, each, above=each["points"][-1]["p99_ms"] == slowest_end)
    return picture.svg("QRs answered a second, and their p99, against requests offered a second")


def _curves(picture: Picture, answered: Panel, waits: Panel, measured: dict[str, Any]) -> None:
    colour = COLOURS[measured["database"]]
    points = measured["points"]
    for panel, name in ((answered, "answered_with_a_qr_per_second"), (waits, "p99_ms")):
        line = [(picture.x(point["offered_per_second"]), panel.y(point[name])) for point in points]
        picture.line(line, colour, width=2.5)
        picture.dots(line, colour)


def _end(picture: Picture, waits: Panel, measured: dict[str, Any], *, above: bool) -> None:
    """Say where a curve of p99 ends, out of the other's way."""
    last = measured["points"][-1]
    x, y = picture.x(last["offered_per_second"]), waits.y(last["p99_ms"])
    colour = COLOURS[measured["database"]]
    picture.text(
        x, y - 9 if above else y + 19, f"{last['p99_ms']:.0f} ms", size=12, colour=colour, anchor="end"
    )


def _legend(picture: Picture, measured: Sequence[dict[str, Any]]) -> None:
    x = float(LEFT)
    for each in measured:
        name, capacity = each["database"], each["capacity_per_second"]
        picture.dots([(x + 5, 59)], COLOURS[name])
        picture.text(x + 16, 64, f"on {name}: {capacity:,} a second on one core".replace(",", " "))
        x += 330
    picture.text(
        LEFT, 86, "What does not fit is told so at once (9001, with Retry-After).", size=12, colour=FAINT
    )


def _frame(picture: Picture, panel: Panel, title: str, ticks: Sequence[tuple[float, str]]) -> None:
    for value, label in ticks:
        y = panel.y(value)
        picture.line([(LEFT, y), (WIDTH - RIGHT, y)], GRID, width=1)
        picture.text(LEFT - 8, y + 4, label, size=12, colour=FAINT, anchor="end")
    picture.text(LEFT, panel.top - 12, title, size=13)


def _x_axis(picture: Picture, panel: Panel, x_max: float) -> None:
    for value, label in _linear_ticks(x_max):
        picture.text(picture.x(value), panel.bottom + 20, label, size=12, colour=FAINT, anchor="middle")
    picture.text((LEFT + WIDTH - RIGHT) / 2, panel.bottom + 44, "requests asked a second", anchor="middle")


def _end_of_axis(highest: float) -> float:
    """End an axis at the first tick that nothing lies beyond."""
    step = _round_up(highest / 6)
    return math.ceil(highest / step) * step


def _linear_ticks(highest: float) -> list[tuple[float, str]]:
    step = _round_up(highest / 6)
    count = round(highest / step)
    return [(number * step, f"{number * step:,.0f}".replace(",", " ")) for number in range(count + 1)]


def _decades(panel: Panel) -> list[tuple[float, str]]:
    return [
        (value, f"{value:.0f} ms" if value < 1_000 else f"{value / 1_000:.0f} s")
        for value in P99_DECADES
        if value <= panel.high
    ]


def _round_up(value: float) -> float:
    """Round up to 1, 2, 2.5 or 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value - 1e-9)


def main() -> None:
    """Read the figures and write the picture."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--json", type=Path, default=Path("build/bench.json"))
    options.add_argument("--out", type=Path, default=Path("docs/images/load.svg"))
    given = options.parse_args()
    measured = json.loads(given.json.read_text(encoding="utf-8"))["offered"]
    given.out.write_text(draw(measured), encoding="utf-8")
    print(given.out)


if __name__ == "__main__":
    main()
