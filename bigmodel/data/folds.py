"""K-fold cross-validation: every row is in the test set of one fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from bigmodel.data.split import Split, stratified
from bigmodel.experiment import InputError


@dataclass(frozen=True, kw_only=True)
class Folds:
    """Options of data for cross-validation."""

    folds: int = 0
    """number of folds of a cross-validation; each is a run with another part as its test set"""
    fold: int | None = None
    """number of the one fold to run, counted from 0"""


def hold_out_fold(
    options: Folds,
    rows: int,
    *,
    seed: int,
    labels: Int[np.ndarray, " rows"] | None = None,
    names: Sequence[str] = (),
) -> Split:
    """Holds out the rows of one fold. The sizes of folds differ by at most one row.

    The folds are not those of scikit-learn's ``KFold`` and ``StratifiedKFold`` with the same
    seed; the published results were measured with these.

    Args:
        options: the number of folds, and which one.
        rows: the number of rows.
        seed: determines the folds, and nothing else does.
        labels: the class of each row; each class is then spread evenly over the folds.
        names: class names, for the message.

    Raises:
        InputError: for a fold that does not exist, more folds than rows, or a class that would
            have no training row in some fold.
    """
    folds, fold = options.folds, options.fold
    if not 2 <= folds <= rows:
        raise InputError(f"--data.folds {folds} must be from 2 to the {rows} rows of the data")
    if fold is None or not 0 <= fold < folds:
        raise InputError(f"--data.fold {fold} must be from 0 to {folds - 1} with {folds} folds")
    order = np.random.default_rng(seed).permutation(rows)
    if labels is not None:
        counts = np.bincount(labels, minlength=len(names))
        if counts.min() < 2:
            name = names[int(counts.argmin())]
            raise InputError(f"class {name!r} has {counts.min()} example(s), too few for folds")
        order = order[np.argsort(labels[order], kind="stable")]
    held = np.sort(order[fold::folds])
    return Split(np.setdiff1d(np.arange(rows), held, assume_unique=True), held)


def hold_out_test(
    options: Folds,
    labels: Int[np.ndarray, " rows"],
    fraction: float,
    *,
    names: Sequence[str],
    seed: int,
) -> Split:
    """Holds out the rows of one fold or, without folds, a fraction of each class.

    Raises:
        InputError: as for :func:`hold_out_fold` and :func:`~bigmodel.data.split.stratified`.
    """
    if options.folds:
        return hold_out_fold(options, len(labels), seed=seed, labels=labels, names=names)
    return stratified(labels, fraction, names=names, seed=seed)
