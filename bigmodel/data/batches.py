"""Arrays as batches: shuffled epochs for training, padded batches in order for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias, overload

import numpy as np

from bigmodel.experiment import WHOLE, Batch, InputError, Train

Arrays: TypeAlias = Mapping[str, np.ndarray]
"""Arrays by name, with the examples on the first axis of each."""
Prepare = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]

ORDER_STREAM = 0
"""The random stream of a seed that shuffles epochs; augmentation has another one."""


def rows(arrays: Arrays) -> int:
    """The number of examples, which must be the same in all arrays."""
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) != 1:
        raise InputError(f"the arrays differ in their number of examples: {counts}")
    return next(iter(counts.values()))


# Three epochs: a prefetcher may be in the next one while an evaluation looks at the last.
@lru_cache(maxsize=3)
def permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of ``count`` rows in an epoch, a function of ``(seed, epoch)``."""
    order = np.random.default_rng([seed, ORDER_STREAM, epoch]).permutation(count)
    order.flags.writeable = False
    return order


def epochs(arrays: Arrays, batch_size: int) -> Train:
    """Returns shuffled epochs as a function of the step, in constant time.

    An epoch visits each row at most once: the rows that do not fill the last batch are left
    out, other ones in each epoch.

    Returns:
        ``train(seed, step, rows)``: these rows of the batch of a step, counted from 0, and
        ``weight``, ones.

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

    def train(seed: int, step: int, rows: slice = WHOLE) -> dict[str, np.ndarray]:
        epoch, index = divmod(step, per_epoch)
        of_step = permutation(count, seed, epoch)[index * batch_size : (index + 1) * batch_size]
        chosen = of_step[rows]
        batch = {name: array[chosen] for name, array in arrays.items()}
        return batch | {"weight": np.ones(len(chosen), np.float32)}

    return train


class Batches(Sequence[Batch]):
    """Batches by index, each made on access."""

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
        # A range checks the index, and counts negative ones from the end.
        return self._make(self._indices[index])


def in_order(arrays: Arrays, batch_size: int, *, prepare: Prepare = dict) -> Batches:
    """Returns all rows in order, in batches of one shape, the last padded with ``weight`` 0."""

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
