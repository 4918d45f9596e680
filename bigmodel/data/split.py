"""Rows held out, of all rows or class by class: a fraction, or a fold of a cross-validation.

Why not by scikit-learn: its stratified split of a tenth of 100 examples of one class and 3 of
another has none of the second, where an evaluation needs at least one of each class; and its
import takes ten times as long as NumPy's.
"""

from __future__ import annotations

import math
import os
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from bigmodel.experiment import InputError


@dataclass(frozen=True, kw_only=True)
class Folds:
    """Options of data for cross-validation."""

    folds: int = 0
    """number of folds of a cross-validation; each is a run with another part as its test set"""
    fold: int | None = None
    """number of the one fold to run, counted from 0"""


def check_held_out(options: Any, *, of_one: bool = False) -> None:
    """Raises InputError for what is no fraction, or no seed, where the options have one.

    Of one whole, ``validation`` and ``test`` must leave something to train on.
    """
    for name in ("validation", "test"):
        fraction = getattr(options, name)
        if not 0 <= fraction < 1:
            raise InputError(f"--data.{name} {fraction} must be at least 0 and below 1")
    if getattr(options, "split_seed", 0) < 0:
        raise InputError(f"--data.split-seed {options.split_seed} must not be negative")
    if of_one and options.validation + options.test >= 1:
        raise InputError(
            f"--data.validation {options.validation} and --data.test {options.test} leave "
            "nothing to train on; their sum must be less than 1"
        )


def check_positive(options: object, *names: str) -> None:
    """Raises InputError for an option of these names that is below 1."""
    for name in names:
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"--data.{name.replace('_', '-')} {value} is too small; use 1 or more")


def check_memory(what: str, shape: Sequence[int]) -> None:
    """Raises InputError where so many bytes are more than this machine has."""
    needed = math.prod(shape)
    if needed > (has := os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")):
        raise InputError(
            f"{what} need {needed / 1e9:.1f} GB of memory, and this machine has {has / 1e9:.1f} GB"
        )


class Split(NamedTuple):
    """Row numbers in rising order; together they are all rows, and none is in both."""

    kept: Int[np.ndarray, " kept"]
    held: Int[np.ndarray, " held"]


def shuffled(rows: int, fraction: float, *, seed: int) -> Split:
    """Hold out a fraction, in [0, 1), of two rows or more: at least one, and keep at least one.

    With 0 nothing is held out.
    """
    count = 0 if fraction == 0 else min(max(round(rows * fraction), 1), rows - 1)
    order = np.random.default_rng(seed).permutation(rows)
    return Split(np.sort(order[count:]), np.sort(order[:count]))


def stratified(
    labels: Int[np.ndarray, " rows"], fraction: float, *, names: Sequence[str], seed: int
) -> Split:
    """Hold out a fraction of every class, at least one row of each, and keep at least one.

    A label is a number below ``len(names)``. With a fraction of 0 nothing is held out.

    Raises:
        InputError: If a class has fewer than two rows to divide.
    """
    if fraction == 0:
        return Split(np.arange(len(labels)), np.arange(0))
    rng = np.random.default_rng(seed)
    held = []
    for label, name in enumerate(names):
        (members,) = np.nonzero(labels == label)
        if len(members) < 2:
            raise InputError(
                f"class {name!r} has {len(members)} example(s) left to hold out a part of; "
                "add examples, remove the class, or set --data.test or --data.validation to 0"
            )
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        held.append(rng.permutation(members)[:count])
    chosen = np.sort(np.concatenate(held))
    return Split(np.setdiff1d(np.arange(len(labels)), chosen, assume_unique=True), chosen)


def hold_out_fold(
    options: Folds,
    rows: int,
    *,
    seed: int,
    labels: Int[np.ndarray, " rows"] | None = None,
    names: Sequence[str] = (),
) -> Split:
    """Holds out the rows of one fold. The sizes of folds differ by at most one row.

    The seed alone decides the folds. With ``labels`` each class is spread evenly over them;
    ``names`` are for the message. The folds are not those of scikit-learn's ``KFold`` and
    ``StratifiedKFold`` with the same seed; the published results were measured with these.

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


def check_left(labels: Int[np.ndarray, " rows"], names: Sequence[str], folds: int) -> None:
    """Raises InputError where some fold leaves too few of a class to hold out a part of them."""
    counts = np.bincount(labels, minlength=len(names))
    left = counts - -(-counts // folds)
    if left.min() < 2:
        least = int(left.argmin())
        raise InputError(
            f"class {names[least]!r} has {counts[least]} example(s), too few for {folds} folds and "
            "a validation set; add examples, remove the class, or set --data.validation to 0"
        )


def split_rows(
    options: Any,
    rows: int,
    *,
    labels: Int[np.ndarray, " rows"] | None = None,
    names: Sequence[str] = (),
    given: Container[str] = (),
) -> dict[str, Int[np.ndarray, " part"]]:
    """Divides rows into ``train``, ``validation`` and ``test``, class by class if there are some.

    Args:
        options: Folds with the fractions ``validation`` and ``test``, and ``split_seed``.
        rows: How many there are.
        labels: The class of each row, a number below ``len(names)``.
        names: Class names, for the message.
        given: Parts that the data brings, for which no row is held out. A fold always is.

    Raises:
        InputError: As for :func:`hold_out_fold` and :func:`stratified`.
    """
    seed = options.split_seed

    def hold_out(part: str, rows: int, labels: np.ndarray | None, seed: int) -> Split:
        fraction = 0.0 if part in given else getattr(options, part)
        if labels is None:
            return shuffled(rows, fraction, seed=seed)
        return stratified(labels, fraction, names=names, seed=seed)

    if options.folds:
        rest, test = hold_out_fold(options, rows, seed=seed, labels=labels, names=names)
        if labels is not None and options.validation and "validation" not in given:
            check_left(labels, names, options.folds)
    else:
        rest, test = hold_out("test", rows, labels, seed)
    left = None if labels is None else labels[rest]
    train, validation = hold_out("validation", len(rest), left, seed + 1)
    return {"train": rest[train], "validation": rest[validation], "test": test}
