"""K-fold cross-validation: every row is held out for the test once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from bigmodel.data.split import Split, stratified
from bigmodel.experiment import InputError


@dataclass(frozen=True, kw_only=True)
class Folds:
    """Options of data that can be cross-validated."""

    folds: int = 0
    """cross-validation in so many runs, each with another part of the data as its test set"""
    fold: int | None = None
    """only the run with this part, counted from 0"""


def hold_out_fold(
    options: Folds,
    rows: int,
    *,
    seed: int,
    labels: Int[np.ndarray, " rows"] | None = None,
    names: Sequence[str] = (),
) -> Split:
    """The rows of one fold held out; the folds are as large as each other, but for one row.

    Args:
        options: how many folds, and which.
        rows: how many rows there are.
        seed: decides the folds, and nothing else does.
        labels: the class of each row; each class is then spread evenly over the folds.
        names: the classes, for the message.

    Raises:
        InputError: for a fold that there is not, more folds than rows, or a class that some
            fold would leave without a row to train on.
    """
    folds, fold = options.folds, options.fold
    if not 2 <= folds <= rows:
        raise InputError(f"--data.folds {folds} must be from 2 to the {rows} rows of the data")
    if fold is None or not 0 <= fold < folds:
        raise InputError(f"--data.fold {fold} must be from 0 to {folds - 1} with {folds} folds")
    random = np.random.default_rng(seed)
    order = random.permutation(rows)
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
    """The rows of the test: of one fold, or without folds a fraction of each class.

    Raises:
        InputError: as :func:`hold_out_fold` and :func:`~bigmodel.data.split.stratified` do.
    """
    if options.folds:
        return hold_out_fold(options, len(labels), seed=seed, labels=labels, names=names)
    return stratified(labels, fraction, names=names, seed=seed)
