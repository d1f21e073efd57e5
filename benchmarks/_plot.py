"""A line plot as SVG, both axes logarithmic, readable on light and on dark pages."""

import math
from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

__all__ = ["Line", "plot"]

_WIDTH, _HEIGHT = 720, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 700, 44, 330
_COLOURS = ("#d9480f", "#1c7ed6", "#2b8a3e", "#9c36b5")
_DARK = ("#ff922b", "#74c0fc", "#69db7c", "#da77f2")
_DASHES = ("", "", "6 4", "2 4")


class Line(NamedTuple):
    """One line."""

    name: str
    points: list[tuple[float, float]]
    """In ascending order of the first number; both above 0."""


def plot(title: str, lines: Sequence[Line], values: tuple[float, float]) -> str:
    """Return the plot of lines over the same places, with values in a range."""
    places = [place for place, _ in lines[0].points]
    span = math.log10(places[-1] / places[0]) or 1.0

    def x(place: float) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * math.log10(place / places[0]) / span, 1)

    def y(value: float) -> float:
        share = math.log10(value / values[0]) / (math.log10(values[1] / values[0]) or 1.0)
        return round(_BOTTOM - (_BOTTOM - _TOP) * share, 1)

    parts = [f'<text x="{_LEFT}" y="24" class="title">{escape(title)}</text>']
    for exponent in range(round(math.log10(values[0])), round(math.log10(values[1])) + 1):
        height = y(10.0**exponent)
        parts.append(f'<path class="grid" d="M{_LEFT} {height}H{_RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{height + 4}" text-anchor="end">{10.0**exponent:g}</text>')
    for place in places:
        parts.append(f'<path class="grid" d="M{x(place)} {_TOP}V{_BOTTOM}"/>')
        parts.append(f'<text x="{x(place)}" y="{_BOTTOM + 20}" text-anchor="middle">{_short(place)}</text>')
    for number, line in enumerate(lines):
        points = [(x(place), y(value)) for place, value in line.points]
        path = "M" + "L".join(f"{across} {down}" for across, down in points)
        dots = "".join(f'<circle cx="{across}" cy="{down}" r="3.5"/>' for across, down in points)
        parts.append(f'<g class="line l{number}"><path d="{path}" stroke-dasharray="{_DASHES[number]}"/>{dots}</g>')
        left, down = _LEFT + 320 * (number % 2), _BOTTOM + 50 + 24 * (number // 2)
        parts.append(
            f'<g class="line l{number}"><path d="M{left} {down}h28" stroke-dasharray="{_DASHES[number]}"/></g>'
        )
        parts.append(f'<text x="{left + 36}" y="{down + 4}">{escape(line.name)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT - 20}" role="img" '
        f'aria-label="{escape(title)}">\n<style>{_style()}</style>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _short(rows: float) -> str:
    """Return a number of rows in a few characters."""
    return f"{rows / 1e6:g} M" if rows >= 1e6 else f"{rows / 1e3:g} k"


def _style() -> str:
    """Return the colours of light pages, and of dark ones where the reader's are."""
    light, dark = (
        "".join(
            f".l{number} path{{stroke:{colour}}}.l{number} circle{{fill:{colour}}}" for number, colour in enumerate(of)
        )
        for of in (_COLOURS, _DARK)
    )
    return (
        "text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-size:15px;font-weight:600}"
        ".grid{stroke:#d0d7de;stroke-width:1}.line path{fill:none;stroke-width:2.5}"
        f"{light}@media(prefers-color-scheme:dark){{text{{fill:#e6edf3}}.grid{{stroke:#30363d}}{dark}}}"
    )
