"""Training and held-out examples of a run, some of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bigmodel.data.batches import Batches
from bigmodel.experiment import Batch, Experiment

PASSES = 20
"""Of so many times the examples that are wanted, some are chosen."""


def training_batches(experiment: Experiment, seed: int) -> Sequence[Batch]:
    """The training examples in order, or one epoch of batches where data have no order."""
    data = experiment.data
    if data.seen:
        return data.seen
    return Batches(max(data.steps_per_epoch, 1), lambda step: data.train(seed, step))


def sampled(batches: Sequence[Batch], most: int, rng: np.random.Generator) -> Iterator[Batch]:
    """About ``most`` examples from everywhere, in batches of one shape; all where there are fewer.

    Of each batch as many rows are drawn without replacement.
    """
    size = len(batches[0]["weight"])
    chosen = rng.permutation(len(batches))[: max(1, PASSES * most // size)]
    each = min(size, -(-most // len(chosen)))
    for number in np.sort(chosen).tolist():
        rows = np.sort(rng.choice(size, each, replace=False))
        yield {name: np.asarray(array)[rows] for name, array in batches[number].items()}
