"""Figures of timed answers: percentiles, ratios, bars."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Timings", "compared", "milliseconds", "percentile"]

Timings = dict[str, dict[str, list[float]]]
"""Seconds by engine and shape, in the order of the rounds."""


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that so large a share of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def milliseconds(values: Sequence[float]) -> dict[str, float | int]:
    """Return the figures of a mix."""
    return {
        "answers": len(values),
        "p50_ms": round(percentile(values, 0.5) * 1000, 4),
        "p99_ms": round(percentile(values, 0.99) * 1000, 4),
        "worst_ms": round(max(values) * 1000, 4),
    }


def _mix(of_shapes: Mapping[str, Sequence[float]]) -> list[float]:
    """Return all timings of an engine; every shape has as many."""
    return [each for values in of_shapes.values() for each in values]


def compared(timings: Timings, ours: str = "ours") -> dict[str, Any]:
    """Return each engine's mix, the shapes' medians, and how many times longer than ours the others take."""
    mixes = {name: _mix(of_shapes) for name, of_shapes in timings.items()}
    medians = {shape: {name: statistics.median(timings[name][shape]) for name in timings} for shape in timings[ours]}
    ratios = {}
    for name, mix in mixes.items():
        if name == ours:
            continue
        shape, least = min(
            ((shape, each[name] / each[ours]) for shape, each in medians.items()), key=lambda pair: pair[1]
        )
        ratios[name] = {
            "p50": round(percentile(mix, 0.5) / percentile(mixes[ours], 0.5), 2),
            "p99": round(percentile(mix, 0.99) / percentile(mixes[ours], 0.99), 2),
            "worst_shape": shape,
            "worst_shape_ratio": round(least, 2),
        }
    return {
        "engines": {name: milliseconds(mix) for name, mix in mixes.items()},
        "ratios": ratios,
        "shapes_ms": {
            shape: {name: round(seconds * 1000, 4) for name, seconds in each.items()} for shape, each in medians.items()
        },
    }
