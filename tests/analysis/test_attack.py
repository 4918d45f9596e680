"""An attack has the advantage that its scores allow, and none where there is nothing to find."""

import math

import numpy as np
import pytest
from scipy.stats import norm
from sklearn import metrics

from bigmodel.analysis.membership.attack import advantage, attack, largest_advantage, roc_curve
from bigmodel.analysis.membership.attacking import bound_of


def scores(shift: float, count: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(shift, 1, count), rng.normal(0, 1, count)


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_the_advantage_is_that_of_the_best_threshold(shift: float) -> None:
    members, others = scores(shift)
    found = attack("a", members, others, rng=np.random.default_rng(1))
    # Of two normal distributions that are shifted against each other.
    rng = np.random.default_rng(2)
    many = [advantage(members, rng.normal(0, 1, 2000), rng=rng).value for _ in range(20)]
    many += [advantage(rng.normal(shift, 1, 2000), others, rng=rng).value for _ in range(20)]
    assert np.mean(many) == pytest.approx(2 * norm.cdf(shift / 2) - 1, abs=0.02)
    assert found.area.low < norm.cdf(shift / math.sqrt(2)) < found.area.high
    label = np.repeat([1, 0], len(members))
    false, true, _ = metrics.roc_curve(label, np.concatenate([members, others]))
    assert found.area.value == pytest.approx(metrics.auc(false, true))
    for rate, one in found.rates.items():
        if np.isfinite(one.value):
            assert one.value == pytest.approx(np.interp(rate, false, true), abs=2e-3)
            assert one.low <= one.value <= one.high
    mine = roc_curve(members, others)
    assert metrics.auc(*mine) == pytest.approx(metrics.auc(false, true))
    assert math.isnan(found.rates[0.001].value)  # two of 2,000 are too few to say


def test_without_a_difference_the_advantage_is_zero_in_the_mean() -> None:
    rng = np.random.default_rng(0)
    found = [advantage(*rng.normal(size=(2, 60)), rng=rng) for _ in range(400)]
    values = np.array([one.value for one in found])
    assert abs(values.mean()) < 3 * values.std() / math.sqrt(len(values))
    assert np.mean([one.low <= 0 <= one.high for one in found]) > 0.85


@pytest.mark.parametrize("equal", [0.0, 1.0])
def test_equal_scores_have_no_advantage(equal: float) -> None:
    found = attack("a", np.full(50, equal), np.full(50, equal), rng=np.random.default_rng(0))
    assert found.advantage.value == 0
    assert found.area.value == 0.5


def test_privacy_bounds_the_advantage() -> None:
    assert largest_advantage(1.0, 0.0) == pytest.approx((math.e - 1) / (math.e + 1))
    assert largest_advantage(0.0, 1e-3) == pytest.approx(1e-3)
    assert largest_advantage(1e4, 1e-5) == 1.0
    assert bound_of({"privacy": {"epsilon": 1.0, "delta": 0.0}}) == largest_advantage(1.0, 0.0)
    assert bound_of({"status": "completed"}) is None
