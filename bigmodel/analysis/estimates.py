"""Values with their 95 % intervals: of shares by a formula, of all else by resampling."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

Z = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""
DRAWS = 1000
MOST = 20_000_000
"""Examples that are drawn for one interval at most; of many examples there are fewer draws."""
FEWEST = 100

Statistics = Callable[[Int[np.ndarray, " rows"]], Mapping[str, float]]
"""From the numbers of rows to values by name, NaN where these rows have none."""


class Estimate(NamedTuple):
    """A value of so many examples, and its 95 % interval; NaN where there is none."""

    value: float
    low: float
    high: float
    examples: int


NONE = Estimate(math.nan, math.nan, math.nan, 0)


def share(hits: int, examples: int) -> Estimate:
    """A share with the interval of Wilson (1927)."""
    if not examples:
        return NONE
    value, spread = hits / examples, Z * Z / examples
    middle = (value + spread / 2) / (1 + spread)
    half = math.sqrt(spread * (value * (1 - value) + spread / 4)) / (1 + spread)
    # At the ends the formula is exact, but for rounding.
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Estimate(value, low if hits else 0.0, high if hits < examples else 1.0, examples)


def difference(one: Estimate, other: Estimate) -> Estimate:
    """The difference of two shares of different examples (Newcombe, 1998, his method 10)."""
    value = one.value - other.value
    low = value - math.hypot(one.value - one.low, other.high - other.value)
    high = value + math.hypot(one.high - one.value, other.value - other.low)
    return Estimate(value, low, high, one.examples + other.examples)


def draws_of(examples: int) -> int:
    """How often so many examples are drawn."""
    return max(FEWEST, min(DRAWS, MOST // max(examples, 1)))


def resampled(
    statistics: Statistics, rows: Int[np.ndarray, " rows"], *, rng: np.random.Generator
) -> dict[str, Estimate]:
    """The values of some rows, with percentile intervals of the bootstrap (Efron, 1979).

    Rows are drawn as often as there are rows, and with replacement. There is no interval where
    more than half of the draws have no value, nor of a single row.
    """
    found = statistics(rows)
    drawn: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(draws_of(len(rows)) if len(rows) > 1 else 0):
        for name, value in statistics(rng.choice(rows, len(rows))).items():
            drawn[name].append(value)
    return {
        name: Estimate(value, *percentiles(drawn[name]), len(rows)) for name, value in found.items()
    }


def percentiles(values: list[float]) -> tuple[float, float]:
    """The ends of the middle 95 % of the values that are finite; NaN where these are few."""
    finite = np.asarray(values, float)
    finite = finite[np.isfinite(finite)]
    if not 0 < len(values) <= 2 * len(finite):
        return math.nan, math.nan
    low, high = np.quantile(finite, (0.025, 0.975))
    return float(low), float(high)
