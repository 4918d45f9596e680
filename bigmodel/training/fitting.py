"""The training loop without anything around it: for notebooks, and for small networks."""

from __future__ import annotations

from typing import Any

import jax

from bigmodel.experiment import Experiment
from bigmodel.receiving import receiving


def fit(experiment: Experiment, *, steps: int, seed: int = 0) -> Any:
    """Trains an experiment on one device and returns its state; the README has an example.

    Initial parameters, batches and random keys are those of a run with this seed, so the state is
    that of the run up to rounding. No file is read or written, and nothing is checked.

    Args:
        experiment: what is trained.
        steps: number of updates; a schedule of the learning rate wants that of the experiment.
        seed: decides everything that is random.

    Returns:
        The state; ``state.evaluated`` are the variables to use.
    """
    key = jax.random.key(seed)
    state = jax.jit(experiment.init)(jax.random.fold_in(key, 0))
    step = jax.jit(receiving(experiment).train_step, donate_argnums=0)
    key = jax.random.fold_in(key, 1)
    for i in range(steps):
        state, _, _ = step(state, experiment.data.train(seed, i), jax.random.fold_in(key, i))
    return state
