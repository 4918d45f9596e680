"""Intervals are those of the formulas that they are named for."""

import numpy as np
import pytest
from scipy import stats

from bigmodel.analysis.estimates import Estimate, difference, resampled, share


@pytest.mark.parametrize(("hits", "examples"), [(0, 7), (3, 7), (7, 7), (41, 1000), (1, 1)])
def test_the_interval_of_a_share_is_wilsons(hits: int, examples: int) -> None:
    one = share(hits, examples)
    low, high = stats.binomtest(hits, examples).proportion_ci(method="wilson")
    assert one == pytest.approx((hits / examples, low, high, examples), abs=1e-12)


@pytest.mark.parametrize(
    ("one", "other", "interval"),
    [((56, 70), (48, 80), (0.0524, 0.3339)), ((9, 10), (3, 10), (0.1705, 0.8090)),
     ((10, 10), (0, 10), (0.6075, 1.0))],
)  # fmt: skip
def test_the_interval_of_a_difference_is_that_of_newcombes_table(
    one: tuple[int, int], other: tuple[int, int], interval: tuple[float, float]
) -> None:
    found = difference(share(*one), share(*other))
    assert (found.low, found.high) == pytest.approx(interval, abs=5e-5)


def test_other_intervals_are_those_of_the_bootstrap() -> None:
    values = np.random.default_rng(0).exponential(size=300)
    found = resampled(
        lambda rows: {"mean": float(values[rows].mean()), "never": float("nan")},
        np.arange(300),
        rng=np.random.default_rng(1),
    )
    other = stats.bootstrap((values,), np.mean, method="percentile", rng=2).confidence_interval
    assert found["mean"].value == values.mean()
    assert found["mean"][1:3] == pytest.approx((other.low, other.high), abs=0.02)
    assert np.isnan(found["never"][:3]).all()
    alone = resampled(lambda rows: {"mean": float(values[rows].mean())}, np.arange(1), rng=None)
    assert alone["mean"] == pytest.approx(Estimate(values[0], np.nan, np.nan, 1), nan_ok=True)
