"""Statistics of a few seeds: of one cell, and of a cell compared with the baseline.

``docs/studies.md`` has how often these intervals and tests are wrong where the truth is known.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

LEVEL = 0.05
EXACT = 24
"""Up to this many pairs all signs are counted; for more, ``DRAWS`` random ones."""
DRAWS = 2**16
FEWEST = 5
"""With fewer seeds nothing is concluded: the sign-flip test cannot reach the level, and a t-test of
runs that end in one of two places is wrong too often."""

INTERVAL = "Student's t over the seeds"
TEST = (
    "two-sided p of the paired differences by the exact sign-flip permutation test, or by the "
    f"paired t-test where {FEWEST} or more seeds are too few for the former to reach "
    f"{LEVEL:g} after correction"
)
EFFECT = "mean of the paired differences over their standard deviation, times Hedges' correction"
IMPROVEMENT = "share of all pairs of a run and a baseline's run in which the run is better"


class Spread(NamedTuple):
    """A cell over its seeds.

    ``count`` is that of the finite values, to which all else belongs. ``std`` is that of a
    sample (n - 1). ``low`` and ``high`` are the 95 % interval of the mean, and NaN as ``std`` is
    for one value. ``interquartile_mean`` leaves out a quarter of the values at each end.
    """

    count: int  # type: ignore[assignment]  # tuples have a method of that name
    mean: float
    std: float
    low: float
    high: float
    interquartile_mean: float
    least: float
    greatest: float


class Comparison(NamedTuple):
    """A cell compared with the baseline, paired by seed.

    ``count`` is that of the pairs whose two values are finite. ``difference`` is the mean of
    value - baseline; ``low`` and ``high`` are its 95 % interval. ``improvement`` is how probable
    it is that a run is better than one of the baseline. ``p`` is two-sided and not yet corrected;
    ``test`` names what gave it: ``sign-flip``, ``t`` or, without pairs, ``none``. ``effect`` has
    the sign of ``difference``, and is infinite where all differences are the same and not zero.
    """

    count: int  # type: ignore[assignment]  # tuples have a method of that name
    difference: float
    low: float
    high: float
    improvement: float
    p: float
    effect: float
    test: str


def spread(values: Sequence[float]) -> Spread:
    """Summarises the finite values of a cell, one for each seed; NaN if there are none."""
    found = np.asarray(values, float)
    found = np.sort(found[np.isfinite(found)])
    count = len(found)
    if not count:
        return Spread(0, *[math.nan] * 7)
    low, high = interval(found)
    middle = found[count // 4 : count - count // 4]
    return Spread(
        count=count,
        mean=float(found.mean()),
        std=float(_std(found)),
        low=float(low),
        high=float(high),
        interquartile_mean=float(middle.mean()),
        least=float(found[0]),
        greatest=float(found[-1]),
    )


def compare(
    values: Sequence[float], baseline: Sequence[float], *, maximize: bool, comparisons: int = 1
) -> Comparison:
    """Compares a cell with the baseline; the values of both are in the order of the same seeds.

    ``comparisons`` is how many there are with this baseline, for which p will be corrected: it
    decides which test can conclude. The effect size is Cohen's d of paired differences with the
    correction of Hedges (1981); the probability of improvement is that of Agarwal et al. (2021),
    over all pairs of runs and not only those of the same seed, ties counting half.
    """
    pairs = np.asarray(list(zip(values, baseline, strict=True)), float).reshape(-1, 2)
    pairs = pairs[np.isfinite(pairs).all(1)]
    count = len(pairs)
    if not count:
        none = math.nan
        return Comparison(0, none, none, none, none, none, none, "none")
    rounding = 1e-12 * np.abs(pairs).max()
    differences = _without_rounding(pairs[:, 0] - pairs[:, 1], rounding)
    low, high = interval(differences)
    beside = pairs[:, :1] - pairs[:, 1]
    better = beside > rounding if maximize else beside < -rounding
    test = choose_test(count, comparisons) if np.ptp(differences) else "sign-flip"
    return Comparison(
        count=count,
        difference=float(differences.mean()),
        low=float(low),
        high=float(high),
        improvement=float(better.mean() + (np.abs(beside) <= rounding).mean() / 2),
        p=float(p_value(differences, test)),
        effect=_effect(differences),
        test=test,
    )


def holm(ps: Sequence[float]) -> list[float]:
    """Corrects p-values for their number (Holm, 1979); the order is kept.

    Where none of the differences is true, the least is below a level at most as often as the
    level says, however the tests depend on each other. NaN stays NaN and does not count.
    """
    found = np.asarray(ps, float)
    order = np.argsort(found)[: np.isfinite(found).sum()]
    factors = np.arange(len(order), 0, -1)
    found[order] = np.maximum.accumulate(np.minimum(1.0, factors * found[order]))
    return found.tolist()


def too_few(count: int) -> str | None:
    """Says what cannot be concluded from this number of seeds; None if it is enough."""
    if count >= FEWEST:
        return None
    if count < 2:
        return f"fewer than 2 seeds show no spread: no interval, no test; take {FEWEST} or more"
    return (
        f"with {count} seeds no difference can be called significant, however large: no p of the "
        f"exact test is below {least_p(count):g}; take {FEWEST} or more"
    )


def interval(
    values: Float[np.ndarray, "*rows count"],
) -> tuple[Float[np.ndarray, "*rows"], Float[np.ndarray, "*rows"]]:
    """Returns the 95 % interval of each row's mean by Student's t; NaN for a single value."""
    from scipy.special import stdtrit

    count = values.shape[-1]
    mean = values.mean(-1)
    if count < 2:
        return mean * math.nan, mean * math.nan
    half = stdtrit(count - 1, 1 - LEVEL / 2) * _std(values) / math.sqrt(count)
    return mean - half, mean + half


def choose_test(count: int, comparisons: int) -> str:
    """Chooses the test by the numbers of pairs and comparisons alone, never by the values."""
    can = count < FEWEST or least_p(count) * comparisons <= LEVEL
    return "sign-flip" if can else "t"


def least_p(count: int) -> float:
    """The smallest p of this number of pairs: that of differences with the same sign."""
    return 2 / 2**count if count <= EXACT else 1 / DRAWS


def sign_flip(differences: Float[np.ndarray, "*rows pairs"]) -> Float[np.ndarray, "*rows"]:
    """Two-sided p of each row: the share of all signs whose sum is at least as far from zero.

    If two cells are alike, a seed's difference could as well have had the other sign, whatever
    its distribution; so p is at most a level as often as the level says (Fisher, 1935). Random
    flips have a fixed seed, and count the observed signs as one of them (Phipson and Smyth, 2010).

    ``scipy.stats.permutation_test`` gives the same exact values, but takes 13 s for 20 pairs and
    2.5 s for 800 rows of ten (2 cores), of which the simulations of ``docs/studies.md`` need a
    hundred times as many. Here both take about a millisecond: half of the pairs at a time.
    """
    reach = np.abs(differences).sum(-1, keepdims=True)
    # Sums that differ only by rounding are the same; below them, so that no sum is the limit.
    limit = np.abs(differences.sum(-1, keepdims=True)) - 1e-9 * reach
    limit = np.nextafter(limit, -np.inf)
    count = differences.shape[-1]
    if count > EXACT:
        far = np.abs(differences @ _random_signs(count)) >= limit
        return (1 + far.sum(-1)) / DRAWS
    left, right = _sums(differences[..., : count // 2]), _sums(differences[..., count // 2 :])
    # Of the right sums, those that reach the limit with each left one: what is sorted after it.
    order = np.argsort(np.concatenate([limit - left, right], -1), -1)
    is_right = order >= left.shape[-1]
    after = right.shape[-1] - np.cumsum(is_right, -1)
    far = np.where(is_right, 0, after).sum(-1)
    return np.minimum(1.0, 2 * far / 2**count)


@functools.lru_cache(maxsize=1)
def _random_signs(count: int) -> Float[np.ndarray, "count flips"]:
    return np.random.default_rng(0).choice((-1.0, 1.0), (count, DRAWS - 1))


def _sums(differences: Float[np.ndarray, "*rows pairs"]) -> Float[np.ndarray, "*rows flips"]:
    """The sums under all signs."""
    sums = np.zeros((*differences.shape[:-1], 1))
    for each in np.moveaxis(differences, -1, 0):
        sums = np.concatenate([sums + each[..., None], sums - each[..., None]], -1)
    return sums


def p_value(differences: Float[np.ndarray, "*rows pairs"], test: str) -> Float[np.ndarray, "*rows"]:
    """Two-sided p of each row's paired differences.

    Where they are all the same there is no t, and the sign-flip test stands in for it.
    """
    exact = sign_flip(differences)
    if test == "sign-flip":
        return exact
    from scipy.special import stdtr

    count = differences.shape[-1]
    std = _std(differences)
    same = std == 0
    t = np.abs(differences.mean(-1)) / np.where(same, 1.0, std / math.sqrt(count))
    return np.where(same, exact, 2 * stdtr(count - 1, -t))


def _std(values: Float[np.ndarray, "*rows count"]) -> Float[np.ndarray, "*rows"]:
    """The standard deviation of a sample; exactly 0 if all values are the same."""
    if values.shape[-1] < 2:
        return values.mean(-1) * math.nan
    return np.where(np.ptp(values, -1) == 0, 0.0, values.std(-1, ddof=1))


def _without_rounding(
    differences: Float[np.ndarray, " pairs"], rounding: float
) -> Float[np.ndarray, " pairs"]:
    """Makes differences equal that differ from each other only by rounding."""
    if np.ptp(differences) > rounding:
        return differences
    same = differences.mean()
    return np.full_like(differences, 0.0 if abs(same) <= rounding else same)


def _effect(differences: Float[np.ndarray, " pairs"]) -> float:
    count = len(differences)
    if count < 2:
        return math.nan
    mean, std = float(differences.mean()), float(_std(differences))
    if std == 0:
        return math.copysign(math.inf, mean) if mean else 0.0
    return mean / std * (1 - 3 / (4 * (count - 1) - 1))
