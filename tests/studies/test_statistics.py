import math

import numpy as np
import pytest
from scipy import stats

from bigmodel.studies.statistics.statistics import (
    DRAWS,
    EXACT,
    compare,
    holm,
    least_p,
    p_value,
    sign_flip,
    spread,
    too_few,
)

CHANCE = np.random.default_rng(7)


def by_scipy(differences: np.ndarray) -> float:
    """The share of all signs; of whole numbers, so that ties are exact."""
    return stats.permutation_test(
        (differences, 0 * differences),
        lambda one, other, axis: np.sum(one - other, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
    ).pvalue


@pytest.mark.parametrize("count", [2, 3, 5, 8, 11])
def test_the_sign_flip_test_counts_all_signs(count: int) -> None:
    rows = CHANCE.normal(0.3, 1.0, (4, count))
    np.testing.assert_allclose(sign_flip(rows), [by_scipy(row) for row in rows])


def test_sums_that_tie_count_whatever_their_rounding() -> None:
    steps = CHANCE.integers(-3, 5, (20, 9))
    np.testing.assert_allclose(sign_flip(steps / 360), [by_scipy(row) for row in steps])


def test_random_flips_stand_in_for_all_signs_of_many_pairs() -> None:
    few = CHANCE.normal(0.4, 1.0, EXACT)
    # A pair without a difference changes no sum.
    many = np.concatenate([few, np.zeros(4)])
    found = sign_flip(many)
    assert found == pytest.approx(sign_flip(few), abs=4 * math.sqrt(0.25 / DRAWS))
    assert sign_flip(np.ones(40)) == least_p(40)
    assert sign_flip(many) == found


@pytest.mark.parametrize("count", [3, 5, 8, 10])
def test_a_cell_has_the_statistics_of_its_values(count: int) -> None:
    values = CHANCE.normal(0.9, 0.01, count)
    found = spread([*values, math.nan, math.inf])
    assert found.count == count
    assert found.mean == pytest.approx(values.mean())
    assert found.std == pytest.approx(stats.tstd(values))
    ends = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(ends)
    assert found.interquartile_mean == pytest.approx(stats.trim_mean(values, 0.25))
    assert (found.least, found.greatest) == (values.min(), values.max())


def test_one_value_has_no_spread_and_none_has_nothing() -> None:
    one = spread([math.nan, 2.5])
    assert (one.count, one.mean, one.interquartile_mean) == (1, 2.5, 2.5)
    assert (one.least, one.greatest) == (2.5, 2.5)
    assert np.isnan([one.std, one.low, one.high]).all()
    assert spread([]).count == 0
    assert np.isnan(spread([math.nan])[1:]).all()


def test_five_seeds_are_compared_by_the_paired_t_test() -> None:
    values, baseline = CHANCE.normal(0.5, 1.0, 5), CHANCE.normal(0.0, 1.0, 5)
    found = compare(values, baseline, maximize=True)
    theirs = stats.ttest_rel(values, baseline)
    ends = theirs.confidence_interval(0.95)
    assert found.test == "t"
    assert found.difference == pytest.approx((values - baseline).mean())
    assert found.p == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))


@pytest.mark.parametrize(("count", "comparisons"), [(6, 1), (7, 3), (9, 8), (13, 200)])
def test_the_permutation_test_is_taken_where_it_can_conclude(count: int, comparisons: int) -> None:
    def best(count: int) -> tuple[str, float]:
        far = CHANCE.normal(9.0, 0.1, count)
        found = compare(far, [0.0] * count, maximize=True, comparisons=comparisons)
        return found.test, holm([found.p] + [1.0] * (comparisons - 1))[0]

    assert best(count)[0] == "sign-flip"
    assert best(count - 1)[0] == "t"
    assert best(count)[1] <= 0.05
    assert best(count - 1)[1] <= 0.05


def test_fewer_than_five_seeds_conclude_nothing_and_say_so() -> None:
    for count in range(5):
        found = compare([9.0, 9.1, 9.2, 9.3][:count], [0.0] * count, maximize=True)
        assert not found.p <= 0.05
        assert "take 5 or more" in (too_few(count) or "")
    assert "with 3 seeds" in (too_few(3) or "")
    assert "below 0.25" in (too_few(3) or "")
    assert too_few(5) is None


def test_only_pairs_of_finite_values_are_compared() -> None:
    found = compare([1.0, math.nan, 3.0, 5.0], [0.0, 0.0, math.inf, 2.0], maximize=True)
    assert (found.count, found.difference) == (2, 2.0)
    nothing = compare([math.nan], [1.0], maximize=True)
    assert nothing.count == 0
    assert np.isnan(nothing[1:7]).all()
    with pytest.raises(ValueError, match="zip"):
        compare([1.0, 2.0], [1.0], maximize=True)


def test_a_run_is_better_as_often_as_mann_and_whitney_count() -> None:
    values, baseline = CHANCE.integers(0, 6, 8) / 10, CHANCE.integers(0, 6, 8) / 10
    share = stats.mannwhitneyu(values, baseline).statistic / 64
    assert compare(values, baseline, maximize=True).improvement == pytest.approx(share)
    assert compare(values, baseline, maximize=False).improvement == pytest.approx(1 - share)


def test_the_effect_is_in_standard_deviations_with_the_correction_of_hedges() -> None:
    # Differences 1, 2, 3, 4, 5: mean 3, variance 2.5; four degrees of freedom.
    found = compare([1.0, 2.0, 3.0, 4.0, 5.0], [0.0] * 5, maximize=False)
    assert found.effect == pytest.approx(3 / math.sqrt(2.5) * (1 - 3 / 15))


@pytest.mark.parametrize("count", [2, 5, 10])
def test_the_same_results_are_no_difference(count: int) -> None:
    values = [0.1 * k for k in range(count)]
    found = compare([value + 0.3 - 0.2 - 0.1 for value in values], values, maximize=True)
    assert found[:7] == (count, 0.0, 0.0, 0.0, 0.5, 1.0, 0.0)


def test_equal_differences_leave_the_permutation_test() -> None:
    baseline = [0.91, 0.93, 0.95, 0.97, 0.92]
    found = compare([value + 0.02 for value in baseline], baseline, maximize=False)
    assert (found.p, found.test, found.effect) == (2 / 2**5, "sign-flip", math.inf)
    assert (found.low, found.high) == pytest.approx((0.02, 0.02))
    assert p_value(np.full((2, 5), 0.02), "t").tolist() == [2 / 2**5] * 2
    assert spread([0.1] * 3).std == 0.0


def test_holm_corrects_a_family_as_worked_out_by_hand() -> None:
    # 0.01 x 4, 0.02 x 3, then 0.03 x 2 and 0.04 x 1, neither below the one before it.
    assert holm([0.03, 0.01, math.nan, 0.04, 0.02])[:2] == pytest.approx([0.06, 0.04])
    assert holm([0.03, 0.01, math.nan, 0.04, 0.02])[3:] == pytest.approx([0.06, 0.06])
    assert math.isnan(holm([0.03, 0.01, math.nan])[2])
    assert holm([0.5, 0.9, 0.2]) == pytest.approx([1.0, 1.0, 0.6])
    assert holm([]) == []
