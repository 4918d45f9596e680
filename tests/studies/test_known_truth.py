"""The promises of ``known_truth.py``, whose tables docs/studies.md has with more trials."""

import itertools
import math

import pytest
from known_truth import (
    COARSE,
    COLLAPSE,
    COUNTS,
    FAMILIES,
    NORMAL,
    TRUTHS,
    TWO_ENDS,
    Truth,
    coverage,
    family_errors,
)

pytestmark = pytest.mark.slow

TRIALS = 40_000


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("truth", TRUTHS, ids=lambda truth: truth.name)
def test_an_interval_has_the_truth_in_it_as_often_as_it_says(truth: Truth, count: int) -> None:
    # The standard error of a share of 0.95 is 0.0011.
    found = coverage(truth, count, TRIALS)
    if truth.regular:
        assert 0.92 <= found.mean <= 0.97
    # A difference of cells that are alike is symmetric, whatever their skewness.
    assert 0.92 <= found.difference <= (1.0 if truth.loose else 0.97)


@pytest.mark.parametrize(
    ("truth", "count", "size", "families"),
    [
        *itertools.product((*TRUTHS, TWO_ENDS), (5,), FAMILIES, (20_000,)),
        *itertools.product((NORMAL, COARSE, COLLAPSE), (10,), (8,), (10_000,)),
        *itertools.product((NORMAL, COARSE, COLLAPSE), (20,), (8,), (1000,)),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_one_family_in_twenty_has_an_error_where_nothing_differs(
    truth: Truth, count: int, size: int, families: int
) -> None:
    standard_error = math.sqrt(0.05 * 0.95 / families)
    assert family_errors(truth, count, size, families) <= 0.05 + 2 * standard_error
