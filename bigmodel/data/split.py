"""Rows held out: of all rows, or class by class.

Why not by scikit-learn: its stratified split of a tenth of 100 examples of one class and 3 of
another has none of the second, where an evaluation needs at least one of each class; and its
import takes ten times as long as NumPy's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Int

from bigmodel.experiment import InputError


class Fractions(Protocol):
    """Options that say how much is held out."""

    @property
    def validation(self) -> float:
        """Fraction to validate on."""

    @property
    def test(self) -> float:
        """Fraction to test on."""


class HeldOut(Fractions, Protocol):
    """Options that say which rows are held out."""

    @property
    def split_seed(self) -> int:
        """Decides which rows."""


def check_held_out(options: HeldOut) -> None:
    """Raises InputError for what is no fraction, or no seed."""
    check_fractions(options)
    if options.split_seed < 0:
        raise InputError(f"--data.split-seed {options.split_seed} must not be negative")


def check_fractions(options: Fractions, *, of_one: bool = False) -> None:
    """Raises InputError for what is no fraction; of one whole, for a sum that is all of it."""
    for name, fraction in (("validation", options.validation), ("test", options.test)):
        if not 0 <= fraction < 1:
            raise InputError(f"--data.{name} {fraction} must be at least 0 and below 1")
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


class Split(NamedTuple):
    """Row numbers in rising order; together they are all rows, and none is in both."""

    kept: Int[np.ndarray, " kept"]
    held: Int[np.ndarray, " held"]


def shuffled(rows: int, fraction: float, *, seed: int) -> Split:
    """Hold out a fraction of all rows, at least one, and keep at least one.

    Args:
        rows: How many there are, at least two.
        fraction: The part to hold out, in [0, 1). With 0 nothing is held out.
        seed: Decides which rows.
    """
    count = 0 if fraction == 0 else min(max(round(rows * fraction), 1), rows - 1)
    order = np.random.default_rng(seed).permutation(rows)
    return Split(np.sort(order[count:]), np.sort(order[:count]))


def stratified(
    labels: Int[np.ndarray, " rows"], fraction: float, *, names: Sequence[str], seed: int
) -> Split:
    """Hold out a fraction of every class, at least one row of each, and keep at least one.

    Args:
        labels: The class of each row, a number below ``len(names)``.
        fraction: The part to hold out, in [0, 1). With 0 nothing is held out.
        names: Class names, for the message.
        seed: Decides which rows.

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
