"""Arrays in memory as batches: shuffled epochs to train on, padded batches to evaluate on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias, overload

import numpy as np

from bigmodel.experiment import Batch, InputError

Arrays: TypeAlias = Mapping[str, np.ndarray]
"""Arrays by name, with the examples on the first axis of each."""

# Numbers the independent random streams of one seed; augmentation has another.
ORDER_STREAM = 0


def rows(arrays: Arrays) -> int:
    """The number of examples, which all arrays must share."""
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) != 1:
        raise InputError(f"the arrays differ in their number of examples: {counts}")
    return next(iter(counts.values()))


# Three epochs: a prefetcher may be in the next one while an evaluation looks at the last.
@lru_cache(maxsize=3)
def permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of `count` rows in an epoch, decided by ``(seed, epoch)`` alone."""
    order = np.random.default_rng([seed, ORDER_STREAM, epoch]).permutation(count)
    order.flags.writeable = False
    return order


def epochs(arrays: Arrays, batch_size: int) -> Callable[[int, int], dict[str, np.ndarray]]:
    """Shuffled epochs as a function of the step, in constant time.

    An epoch visits each row at most once: the rows that do not fill a last batch are left
    out, and another order leaves out others.

    Args:
        arrays: Arrays by name, with equally many rows.
        batch_size: Rows in a batch.

    Returns:
        ``train(seed, step)``: the rows of that step, counted from 0, and ``weight`` of ones.

    Raises:
        InputError: If not even one batch can be filled.
    """
    count = rows(arrays)
    if batch_size < 1:
        raise InputError(f"--data.batch-size {batch_size} must be at least 1")
    if batch_size > count:
        raise InputError(
            f"--data.batch-size {batch_size} is larger than the training data: {count} examples"
        )
    per_epoch = count // batch_size

    def train(seed: int, step: int) -> dict[str, np.ndarray]:
        epoch, index = divmod(step, per_epoch)
        chosen = permutation(count, seed, epoch)[index * batch_size : (index + 1) * batch_size]
        batch = {name: array[chosen] for name, array in arrays.items()}
        return batch | {"weight": np.ones(batch_size, np.float32)}

    return train


class Batches(Sequence[Batch]):
    """Batches by index, each made when it is asked for."""

    def __init__(self, count: int, make: Callable[[int], Batch]) -> None:
        self._indices = range(count)
        self._make = make

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Batch: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Batch]: ...
    def __getitem__(self, index: int | slice) -> Batch | Sequence[Batch]:
        if isinstance(index, slice):
            return [self._make(each) for each in self._indices[index]]
        # A range refuses what lies outside it and counts negative indices from the end.
        return self._make(self._indices[index])


def in_order(
    arrays: Arrays,
    batch_size: int,
    *,
    prepare: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]] = dict,
) -> Batches:
    """All rows in order, in batches of one shape.

    The last batch is filled up with zeros of ``weight`` 0. ``prepare`` turns stored arrays
    into what the model reads.
    """

    def padded(array: np.ndarray) -> np.ndarray:
        missing = batch_size - len(array)
        if missing == 0:
            return array
        return np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])

    def make(index: int) -> Batch:
        chosen = slice(index * batch_size, (index + 1) * batch_size)
        taken = {name: array[chosen] for name, array in arrays.items()}
        taken["weight"] = np.ones(rows(taken), np.float32)
        return prepare({name: padded(array) for name, array in taken.items()})

    return Batches(-(-rows(arrays) // batch_size), make)
