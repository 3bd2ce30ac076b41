"""Measures and their figures: what a run of the benchmarks consists of, and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

Curves: TypeAlias = Mapping[str, Sequence[tuple[int, float]]]  # (apps, seconds of CPU) by name


class Unit(Enum):
    """The unit of a figure. `RATIO` is the quotient of two measurements in the same run."""

    RATIO = "ratio"
    EXPONENT = "exponent"
    SECONDS = "s"
    MEGABYTES = "MB"
    REQUESTS = "requests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number of a measure. It must not exceed `must` and should not exceed `aim`; None: there is no limit."""

    name: str
    value: float
    unit: Unit = Unit.RATIO
    must: float | None = None
    aim: float | None = None
    details: str = ""

    @property
    def verdict(self) -> str:
        """`aim`, `pass` or `miss`, "" without a limit."""
        if self.must is None:
            return ""
        if self.aim is not None and self.value <= self.aim:
            return "aim"
        return "pass" if self.value <= self.must else "miss"

    def as_json(self, *, judged: bool) -> dict[str, Any]:
        """Return the figure as JSON, with its verdict if it is `judged`."""
        return {
            "name": self.name,
            "value": round(self.value, 4),
            "unit": self.unit.value,
            "must": self.must,
            "aim": self.aim,
            "verdict": self.verdict if judged else "",
            "details": self.details,
        }


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of a measure, and the curves for the page about performance. `skipped` is why it was not measured."""

    figures: Sequence[Figure] = ()
    curves: Curves = field(default_factory=dict)
    skipped: str = ""

    def as_json(self, *, judged: bool) -> dict[str, Any]:
        """Return the result as JSON."""
        curves = {name: [[apps, round(seconds, 5)] for apps, seconds in points] for name, points in self.curves.items()}
        return {
            "figures": [figure.as_json(judged=judged) for figure in self.figures],
            "curves": curves,
            "skipped": self.skipped,
        }


@dataclass(frozen=True, slots=True)
class Scale:
    """The size of a run. A `factor` of 1 has the sizes of the limits; with a smaller one, the values mean nothing."""

    factor: float = 1.0

    @property
    def is_full(self) -> bool:
        """Whether the values can be compared with the limits."""
        return self.factor == 1

    def apps(self, count: int) -> int:
        """Return the number of apps for a measure that has `count` of them in full size."""
        return max(2, round(count * self.factor))

    def rounds(self, count: int) -> int:
        """Return the number of repetitions for a measure that has `count` of them in full size."""
        return count if self.is_full else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A measure: its name on the command line, what it measures, and about how many seconds it takes.

    `by_default`: it runs if no measure is named.
    """

    name: str
    title: str
    seconds: int
    run: Callable[[Scale], Result]
    by_default: bool = True
