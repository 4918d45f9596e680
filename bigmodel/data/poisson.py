"""Poisson sampling: each example is in a batch by a chance of its own, as privacy accounts assume.

In shuffled epochs an example is in exactly one batch of each, and what one batch has says what the
others have not; accounts for Poisson sampling do not hold there (Chua et al., 2024).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from bigmodel.data.batches import ORDER_STREAM, Arrays, rows
from bigmodel.experiment import WHOLE, Train


class Poisson(NamedTuple):
    """How the examples of each step are drawn, and how they lie in a batch of one shape.

    ``rate`` is the chance of each, ``size`` the rows of a batch, of which those for which nothing
    was drawn are padding of weight 0. A batch is worked through in parts of ``part`` rows, the
    first of them being every n-th row from the first on, the next every n-th from the second
    on: padding fills the last parts, which need no work, whatever devices share each part. Where
    more are drawn than there are rows, the surplus is left out.
    """

    rate: float
    size: int
    part: int

    def numbers(self, count: int, seed: int, step: int) -> Int[np.ndarray, "size"]:
        """The numbers of the examples in each row, -1 for padding."""
        random = np.random.default_rng([seed, ORDER_STREAM, step, 1])
        # So many are drawn as by a chance for each, and all sets of so many are alike.
        drawn = random.choice(count, random.binomial(count, self.rate), False, shuffle=False)
        in_order = np.arange(self.size).reshape(self.part, -1).T.ravel()
        found = np.full(self.size, -1)
        found[in_order[: len(drawn)]] = drawn[: self.size]
        return found


def poisson(arrays: Arrays, how: Poisson) -> Train:
    """Training batches of the rows of arrays, and ``weight``, 1 or 0."""
    count = rows(arrays)

    def train(seed: int, step: int, rows: slice = WHOLE) -> dict[str, np.ndarray]:
        numbers = how.numbers(count, seed, step)[rows]
        batch = {name: array[np.maximum(numbers, 0)] for name, array in arrays.items()}
        return batch | {"weight": (numbers >= 0).astype(np.float32)}

    return train
