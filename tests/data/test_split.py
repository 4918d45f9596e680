from dataclasses import replace

import numpy as np
import pytest

from bigmodel.data.labelled import LabelledData
from bigmodel.data.split import Folds, hold_out_fold, split_rows, stratified

LABELS = np.random.default_rng(0).choice(3, size=101, p=[0.7, 0.2, 0.1])


def all_folds(count: int, seed: int = 0, **labels: object) -> list[np.ndarray]:
    found = []
    for fold in range(count):
        split = hold_out_fold(Folds(folds=count, fold=fold), 101, seed=seed, **labels)
        np.testing.assert_array_equal(np.sort(np.concatenate(split)), np.arange(101))
        found.append(split.held)
    return found


@pytest.mark.parametrize("labels", [{}, {"labels": LABELS, "names": "abc"}])
@pytest.mark.parametrize("count", [2, 5, 7])
def test_every_row_is_held_out_once_and_folds_are_equally_large(count: int, labels: dict) -> None:
    found = all_folds(count, **labels)
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.arange(101))
    sizes = [len(held) for held in found]
    assert max(sizes) - min(sizes) <= 1


def test_classes_are_spread_evenly() -> None:
    counts = [np.bincount(LABELS[held], minlength=3) for held in
              all_folds(5, labels=LABELS, names="abc")]  # fmt: skip
    assert np.ptp(counts, axis=0).max() <= 1


def test_folds_are_a_function_of_the_seed() -> None:
    one, again, other = all_folds(5), all_folds(5), all_folds(5, seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("folds", "fold", "message"),
    [
        (1, 0, "--data.folds 1 must be from 2 to the 101 rows"),
        (102, 0, "--data.folds 102 must be from 2"),
        (5, 5, "--data.fold 5 must be from 0 to 4"),
        (5, -1, "--data.fold -1 must be from 0"),
    ],
)
def test_a_fold_that_there_is_not_is_refused(folds: int, fold: int, message: str, refused) -> None:
    with refused(message):
        hold_out_fold(Folds(folds=folds, fold=fold), 101, seed=0)


def test_a_fraction_holds_out_and_keeps_at_least_one_of_each_class() -> None:
    labels = np.asarray([0, 0, 1, 1, 1, 1])
    for fraction in (0.01, 0.99):
        kept, held = stratified(labels, fraction, names="ab", seed=0)
        assert set(labels[kept]) == set(labels[held]) == {0, 1}
        assert sorted([*kept, *held]) == list(range(6))


def test_a_class_of_one_example_is_named(refused) -> None:
    labels = np.array([0, 0, 1])
    with refused("'b' has 1 example"):
        stratified(labels, 0.5, names="ab", seed=0)
    with refused("class 'b' has 1 example"):
        hold_out_fold(Folds(folds=2, fold=0), 3, seed=0, labels=labels, names="ab")


def test_folds_that_leave_too_few_of_a_class_to_validate_on_are_refused_at_the_first(
    refused,
) -> None:
    labels = np.array([0] * 16 + [1] * 15 + [2] * 2)
    for fold in range(3):
        options = LabelledData(folds=3, fold=fold)
        with refused("class 'c' has 2 example.s., too few for 3 folds and a validation set"):
            split_rows(options, 33, labels=labels, names="abc")
        parts = split_rows(replace(options, validation=0.0), 33, labels=labels, names="abc")
        assert sum(map(len, parts.values())) == 33
        assert len(split_rows(options, 31, labels=labels[:31], names="ab")["validation"])
