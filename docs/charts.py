"""Line charts on logarithmic axes as SVG, in the colors of a scheme. The same input gives the same bytes.

A line is recognizable without its color: by its label, which is at its end, and by its marker.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, TypeAlias

Points: TypeAlias = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 760, 400
_LEFT, _TOP, _RIGHT, _BOTTOM = 64, 44, 240, 48  # the margins; labels of lines are on the right
_LINE_HEIGHT = 17


@dataclass(frozen=True, slots=True)
class Scheme:
    """The colors of a chart. The background is that of the page."""

    text: str
    muted: str
    grid: str
    lines: tuple[str, ...]


SCHEMES: Final[Mapping[str, Scheme]] = {
    "light": Scheme("#1f2328", "#59636e", "#d1d9e0", ("#0969da", "#bc4c00", "#1a7f37", "#8250df")),
    "dark": Scheme("#f0f6fc", "#9198a1", "#3d444d", ("#4493f8", "#f0883e", "#3fb950", "#ab7df8")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart. `title` is above it; `description` is for screen readers. x are numbers of apps, y seconds."""

    title: str
    description: str
    lines: Mapping[str, Points]

    def render(self, scheme: Scheme) -> str:
        """Return the chart as SVG."""
        points = [point for line in self.lines.values() for point in line]
        x = _Axis.around([x for x, _ in points], _LEFT, _WIDTH - _RIGHT)
        y = _Axis.around([y for _, y in points], _HEIGHT - _BOTTOM, _TOP)
        parts = [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" '
                'role="img" font-family="system-ui, -apple-system, Segoe UI, sans-serif" font-size="13">'
            ),
            f"<title>{escape(self.title)}</title>",
            f"<desc>{escape(self.description)}</desc>",
            _text(_LEFT, 22, self.title, scheme.text, weight="600", size=15),
            *self._axes(x, y, scheme),
        ]
        ends = {name: y.position(line[-1][1]) for name, line in self.lines.items()}
        labels = _apart(ends, _TOP + 5, _HEIGHT - _BOTTOM)
        for index, (name, line) in enumerate(self.lines.items()):
            color = scheme.lines[index % len(scheme.lines)]
            places = [(x.position(apps), y.position(seconds)) for apps, seconds in line]
            path = " ".join(f"{left:.1f},{top:.1f}" for left, top in places)
            parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
            parts += [_marker(index, left, top, color) for left, top in places]
            left, top = places[-1]
            label = labels[name]
            parts.append(_line((left + 8, top), (left + 20, label), scheme.muted, width=0.75))
            parts.append(_text(left + 24, label + 4, f"{name}, {duration(line[-1][1])}", color))
        return "\n".join((*parts, "</svg>", ""))

    def _axes(self, x: _Axis, y: _Axis, scheme: Scheme) -> list[str]:
        parts = []
        for value in y.decades:
            top = y.position(value)
            parts.append(_line((_LEFT, top), (_WIDTH - _RIGHT, top), scheme.grid))
            parts.append(_text(_LEFT - 8, top + 4, duration(value), scheme.muted, anchor="end"))
        for value in x.decades:
            left = x.position(value)
            parts.append(_line((left, _TOP), (left, _HEIGHT - _BOTTOM), scheme.grid))
            parts.append(_text(left, _HEIGHT - _BOTTOM + 18, f"{value:,.0f}", scheme.muted, anchor="middle"))
        parts.append(
            _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 10, "apps (six objects each)", scheme.muted, anchor="middle")
        )
        return parts


def duration(seconds: float) -> str:
    """Return a time with two digits: `12 ms`, `1.3 s`."""
    value, unit = (seconds, "s") if seconds >= 0.9995 else (seconds * 1000, "ms")
    digits = max(0, 1 - math.floor(math.log10(value)))
    number = f"{value:.{digits}f}"
    return f"{number.rstrip('0').removesuffix('.') if '.' in number else number} {unit}"


@dataclass(frozen=True, slots=True)
class _Axis:
    """A logarithmic axis of whole decades, from one place of the picture to another."""

    low: int
    high: int
    begin: float
    end: float

    @classmethod
    def around(cls, values: Sequence[float], begin: float, end: float) -> _Axis:
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        return cls(low, max(high, low + 1), begin, end)

    @property
    def decades(self) -> list[float]:
        return [10.0**exponent for exponent in range(self.low, self.high + 1)]

    def position(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)


def _apart(wanted: Mapping[str, float], top: float, bottom: float) -> dict[str, float]:
    """Return the places of labels, from top to bottom, as near to the wanted ones as their height allows."""
    placed: dict[str, float] = {}
    free = top
    for name in sorted(wanted, key=lambda name: wanted[name]):
        placed[name] = max(free, wanted[name])
        free = placed[name] + _LINE_HEIGHT
    limit = bottom
    for name in reversed(placed):
        placed[name] = min(limit, placed[name])
        limit = placed[name] - _LINE_HEIGHT
    return placed


def _marker(index: int, left: float, top: float, color: str) -> str:
    shape = index % 4
    if shape == 0:
        return f'<circle cx="{left:.1f}" cy="{top:.1f}" r="4" fill="{color}"/>'
    corners = {
        1: ((-4, -4), (4, -4), (4, 4), (-4, 4)),
        2: ((0, -5), (5, 4), (-5, 4)),
        3: ((0, -5.5), (5.5, 0), (0, 5.5), (-5.5, 0)),
    }[shape]
    points = " ".join(f"{left + right:.1f},{top + down:.1f}" for right, down in corners)
    return f'<polygon points="{points}" fill="{color}"/>'


def _line(begin: tuple[float, float], end: tuple[float, float], color: str, width: float = 1) -> str:
    return (
        f'<line x1="{begin[0]:.1f}" y1="{begin[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" '
        f'stroke="{color}" stroke-width="{width:g}"/>'
    )


def _text(
    left: float, top: float, text: str, color: str, *, anchor: str = "start", weight: str = "400", size: int = 13
) -> str:
    return (
        f'<text x="{left:.1f}" y="{top:.1f}" fill="{color}" text-anchor="{anchor}" font-weight="{weight}" '
        f'font-size="{size}">{escape(text)}</text>'
    )
