"""How often the intervals and tests of a study are wrong, where the truth is known.

    python tests/studies/known_truth.py    # the tables of docs/studies.md

A truth is a distribution of a run's result over seeds, with its mean.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator, default_rng

from bigmodel.studies.statistics.statistics import LEVEL, choose_test, holm, interval, p_value

COUNTS = (5, 10, 20)
FAMILIES = (3, 8)
ROWS = 100


class Truth(NamedTuple):
    """``regular`` says that the interval of its mean holds with 5 seeds.

    That of a difference always covers enough, and too much where it is ``loose``.
    """

    name: str
    mean: float
    draw: Callable[[Generator, tuple[int, ...]], np.ndarray]
    regular: bool = True
    loose: bool = False


NORMAL = Truth("normal", 0.0, lambda chance, shape: chance.normal(size=shape))
COARSE = Truth(
    "right of 360, chance Beta(490, 10)",
    360 * 0.98,
    lambda chance, shape: chance.binomial(360, chance.beta(490, 10, shape)).astype(float),
)
EXPONENTIAL = Truth(
    "exponential", 1.0, lambda chance, shape: chance.exponential(size=shape), regular=False
)
COLLAPSE = Truth(
    "normal, but 1 of 10 at -20",
    -2.0,
    lambda chance, shape: np.where(chance.random(shape) < 0.1, -20.0, chance.normal(size=shape)),
    regular=False,
    loose=True,
)
TRUTHS = (
    NORMAL,
    Truth("t, 5 degrees of freedom", 0.0, lambda chance, shape: chance.standard_t(5, shape)),
    COARSE,
    Truth(
        "log-normal, sigma 0.3",
        math.exp(0.3**2 / 2),
        lambda chance, shape: chance.lognormal(0.0, 0.3, shape),
    ),
    Truth("Beta(48, 2)", 0.96, lambda chance, shape: chance.beta(48, 2, shape), regular=False),
    EXPONENTIAL,
    COLLAPSE,
)
# These two are only in the second table, for what the tests are worth.
NEAR_ONE = Truth("normal(1, 0.2)", 1.0, lambda chance, shape: chance.normal(1.0, 0.2, shape))
TWO_ENDS = Truth(
    "near 0 or near 1 by chance",
    0.5,
    lambda chance, shape: chance.integers(0, 2, shape) + chance.normal(0.0, 0.01, shape),
)


class Coverage(NamedTuple):
    """The share of trials in which the interval has the truth in it."""

    mean: float
    difference: float


def coverage(truth: Truth, count: int, trials: int) -> Coverage:
    """Of a cell's mean, and of the difference of two cells that are alike."""
    chance = default_rng([count, trials])
    values, baseline = (truth.draw(chance, (trials, count)) for _ in range(2))
    return Coverage(_share(interval(values), truth.mean), _share(interval(values - baseline), 0.0))


def family_errors(
    truth: Truth,
    count: int,
    comparisons: int,
    families: int,
    *,
    baseline: Truth | None = None,
    test: str | None = None,
) -> float:
    """The share of families in which a corrected p is at most 5 %, though no mean differs.

    All comparisons of a family are with the same baseline, whose runs are of the same truth
    unless another of the same mean is given. None lets the study choose its test.
    """
    chance = default_rng([count, comparisons, families])
    test, wrong, left = test or choose_test(count, comparisons), 0, families
    while left:
        some = min(left, ROWS)
        values = truth.draw(chance, (some, comparisons, count))
        alike = (baseline or truth).draw(chance, (some, 1, count))
        ps = p_value(values - alike, test)
        wrong += sum(min(holm(family)) <= LEVEL for family in ps.tolist())
        left -= some
    return wrong / families


def bootstraps(truth: Truth, count: int, trials: int) -> tuple[float, float, float]:
    """What bootstraps would cover of a mean: percentile and bootstrap-t (Efron and Tibshirani).

    The third number is the share of the latter's intervals that are ten times Student's or longer.
    """
    chance = default_rng([count, trials])
    shares = chance.multinomial(count, np.full(count, 1 / count), 2000).T / count
    found = []
    for _ in range(trials // ROWS):
        values = truth.draw(chance, (ROWS, count))
        low, high = interval(values)
        mean, std = values.mean(-1, keepdims=True), values.std(-1, keepdims=True) + 1e-12
        scaled = (values - mean) / std
        means = scaled @ shares
        stds = np.sqrt(np.maximum(scaled**2 @ shares - means**2, 1e-12))
        ends = np.quantile(means, (LEVEL / 2, 1 - LEVEL / 2), axis=-1)
        t_ends = np.quantile(means / stds, (1 - LEVEL / 2, LEVEL / 2), axis=-1)
        percentile, studentized = mean[:, 0] + ends * std[:, 0], mean[:, 0] - t_ends * std[:, 0]
        longer = (studentized[1] - studentized[0] > 10 * (high - low)).mean()
        found.append((_share(percentile, truth.mean), _share(studentized, truth.mean), longer))
    percentile_share, studentized_share, long_share = np.mean(found, 0).tolist()
    return percentile_share, studentized_share, long_share


def _share(ends: np.ndarray | tuple[np.ndarray, np.ndarray], truth: float) -> float:
    low, high = ends
    # Where all values are the truth, the mean's rounding does not count.
    return float(((low - 1e-9 <= truth) & (truth <= high + 1e-9)).mean())


def tables(trials: int, families: int) -> Iterator[str]:
    """The lines of both tables, in Markdown."""
    yield f"Coverage, {trials:,} trials each; bootstraps {trials // 10:,}:\n"
    yield "| results of | seeds | mean | difference | percentile | bootstrap-t | 10 times as long |"
    yield "|---|---|---|---|---|---|---|"
    for truth in TRUTHS:
        for count in COUNTS:
            found = coverage(truth, count, trials)
            shares = (*found, *bootstraps(truth, count, trials // 10))
            cells = " | ".join(f"{100 * share:.1f} %" for share in shares)
            yield f"| {truth.name} | {count} | {cells} |"
    yield f"\nFamilies with an error, {families:,} each:\n"
    yield f"| results of | seeds | {' | '.join(f'{size} comparisons' for size in FAMILIES)} |"
    yield "|---|---|---|---|"
    rows = [(truth, truth.name, COUNTS, {}) for truth in (*TRUTHS, TWO_ENDS)]
    rows.append((TWO_ENDS, f"{TWO_ENDS.name}; always the t-test", (3, 4, 5), {"test": "t"}))
    name = f"{EXPONENTIAL.name}; baseline {NEAR_ONE.name}"
    rows.append((EXPONENTIAL, name, COUNTS, {"baseline": NEAR_ONE}))
    for truth, name, counts, options in rows:
        for count in counts:
            shares = [family_errors(truth, count, size, families, **options) for size in FAMILIES]
            yield f"| {name} | {count} | {' | '.join(f'{100 * s:.1f} %' for s in shares)} |"


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--families", type=int, default=10_000)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    parsed = read_options(sys.argv[1:])
    for line in tables(parsed.trials, parsed.families):
        print(line, flush=True)
